//! The addresses of a host, and DNS lookups that cannot block an attempt.
//!
//! `getaddrinfo` honours `/etc/hosts`, `nsswitch.conf` and everything else that an administrator
//! has configured. But it cannot be cancelled: if no server answers, it returns after ten seconds
//! or more. Therefore each lookup runs on its own thread, and an attempt waits for its answer, its
//! timeout or the stop, whichever is first. A thread that is no longer waited for owns nothing of
//! the run. It ends when `getaddrinfo` returns or when the process exits, which it does not delay.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    thread,
    time::Duration,
};

use super::failure::TransportError;
use cc_core::{error::reason, failpoint};

/// Maximum concurrent lookups, including those that no attempt waits for any more: each has a
/// thread.
pub const LOOKUPS: usize = 32;

/// Maximum addresses of a host that are tried. They share the timeout, so more of them would leave
/// too little time for each.
const MAX_ADDRESSES: usize = 16;

/// Stack size of a lookup thread: `getaddrinfo` has buffers on the stack. Stack pages that are not
/// touched take no memory.
const STACK: usize = 256 << 10;

/// The result of a lookup.
pub type Found = Result<Vec<SocketAddr>, TransportError>;

/// The addresses of a host that needs no lookup: an IP address, or `localhost` and the names below
/// it, which are always this machine (RFC 6761).
#[must_use]
pub fn known(host: &str, port: u16) -> Option<Vec<SocketAddr>> {
    let host = host.trim_matches(['[', ']']);
    let addresses = if is_localhost(host) {
        vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
    } else {
        vec![host.parse().ok()?]
    };
    Some(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect())
}

fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// The share of an address in the time that is left for it and the `others` after it.
#[must_use]
pub fn share(left: Duration, others: usize) -> Duration {
    left / u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1)
}

/// The addresses of a host that no connection could be made to, and why.
#[derive(Debug, Default)]
pub struct Refusals(Vec<(IpAddr, TransportError)>);

impl Refusals {
    /// Adds an address.
    pub fn push(&mut self, address: SocketAddr, why: TransportError) {
        self.0.push((address.ip(), why));
    }

    /// Why the host cannot be reached: a text that names all addresses, if there is more than one.
    #[must_use]
    pub fn into_error(mut self) -> TransportError {
        if self.0.iter().all(|(_, why)| *why == TransportError::TimedOut) && !self.0.is_empty() {
            return TransportError::TimedOut;
        }
        if self.0.len() < 2 {
            return self.0.pop().map_or_else(no_such_host, |(_, why)| why);
        }
        let each = self.0.iter().map(|(address, why)| match why {
            TransportError::Unreachable(why) => format!("{address}: {why}"),
            TransportError::TimedOut => format!("{address}: timed out"),
            _ => format!("{address}: interrupted"),
        });
        TransportError::Unreachable(each.collect::<Vec<_>>().join(", "))
    }
}

/// Starts a lookup on its own thread, which calls `done` with the result. The caller must limit the
/// concurrent lookups to [`LOOKUPS`].
///
/// # Errors
///
/// If the thread cannot be started.
pub fn start(host: &str, port: u16, done: impl FnOnce(Found) + Send + 'static) -> Result<(), TransportError> {
    let host = host.to_owned();
    let thread = thread::Builder::new().name("lookup".to_owned()).stack_size(STACK);
    let started = thread.spawn(move || done(look_up(&host, port)));
    started.map(drop).map_err(|error| unreachable(&error))
}

fn look_up(host: &str, port: u16) -> Found {
    if failpoint::is_enabled() {
        failpoint::hit(format!("lookup {host}").as_bytes(), 0);
    }
    let found = (host, port).to_socket_addrs().map_err(|_| no_such_host())?;
    let mut addresses: Vec<_> = found.take(MAX_ADDRESSES).collect();
    // A file of hosts may list an address twice.
    addresses.dedup();
    if addresses.is_empty() { Err(no_such_host()) } else { Ok(addresses) }
}

fn no_such_host() -> TransportError {
    TransportError::Unreachable("no such host".to_owned())
}

fn unreachable(error: &io::Error) -> TransportError {
    TransportError::Unreachable(reason(error))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn addresses_are_known_without_a_lookup() {
        let known =
            |host| known(host, 80).map(|addresses| addresses.iter().map(ToString::to_string).collect());
        assert_eq!(known("127.0.0.2"), Some(vec!["127.0.0.2:80".to_owned()]));
        assert_eq!(known("[::1]"), Some(vec!["[::1]:80".to_owned()]));
        assert_eq!(known("LocalHost"), Some(vec!["127.0.0.1:80".to_owned(), "[::1]:80".to_owned()]));
        let below = known("App.localhost.").unwrap();
        assert_eq!(below, ["127.0.0.1:80", "[::1]:80"]);
        assert!(known("example.org").is_none() && known("mylocalhost").is_none());
    }

    #[test]
    fn a_reason_names_all_addresses() {
        let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 80);
        let refused = || TransportError::Unreachable("Connection refused".to_owned());
        let error_of = |refusals: &[(&str, TransportError)]| {
            let mut all = Refusals::default();
            refusals.iter().for_each(|(text, why)| all.push(address(text), why.clone()));
            all.into_error()
        };
        let text = "127.0.0.1: Connection refused, ::1: timed out".to_owned();
        let both = [("127.0.0.1", refused()), ("::1", TransportError::TimedOut)];
        assert_eq!(error_of(&both), TransportError::Unreachable(text));
        assert_eq!(error_of(&both[..1]), refused());
        assert_eq!(error_of(&both[1..]), TransportError::TimedOut);
        assert_eq!(error_of(&[both[1].clone(), both[1].clone()]), TransportError::TimedOut);
        assert_eq!(error_of(&[]), no_such_host());
    }

    #[test]
    fn each_address_has_its_share_of_the_time() {
        let time = Duration::from_secs(30);
        assert_eq!((share(time, 2), share(time, 0)), (time / 3, time));
        assert_eq!(share(time, usize::MAX), Duration::from_secs(30) / u32::MAX);
    }

    #[test]
    fn a_name_that_is_none_is_found_to_be_none() {
        let (found_tx, found_rx) = sync_channel(1);
        start("no name at all", 80, move |found| found_tx.send(found).unwrap()).unwrap();
        assert_eq!(found_rx.recv().unwrap(), Err(no_such_host()));
    }
}
