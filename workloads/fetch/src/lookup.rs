//! The addresses of a host, and a lookup that no attempt has to wait for.
//!
//! The system looks up names with `getaddrinfo`, which honours `/etc/hosts`, `nsswitch.conf` and
//! all that an administrator has set up, and which cannot be cancelled: where no server answers, it
//! returns after ten seconds or more. So each lookup has a thread of its own, and an attempt waits
//! for its answer, its timeout or the stop, whichever is first. A thread that is not waited for any
//! more owns nothing of the run. It ends when the system answers, or with the process, which it
//! does not keep from ending.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    thread,
};

use super::failure::Trouble;
use cc_core::{error::reason, failpoint};

/// Maximum lookups at once, those included that no attempt waits for any more: each has a thread.
pub const LOOKUPS: usize = 32;

/// A host may have more addresses. Trying so many takes longer than any timeout.
const MOST_ADDRESSES: usize = 16;

/// `getaddrinfo` has buffers on its stack. What a thread does not touch of its stack takes no
/// memory.
const STACK: usize = 256 << 10;

/// What a lookup has found.
pub type Found = Result<Vec<SocketAddr>, Trouble>;

/// The addresses of a host that need no lookup: an address is its own, and `localhost` is this
/// machine, whatever a server says (RFC 6761).
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

/// Begins a lookup on a thread of its own, which calls `done` with what it has found. The caller
/// sees to it that there are no more than [`LOOKUPS`].
///
/// # Errors
///
/// If there is no thread to be had.
pub fn start(host: &str, port: u16, done: impl FnOnce(Found) + Send + 'static) -> Result<(), Trouble> {
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
    let addresses: Vec<_> = found.take(MOST_ADDRESSES).collect();
    if addresses.is_empty() { Err(no_such_host()) } else { Ok(addresses) }
}

fn no_such_host() -> Trouble {
    Trouble::Unreachable("no such host".to_owned())
}

fn unreachable(error: &io::Error) -> Trouble {
    Trouble::Unreachable(reason(error))
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
