//! Servers of a test, on threads, with and without TLS; and authorities, which are made on the
//! spot.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
};

use cc_workloads::fetch::Trust;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
};

/// The first byte of a handshake of TLS.
const HANDSHAKE: u8 = 22;

/// What a server does with a request, of which it is given the head and its number on this
/// connection, from 0. Nothing closes the connection.
pub(super) type Answer = fn(head: &str, nth: usize) -> Option<Vec<u8>>;

/// A server, which stops when it is dropped.
pub(super) struct Server {
    address: SocketAddr,
    is_stopped: Arc<AtomicBool>,
    heads: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server at a port of this address.
    pub(super) fn start(host: &str, tls: Option<Arc<ServerConfig>>, answer: Answer) -> Self {
        let listener = TcpListener::bind((host, 0)).expect("there is a port");
        let address = listener.local_addr().expect("it has one");
        let (is_stopped, heads) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(vec![])));
        let (stopped, seen) = (is_stopped.clone(), heads.clone());
        let serve = move || {
            thread::scope(|scope| {
                for stream in listener.incoming() {
                    if stopped.load(SeqCst) {
                        break;
                    }
                    let (stream, tls, seen) = (stream.expect("one comes"), tls.clone(), &seen);
                    scope.spawn(move || match tls.map(ServerConnection::new) {
                        Some(tls) => {
                            let tls = tls.expect("the configuration is valid");
                            converse(StreamOwned::new(tls, stream), answer, seen);
                        }
                        None => converse(stream, answer, seen),
                    });
                }
            });
        };
        Self { address, is_stopped, heads, thread: Some(thread::spawn(serve)) }
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The heads of all requests, in lower case.
    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("nothing panics under it").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_stopped.store(true, SeqCst);
        // Ends the wait for a connection.
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Answers requests until there is no more, or no answer to one. An error is the client's end.
fn converse(mut stream: impl Read + Write, answer: Answer, heads: &Mutex<Vec<String>>) {
    for nth in 0.. {
        let mut head = Vec::new();
        // A handshake of TLS is no request, and is answered at once.
        while !head.ends_with(b"\r\n\r\n") && !head.starts_with(&[HANDSHAKE]) {
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(1) => head.extend(byte),
                _ => return,
            }
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        heads.lock().expect("nothing panics under it").push(head.clone());
        match answer(&head, nth) {
            Some(bytes) if stream.write_all(&bytes).and_then(|()| stream.flush()).is_ok() => {}
            _ => return,
        }
    }
}

/// An answer of status 200 with this body and these headers, which end with line ends.
pub(super) fn ok(headers: &str, body: &[u8]) -> Option<Vec<u8>> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    Some([head.as_bytes(), body].concat())
}

/// An authority.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, key()).expect("the parameters are valid"))
    }

    /// Trust in this authority only, through a file.
    pub(super) fn trust(&self) -> Trust {
        trust(&self.0.pem())
    }

    /// A server whose certificate is for this name.
    pub(super) fn server(&self, name: &str) -> Arc<ServerConfig> {
        self.server_until(name, 2100)
    }

    /// A server whose certificate is for this name, and expires in this year.
    pub(super) fn server_until(&self, name: &str, year: i32) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new([name.to_owned()]).expect("the name is valid");
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(year, 1, 1));
        let key = key();
        let certificate = params.signed_by(&key, &self.0).expect("the parameters are valid");
        server(certificate.der().clone(), &key)
    }
}

/// A server with a certificate for this name that it has signed itself and that expires in this
/// year, and the trust in that. `is_ca` marks it as an authority's, as `openssl req -x509` does.
pub(super) fn self_signed(name: &str, is_ca: bool, year: i32) -> (Arc<ServerConfig>, Trust) {
    let (key, mut params) = (key(), CertificateParams::new([name.to_owned()]).expect("the name is valid"));
    (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(year, 1, 1));
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let certificate = params.self_signed(&key).expect("the parameters are valid");
    (server(certificate.der().clone(), &key), trust(&certificate.pem()))
}

fn trust(pem: &str) -> Trust {
    fs::write("authority.pem", pem).expect("a file can be made");
    Trust::of_file(Path::new("authority.pem")).expect("it is a certificate")
}

fn key() -> KeyPair {
    KeyPair::generate().expect("there is randomness")
}

fn server(certificate: CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("it is a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has what these take")
        .with_no_client_auth();
    Arc::new(config.with_single_cert(vec![certificate], key).expect("they belong together"))
}
