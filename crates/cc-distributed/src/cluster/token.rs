//! The token: a caller that has it belongs to the cluster.
//!
//! Each user has a token in a file, which is made when it is first needed. So on one machine the
//! workers of a user serve this user's coordinators and no others. For several machines, a file is
//! named on the command line.
//!
//! The token is sent with every call, as plain text. There is no TLS, so anything that can read the
//! network traffic can read it. Workers send it to each other, too: a coordinator that has it can
//! make them call any address.

use std::{
    env,
    fmt::Write as _,
    fs::{DirBuilder, File},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use cc_workloads::{Error, Result, printable::printable_path};
use subtle::ConstantTimeEq;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
};

use super::acceptor::Peer;

const HEADER: &str = "authorization";

/// A shared secret.
#[derive(Clone)]
pub(super) struct Token(MetadataValue<Ascii>);

impl Token {
    /// Makes a random token.
    pub(super) fn random() -> Result<Self> {
        Self::new(&random()?)
    }

    /// Reads the token in this file, without the white space around it.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, has no token, or users other than its owner may read or change
    /// it.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let what = || format!("token file {}", printable_path(path));
        let (mode, text) = read(path).map_err(Error::io(what()))?;
        if mode & OTHERS != 0 {
            let why = format!("{}: others may read or change it: chmod 600 {}", what(), printable_path(path));
            return Err(Error::Usage(why));
        }
        Self::new(&text).map_err(|error| Error::Usage(format!("{}: {error}", what())))
    }

    /// The user's own token, and its file, which is made if it does not exist.
    pub(super) fn of_user() -> Result<(Self, PathBuf)> {
        let path = user_file()?;
        if !path.exists() {
            make(&path).map_err(Error::io(format!("token file {}", printable_path(&path))))?;
        }
        Ok((Self::read(&path)?, path))
    }

    /// The user's own token, if there is one.
    pub(super) fn of_user_if_any() -> Result<Option<Self>> {
        user_file().ok().filter(|path| path.exists()).map(|path| Self::read(&path)).transpose()
    }

    pub(super) fn new(text: &str) -> Result<Self> {
        let text = text.trim();
        let bad = || Error::io("token")(io::Error::new(io::ErrorKind::InvalidData, "must be visible ASCII"));
        if text.is_empty() {
            return Err(bad());
        }
        let mut value: MetadataValue<Ascii> = format!("Bearer {text}").parse().map_err(|_| bad())?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// The secret, to pass it to a worker process.
    pub(super) fn text(&self) -> &[u8] {
        self.0.as_bytes().strip_prefix(b"Bearer ").unwrap_or_default()
    }
}

/// The permissions of users other than the owner, in a file's mode.
const OTHERS: u32 = 0o077;

/// Maximum bytes of a token file that are read: far more than a token has.
const LONGEST: u64 = 4096;

/// The mode and the text of a file. Both are of the opened file, so the text is of the file that
/// was checked.
fn read(path: &Path) -> io::Result<(u32, String)> {
    let (file, mut text) = (File::open(path)?, String::new());
    let mode = file.metadata()?.mode();
    file.take(LONGEST).read_to_string(&mut text)?;
    Ok((mode, text))
}

/// The path of the user's own token.
fn user_file() -> Result<PathBuf> {
    let dir = |name: &str| env::var_os(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
    let config = dir("XDG_CONFIG_HOME").or_else(|| dir("HOME").map(|home| home.join(".config")));
    let none = || {
        Error::Usage(
            "there is no directory for a token, because neither XDG_CONFIG_HOME nor HOME is set: give --token-file".to_owned(),
        )
    };
    config.map(|config| config.join("cc-distributed/token")).ok_or_else(none)
}

/// Makes a file with a random token, which only its owner may read. The file appears complete. If
/// another process makes it at the same time, that one stays.
fn make(path: &Path) -> io::Result<()> {
    let dir = path.parent().expect("it has a name");
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    writeln!(file, "{}", random().map_err(io::Error::other)?)?;
    match file.persist_noclobber(path) {
        Err(failed) if failed.error.kind() != io::ErrorKind::AlreadyExists => Err(failed.error),
        _ => Ok(()),
    }
}

/// A text that cannot be guessed: 256 bits of the operating system's random numbers, in
/// hexadecimal.
pub(super) fn random() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| Error::worker("random numbers", error))?;
    Ok(bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
        hex
    }))
}

/// The caller's side: adds the token to each call.
#[derive(Clone)]
pub(super) struct AttachToken(pub(super) Option<Token>);

impl Interceptor for AttachToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(Token(value)) = &self.0 {
            request.metadata_mut().insert(HEADER, value.clone());
        }
        Ok(request)
    }
}

/// The called side: refuses calls without the token.
#[derive(Clone)]
pub(super) struct RequireToken(pub(super) Token);

impl Interceptor for RequireToken {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let Self(Token(expected)) = self;
        let given = request.metadata().get(HEADER).map(MetadataValue::as_bytes).unwrap_or_default();
        // Compares in constant time: the duration of a refusal must not show how much of a guess
        // was right.
        let is_right = bool::from(given.ct_eq(expected.as_bytes()));
        let peer = request.extensions().get::<Peer>();
        if is_right {
            peer.inspect(|peer| peer.authenticate());
            Ok(request)
        } else {
            peer.inspect(|peer| peer.refuse());
            Err(Status::unauthenticated("wrong token"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt,
    };

    use super::*;

    fn is_accepted(expected: &Token, given: Option<Token>) -> bool {
        let request = AttachToken(given).call(Request::new(())).unwrap();
        RequireToken(expected.clone()).call(request).is_ok()
    }

    #[test]
    fn only_calls_with_the_token_are_accepted() {
        let token = Token::random().unwrap();
        assert!(is_accepted(&token, Some(token.clone())));
        assert!(!is_accepted(&token, Some(Token::random().unwrap())));
        assert!(!is_accepted(&token, None));
    }

    #[test]
    fn a_token_file_is_made_once_and_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made/for/it/token");
        make(&path).unwrap();
        let token = Token::read(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        make(&path).unwrap();
        assert_eq!(Token::read(&path).unwrap().text(), token.text());
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_token_file_that_others_may_read_or_change_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, "secret").unwrap();
        for mode in [0o604, 0o640, 0o620, 0o602] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let why = Token::read(&path).map(drop).unwrap_err().to_string();
            assert!(why.ends_with(&format!("chmod 600 {}", path.display())), "{why}");
        }
        for mode in [0o600, 0o400] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert!(Token::read(&path).is_ok(), "{mode:o}");
        }
    }

    #[test]
    fn a_token_is_visible_text() {
        assert_eq!(Token::new(" secret\n").unwrap().text(), b"secret");
        assert!(Token::new(" \n").is_err());
        assert!(Token::new("se\ncret").is_err());
    }
}
