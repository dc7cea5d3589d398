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

/// Maximum time to wait for a server that sends nothing.
pub(crate) const SILENCE_LIMIT: Duration = Duration::from_secs(10);

/// The server's address and password.
#[derive(clap::Args, Debug)]
pub(crate) struct Server {
    /// Address of the server
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) connect: SocketAddr,
    /// File whose first line is the server's password
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl Server {
    /// The request that sends the password, if there is one.
    fn auth(&self) -> Result<Option<Vec<u8>>> {
        let Some(path) = &self.password_file else { return Ok(None) };
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let password = text.lines().next().unwrap_or_default();
        ensure!(!password.is_empty(), "{}: its first line is empty", path.display());
        Ok(Some(format!("*2\r\n$4\r\nAUTH\r\n${}\r\n{password}\r\n", password.len()).into_bytes()))
    }

    /// Opens `count` connections.
    pub(crate) fn open_all(&self, count: usize) -> Result<Vec<TcpStream>> {
        let auth = self.auth()?;
        let open = |nth| self.open(auth.as_deref()).with_context(|| format!("connection {nth} of {count}"));
        (1..=count).map(open).collect()
    }

    /// Opens one connection, and sends the password. Reads and writes fail after [`SILENCE_LIMIT`].
    pub(crate) fn open_one(&self) -> Result<TcpStream> {
        self.open(self.auth()?.as_deref())
    }

    fn open(&self, auth: Option<&[u8]>) -> Result<TcpStream> {
        let Self { connect, .. } = self;
        let stream = TcpStream::connect_timeout(connect, SILENCE_LIMIT)
            .with_context(|| format!("cannot connect to {connect}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_LIMIT))?;
        stream.set_write_timeout(Some(SILENCE_LIMIT))?;
        if let Some(auth) = auth {
            let said = ask(&stream, auth).with_context(|| connect.to_string())?;
            ensure!(said == "+OK", "{connect} does not let us in: {said}");
        }
        Ok(stream)
    }
}

/// Sends a request, and returns the line that answers it. The reply must be one line, and no other
/// may follow, because the buffered reader would lose it.
pub(crate) fn ask(mut stream: &TcpStream, request: &[u8]) -> Result<String> {
    stream.write_all(request)?;
    let mut line = String::new();
    BufReader::with_capacity(512, stream).read_line(&mut line)?;
    ensure!(line.ends_with('\n'), "it hung up");
    Ok(line.trim_end().to_owned())
}

/// Raises the limit of descriptors to the hard limit, which needs no privileges.
pub(crate) fn raise_descriptors() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).context("the limit of descriptors")
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// The result of connecting to a server that answers the password with this.
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
