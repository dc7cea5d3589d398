//! The limit of open descriptors.

use cc_core::error::{Error, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::schedule::PARKED;
/// Descriptors of a process that do not belong to requests: standard streams, those of libraries,
/// and the files of interrupted bodies that wait for another attempt.
const OTHER_DESCRIPTORS: usize = 24 + PARKED;

/// Raises the limit of descriptors, if necessary, so that `at_once` requests can have `each` of
/// them. Fails with a message that names the limit if the process may not raise it so far.
pub fn descriptors(at_once: usize, each: usize) -> Result<()> {
    let wanted = at_once.saturating_mul(each).saturating_add(OTHER_DESCRIPTORS) as u64;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    if limit.maximum.is_none_or(|most| most >= wanted) {
        let raised = Rlimit { current: Some(wanted), ..limit };
        return setrlimit(Resource::Nofile, raised)
            .map_err(|error| Error::io("limit of descriptors")(error.into()));
    }
    let most = limit.maximum.unwrap_or(0);
    Err(Error::Usage(format!(
        "--concurrency {at_once} takes {wanted} descriptors, and this process may have {most} (ulimit -Hn)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_system_has_are_refused() {
        assert!(descriptors(1, 1).is_ok());
        let error = descriptors(usize::MAX / 2, 2).map_err(|error| error.to_string());
        assert!(
            error.is_ok() || error.is_err_and(|why| why.contains("--concurrency") && why.contains("ulimit"))
        );
    }
}
