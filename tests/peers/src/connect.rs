//! Connections to the server, each ready for requests.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How long a server may say nothing before it is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Which server, and what opens it.
#[derive(clap::Args, Debug)]
pub(crate) struct Server {
    /// Where the server listens
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) connect: SocketAddr,
    /// A file whose first line is the server's password
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl Server {
    /// The request that gives the password, if there is one.
    fn auth(&self) -> Result<Option<Vec<u8>>> {
        let Some(path) = &self.password_file else { return Ok(None) };
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let password = text.lines().next().unwrap_or_default();
        ensure!(!password.is_empty(), "{}: its first line is empty", path.display());
        Ok(Some(format!("*2\r\n$4\r\nAUTH\r\n${}\r\n{password}\r\n", password.len()).into_bytes()))
    }

    /// So many connections.
    pub(crate) fn open_all(&self, count: usize) -> Result<Vec<TcpStream>> {
        let auth = self.auth()?;
        let open = |nth| self.open(auth.as_deref()).with_context(|| format!("connection {nth} of {count}"));
        (1..=count).map(open).collect()
    }

    /// One connection that has been let in, which waits for the server no longer than [`PATIENCE`].
    pub(crate) fn open_one(&self) -> Result<TcpStream> {
        self.open(self.auth()?.as_deref())
    }

    fn open(&self, auth: Option<&[u8]>) -> Result<TcpStream> {
        let Self { connect, .. } = self;
        let stream = TcpStream::connect_timeout(connect, PATIENCE)
            .with_context(|| format!("cannot connect to {connect}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        if let Some(auth) = auth {
            let said = ask(&stream, auth).with_context(|| connect.to_string())?;
            ensure!(said == "+OK", "{connect} does not let us in: {said}");
        }
        Ok(stream)
    }
}

/// The line that a request is answered with, where no more than that can come.
pub(crate) fn ask(mut stream: &TcpStream, request: &[u8]) -> Result<String> {
    stream.write_all(request)?;
    let mut line = String::new();
    BufReader::with_capacity(512, stream).read_line(&mut line)?;
    ensure!(line.ends_with('\n'), "it hung up");
    Ok(line.trim_end().to_owned())
}

/// As many descriptors as may be had without being asked for: the hard limit.
pub(crate) fn raise_descriptors() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).context("the limit of descriptors")
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// What comes of a connection to a server that answers the password with this.
    fn let_in(answer: &'static [u8], password: &str) -> Result<TcpStream> {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("password");
        fs::write(&path, password).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server { connect: listener.local_addr().unwrap(), password_file: Some(path) };
        if password.starts_with('\n') {
            return server.open_one();
        }
        thread::scope(|scope| {
            let served = scope.spawn(move || {
                let mut stream = listener.accept().unwrap().0;
                let mut line = String::new();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                (0..5).for_each(|_| assert!(reader.read_line(&mut line).unwrap() > 0));
                stream.write_all(answer).unwrap();
                line
            });
            let opened = server.open_one();
            assert_eq!(served.join().unwrap(), "*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n");
            opened
        })
    }

    #[test]
    fn the_password_is_given_first() {
        assert!(let_in(b"+OK\r\n", "secret\nmore\n").is_ok());
        let why = |answer, password| format!("{:#}", let_in(answer, password).unwrap_err());
        assert!(why(b"-WRONGPASS no\r\n", "secret").ends_with("does not let us in: -WRONGPASS no"));
        assert!(why(b"", "secret").ends_with("it hung up"));
        assert!(why(b"", "\nsecret").ends_with("its first line is empty"));
    }

    #[test]
    fn nobody_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = listener.local_addr().unwrap();
        drop(listener);
        let error = Server { connect, password_file: None }.open_one().unwrap_err();
        assert_eq!(error.to_string(), format!("cannot connect to {connect}"));
    }
}
