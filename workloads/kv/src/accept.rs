//! What an error of a listener means.

use std::{io, time::Duration};

use rustix::io::Errno;

/// When there are no descriptors or no memory, nobody tells when there are again: anybody may have given them back.
const SCARCE: Duration = Duration::from_millis(100);

/// How long to wait before the next client is accepted, after this error; none if there will be no other.
///
/// Errors of the newcomer's own connection, and of the network that it came by, concern nobody else: accept(2) says
/// which they are.
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
        Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM => Some(SCARCE),
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
        assert_eq!(after(Errno::MFILE), Some(SCARCE));
        assert_eq!(after(Errno::INVAL), None);
        assert_eq!(after(Errno::BADF), None);
        assert_eq!(accept_again(&io::Error::other("not the system's")), None);
    }
}
