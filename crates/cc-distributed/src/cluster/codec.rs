//! Encodes and decodes a workload's data: jobs, tasks and outputs are plain data, sent as bytes.

use serde::{Serialize, de::DeserializeOwned};

use super::wire::capacity;

/// The version of this program. Only the same version can decode its jobs, tasks and outputs.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Encodes plain data.
pub(crate) fn encode(data: &impl Serialize) -> Vec<u8> {
    let serialized = || {
        let size = postcard::experimental::serialized_size(data)?;
        postcard::to_io(data, Vec::with_capacity(capacity(size)))
    };
    serialized().expect("plain data serializes")
}

/// A check for [`Cluster::submit`](super::Cluster::submit). It decodes an answer, which must be one
/// value with no bytes after it. `accepts` gets the location of the session that has answered, and
/// the value, and says what is wrong with it.
pub(crate) fn decoded<O: DeserializeOwned>(
    accepts: impl Fn(&str, &O) -> Result<(), String>,
) -> impl FnMut(&str, &[u8]) -> Result<O, String> {
    move |location, answer| {
        let (output, rest) = postcard::take_from_bytes(answer).map_err(|error| error.to_string())?;
        if !rest.is_empty() {
            return Err("the answer has bytes after its end".to_owned());
        }
        accepts(location, &output).map(|()| output)
    }
}
