//! TLS: which authorities are trusted, and what its errors are called. Both clients use it, so that
//! a server is trusted in all models or in none.
//!
//! The authorities that a flag or the environment names are read once, where the command line is,
//! and travel with the settings: a worker on another machine does not have the file. Without them,
//! each machine trusts those of its own store, or the compiled-in ones of Mozilla if it has none.

use std::{
    env,
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    path::Path,
    sync::{Arc, LazyLock, OnceLock},
};

use cc_core::{error::reason, printable::printable_path};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, InvalidMessage, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::ring,
    pki_types::{CertificateDer, Der, ServerName, TrustAnchor, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use serde::{Deserialize, Serialize};

use super::failure::TransportError;

/// Maximum bytes of a file of certificates: ten times the size of the usual bundle.
const MAX_FILE: u64 = 4 << 20;

/// Maximum bytes of all authorities: they are a part of one message to each worker process. The
/// usual bundle takes half of it.
const MAX_ANCHORS: usize = 128 << 10;

/// The authorities whose certificates are trusted. Plain data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trust {
    /// Those of the system's store, or the compiled-in ones if that is empty.
    #[default]
    System,
    /// These, and no others.
    Only(Named),
    /// None, for this reason: the environment names a store that cannot be used.
    Unusable(String),
}

/// Authorities that a flag or a variable names. Clones share them, and the configuration of TLS: an
/// actor for each request would otherwise have its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Vec<Authority>", into = "Vec<Authority>")]
pub struct Named(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    authorities: Vec<Authority>,
    /// Made when it is first needed: most runs need none.
    config: OnceLock<Result<Arc<ClientConfig>, String>>,
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.0.authorities == other.0.authorities
    }
}

impl Eq for Named {}

impl From<Vec<Authority>> for Named {
    fn from(authorities: Vec<Authority>) -> Self {
        Self(Arc::new(Shared { authorities, config: OnceLock::new() }))
    }
}

impl From<Named> for Vec<Authority> {
    fn from(named: Named) -> Self {
        named.0.authorities.clone()
    }
}

/// What is needed of an authority's certificate to check a signature, encoded as DER.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    #[serde(with = "serde_bytes")]
    subject: Vec<u8>,
    #[serde(with = "serde_bytes")]
    public_key: Vec<u8>,
    #[serde(with = "serde_bytes")]
    name_constraints: Option<Vec<u8>>,
}

impl Authority {
    fn new(anchor: &TrustAnchor<'_>) -> Self {
        Self {
            subject: anchor.subject.to_vec(),
            public_key: anchor.subject_public_key_info.to_vec(),
            name_constraints: anchor.name_constraints.as_ref().map(|constraints| constraints.to_vec()),
        }
    }

    fn anchor(&self) -> TrustAnchor<'static> {
        let owned = |der: &Vec<u8>| Der::from(der.clone());
        TrustAnchor {
            subject: owned(&self.subject),
            subject_public_key_info: owned(&self.public_key),
            name_constraints: self.name_constraints.as_ref().map(owned),
        }
    }

    fn size(&self) -> usize {
        self.subject.len() + self.public_key.len() + self.name_constraints.as_ref().map_or(0, Vec::len)
    }
}

impl Trust {
    /// Only the certificates in this file, which are in PEM form.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or has no such certificate: a text for a message.
    pub fn of_file(path: &Path) -> Result<Self, String> {
        Self::of_certificates(read(path)?)
    }

