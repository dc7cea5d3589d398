//! What a worker is told once about a job, when its session begins.

use cc_workloads::{Error, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What a worker needs to know before its first task of a job.
#[derive(Serialize, Deserialize)]
pub(crate) struct JobSetup<J> {
    /// The part of the job that all tasks have in common.
    pub(crate) job: J,
    /// Whether tasks name files, instead of carrying their contents.
    pub(crate) shared_fs: bool,
}

impl<J: DeserializeOwned> JobSetup<J> {
    /// Decodes what the coordinator has encoded.
    ///
    /// # Errors
    ///
    /// If the bytes are not a setup of this workload.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        postcard::from_bytes(bytes).map_err(|error| Error::worker("job setup", error))
    }
}
