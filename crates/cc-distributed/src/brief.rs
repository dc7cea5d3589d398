//! What a worker is told of a job, once, when its session begins.

use cc_workloads::{Error, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What a worker has to know of a job before its first task.
#[derive(Serialize, Deserialize)]
pub(crate) struct Brief<J> {
    /// The part of the job that all tasks have in common.
    pub(crate) job: J,
    /// Whether tasks name files instead of bringing their contents along.
    pub(crate) shared_fs: bool,
}

impl<J: DeserializeOwned> Brief<J> {
    /// Reads what the coordinator has encoded.
    ///
    /// # Errors
    ///
    /// If it is not a brief of this workload.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        postcard::from_bytes(bytes).map_err(|error| Error::worker("brief", error))
    }
}