    /// Only those that `SSL_CERT_FILE` and the directories in `SSL_CERT_DIR` contain, if one of
    /// them is set. A store that cannot be used matters only to https, and fails only that.
    #[must_use]
    pub fn of_environment() -> Self {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty());
        Self::of_variables(set("SSL_CERT_FILE").as_deref(), set("SSL_CERT_DIR").as_deref())
    }

    fn of_variables(file: Option<&OsStr>, dirs: Option<&OsStr>) -> Self {
        if file.is_none() && dirs.is_none() {
            return Self::System;
        }
        let (mut certificates, mut unread) = (Vec::new(), None);
        if let Some(file) = file {
            match read(Path::new(file)) {
                Ok(read) => certificates = read,
                Err(why) => unread = Some(format!("SSL_CERT_FILE {}: {why}", printable_path(file))),
            }
        }
        for dir in dirs.iter().flat_map(env::split_paths).filter(|dir| !dir.as_os_str().is_empty()) {
            certificates.extend(rustls_native_certs::load_certs_from_paths(None, Some(&dir)).certs);
        }
        let trust = Self::of_certificates(certificates);
        trust.unwrap_or_else(|why| {
            Self::Unusable(unread.unwrap_or_else(|| format!("SSL_CERT_FILE and SSL_CERT_DIR: {why}")))
        })
    }

    fn of_certificates(certificates: Vec<CertificateDer<'static>>) -> Result<Self, String> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(certificates);
        if store.is_empty() {
            return Err("no certificate in PEM form".to_owned());
        }
        let mut authorities = Vec::new();
        for authority in store.roots.iter().map(Authority::new) {
            if !authorities.contains(&authority) {
                authorities.push(authority);
            }
        }
        let size: usize = authorities.iter().map(Authority::size).sum();
        if size > MAX_ANCHORS {
            return Err(format!("its authorities take {size} bytes, and may take {MAX_ANCHORS}"));
        }
        Ok(Self::Only(authorities.into()))
    }

    /// The configuration of a client's connections.
    ///
    /// # Errors
    ///
    /// If the environment names a store that cannot be used.
    pub fn config(&self) -> Result<Arc<ClientConfig>, TransportError> {
        match self {
            Self::System => Ok(SYSTEM.clone()),
            Self::Only(Named(shared)) => {
                let roots = || shared.authorities.iter().map(Authority::anchor).collect();
                let config = || config(RootCertStore { roots: roots() }, &shared.authorities);
                shared.config.get_or_init(config).clone().map_err(TransportError::Tls)
            }
            Self::Unusable(why) => Err(TransportError::Tls(why.clone())),
        }
    }
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut text = Vec::new();
    let file = File::open(path).map_err(|error| reason(&error))?;
    file.take(MAX_FILE + 1).read_to_end(&mut text).map_err(|error| reason(&error))?;
    if text.len() as u64 > MAX_FILE {
        return Err(format!("more than {MAX_FILE} bytes"));
    }
    let certificates = CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>();
    certificates.map_err(|_| "not in PEM form".to_owned())
}

/// The configuration with the system's store, which is read once per process.
static SYSTEM: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let roots = roots(rustls_native_certs::load_native_certs().certs);
    config(roots, &[]).expect("there is an authority")
});

/// The authorities of the system, or the compiled-in ones if there is none. A certificate that
/// cannot be read is not trusted, like one that is absent.
fn roots(system: Vec<CertificateDer<'static>>) -> RootCertStore {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(system);
    if store.is_empty() {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    store
}

/// A configuration that trusts these authorities, of which the second are named by a flag or a
/// variable.
fn config(roots: RootCertStore, named: &[Authority]) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    let webpki = verifier.map_err(|error| error.to_string())?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has what these take")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { webpki, named: named.to_vec() }))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Checks a server's certificate. In addition to what `webpki` accepts, that is a certificate that
/// signed itself, is marked as an authority's, and is one of those that a flag or a variable names:
/// `openssl req -x509` makes such ones, and curl accepts them.
#[derive(Debug)]
struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    named: Vec<Authority>,
}

impl Verifier {
    /// Whether the certificate has the name and the key of an authority that was named.
    fn is_named(&self, certificate: &CertificateDer<'_>) -> bool {
        let mut store = RootCertStore::empty();
        store.add(certificate.clone().into_owned()).is_ok()
            && store.roots.iter().any(|anchor| self.named.contains(&Authority::new(anchor)))
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.webpki.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // `webpki` has checked the dates before the mark (`certificates_are_checked`).
            Err(error) if is_marked(&error) && self.is_named(certificate) => {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            checked => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// Whether a certificate was refused because it is marked as an authority's.
fn is_marked(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::Other(why)) => why.0.to_string() == "CaUsedAsEndEntity",
        _ => false,
    }
}

/// The name that a server's certificate must be valid for.
///
/// # Errors
///
/// If no certificate can be valid for this host.
pub fn server_name(host: &str) -> Result<ServerName<'static>, TransportError> {
    ServerName::try_from(host.to_owned()).map_err(|error| TransportError::Tls(error.to_string()))
}

/// The error of TLS that this error contains, if it does. The host is the one that the connection
/// is for.
#[must_use]
pub fn error_of(error: &io::Error, host: &str) -> Option<TransportError> {
    let inner = error.get_ref()?.downcast_ref()?;
    Some(TransportError::Tls(why(inner, host)))
}

fn why(error: &Error, host: &str) -> String {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
        UnknownIssuer,
    };
    match error {
        Error::InvalidCertificate(Expired | ExpiredContext { .. }) => {
            "the certificate has expired".to_owned()
        }
        Error::InvalidCertificate(NotValidYet | NotValidYetContext { .. }) => {
            "the certificate is not valid yet".to_owned()
        }
        Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            format!("the certificate is not valid for {host}")
        }
        Error::InvalidCertificate(UnknownIssuer) => {
            "the certificate's issuer is not trusted (see --cacert)".to_owned()
        }
        error if is_marked(error) => {
            "the certificate is an authority's, and not among those that are trusted (see --cacert)"
                .to_owned()
        }
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the server does not speak TLS".to_owned()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
