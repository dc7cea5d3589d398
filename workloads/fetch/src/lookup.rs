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

/// The addresses of a host that needs no lookup: an IP address, or `localhost`, which is always
/// this machine (RFC 6761).
#[must_use]
pub fn known(host: &str, port: u16) -> Option<Vec<SocketAddr>> {
    let host = host.trim_matches(['[', ']']);
    let addresses = if host.eq_ignore_ascii_case("localhost") {
        vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
    } else {
        vec![host.parse().ok()?]
    };
    Some(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect())
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
    let addresses: Vec<_> = found.take(MAX_ADDRESSES).collect();
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
        assert_eq!(known("example.org"), None);
    }

    #[test]
    fn a_name_that_is_none_is_found_to_be_none() {
        let (found_tx, found_rx) = sync_channel(1);
        start("no name at all", 80, move |found| found_tx.send(found).unwrap()).unwrap();
        assert_eq!(found_rx.recv().unwrap(), Err(no_such_host()));
    }
}
