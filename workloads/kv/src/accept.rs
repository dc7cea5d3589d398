//! Errors of `accept`.

use std::{io, time::Duration};

use rustix::io::Errno;

/// The delay after a lack of descriptors or memory: no event reports that another thread or process
/// has released some.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// How long to wait after this error before the next `accept`. `None` if the listener is broken.
///
/// Errors of the new connection itself, and of its network, do not affect other clients; accept(2)
/// lists them.
#[must_use]
pub fn accept_again(error: &io::Error) -> Option<Duration> {
    match Errno::from_io_error(error)? {
        Errno::INTR
        | Errno::CONNABORTED
        | Errno::PROTO
        | Errno::NOPROTOOPT
        | Errno::OPNOTSUPP
        | Errno::PERM
        | Errno::NETDOWN
        | Errno::NETUNREACH
        | Errno::HOSTDOWN
        | Errno::HOSTUNREACH
        | Errno::NONET
        | Errno::TIMEDOUT => Some(Duration::ZERO),
        Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM => Some(RETRY_DELAY),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_error_is_its_own_want_passes_and_a_closed_listener_is_the_end() {
        let after = |errno: Errno| accept_again(&errno.into());
        assert_eq!(after(Errno::CONNABORTED), Some(Duration::ZERO));
        assert_eq!(after(Errno::MFILE), Some(RETRY_DELAY));
        assert_eq!(after(Errno::INVAL), None);
        assert_eq!(after(Errno::BADF), None);
        assert_eq!(accept_again(&io::Error::other("not the system's")), None);
    }
}
