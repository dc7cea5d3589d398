//! What coordinator and worker send each other of a workload: plain data, as bytes.

use serde::{Serialize, de::DeserializeOwned};

use super::wire::room;

/// Jobs, tasks and outputs are understood only by the version that wrote them.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What goes on the journey: plain data, as bytes.
pub(crate) fn encode(what: &impl Serialize) -> Vec<u8> {
    let serialized = || {
        let size = postcard::experimental::serialized_size(what)?;
        postcard::to_io(what, Vec::with_capacity(room(size)))
    };
    serialized().expect("plain data serializes")
}

/// A check for [`Cluster::submit`](super::Cluster::submit): the answer is one value, whole and
/// nothing behind it, that `accepts` has no fault to find with. That is told the session it came
/// from, too.
pub(crate) fn decoded<O: DeserializeOwned>(
    accepts: impl Fn(&str, &O) -> Result<(), String>,
) -> impl FnMut(&str, &[u8]) -> Result<O, String> {
    move |session, answer| {
        let (output, rest) = postcard::take_from_bytes(answer).map_err(|error| error.to_string())?;
        if !rest.is_empty() {
            return Err("there is more than one answer".to_owned());
        }
        accepts(session, &output).map(|()| output)
    }
}
