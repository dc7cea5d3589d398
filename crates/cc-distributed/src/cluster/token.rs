//! The token: who knows it belongs to the cluster.
//!
//! It travels with every call, and in clear: without TLS, whoever can listen on the network can read it. Workers
//! present it to each other, too: a coordinator that has it may have them call any address.

use std::{fmt::Write, fs, io, path::Path};

use cc_workloads::{Error, Result};
use subtle::ConstantTimeEq;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
};

const HEADER: &str = "authorization";

/// A shared secret.
#[derive(Clone)]
pub(super) struct Token(MetadataValue<Ascii>);

impl Token {
    /// A new one.
    pub(super) fn random() -> Result<Self> {
        Self::new(&random()?)
    }

    /// The one in this file, without the white space around it.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let what = || format!("token file {}", path.display());
        Self::new(&fs::read_to_string(path).map_err(Error::io(what()))?)
            .map_err(|error| Error::Usage(format!("{}: {error}", what())))
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

    /// The secret itself, to pass it on.
    pub(super) fn text(&self) -> &[u8] {
        self.0.as_bytes().strip_prefix(b"Bearer ").unwrap_or_default()
    }
}

/// What nobody can guess, from the operating system's random numbers.
pub(super) fn random() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| Error::worker("random numbers", error))?;
    Ok(bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes all");
        hex
    }))
}

/// The caller's side: puts the token into each call.
#[derive(Clone)]
pub(super) struct Present(pub(super) Option<Token>);

impl Interceptor for Present {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(Token(value)) = &self.0 {
            request.metadata_mut().insert(HEADER, value.clone());
        }
        Ok(request)
    }
}

/// The called side: lets no call through without the token.
#[derive(Clone)]
pub(super) struct Demand(pub(super) Option<Token>);

impl Interceptor for Demand {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let Some(Token(wanted)) = &self.0 else { return Ok(request) };
        let given = request.metadata().get(HEADER).map(MetadataValue::as_bytes).unwrap_or_default();
        // In constant time: how long a refusal takes must not tell how much of a guess was right.
        if bool::from(given.ct_eq(wanted.as_bytes())) {
            Ok(request)
        } else {
            Err(Status::unauthenticated("wrong token"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(wanted: &Token, given: Option<Token>) -> bool {
        let request = Present(given).call(Request::new(())).unwrap();
        Demand(Some(wanted.clone())).call(request).is_ok()
    }

    #[test]
    fn only_the_token_opens() {
        let token = Token::random().unwrap();
        assert!(demand(&token, Some(token.clone())));
        assert!(!demand(&token, Some(Token::random().unwrap())));
        assert!(!demand(&token, None));
    }

    #[test]
    fn a_token_is_visible_text() {
        assert_eq!(Token::new(" secret\n").unwrap().text(), b"secret");
        assert!(Token::new(" \n").is_err());
        assert!(Token::new("se\ncret").is_err());
    }
}
