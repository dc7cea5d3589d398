//! What a workload does in a worker.

use std::sync::Arc;

use cc_workloads::{Error, Result, Stop, root::Files};
use tonic::Status;

use super::{blob_store::ClusterBlobStore, codec::VERSION, stateful::Open, wire::pb::Hello};

/// What a worker offers for one workload.
pub struct Service {
    /// The workload.
    pub name: &'static str,
    /// The kind of its sessions.
    pub role: Role,
}

/// The kind of a workload's sessions.
pub enum Role {
    /// The worker does tasks. The function is called once for each slot.
    Tasks(Begin),
    /// The worker keeps state, and answers requests.
    Stateful {
        /// Called once for each session.
        open: Open,
        /// Whether the worker sends network requests to hosts that the coordinator names.
        requests: bool,
    },
}

impl Service {
    /// A workload whose tasks the worker does.
    #[must_use]
    pub const fn tasks(name: &'static str, begin: Begin) -> Self {
        Self { name, role: Role::Tasks(begin) }
    }

    /// The role of the workload that a session asks for, if coordinator and worker have the same
    /// version. `select` returns None for a role of another kind of session.
    pub(super) fn find<T>(
        services: &[Self],
        hello: &Hello,
        select: impl Fn(&Role) -> Option<T>,
    ) -> Result<T, Status> {
        if hello.version != VERSION {
            let why = format!("the worker has version {VERSION}, the coordinator version {}", hello.version);
            return Err(Status::failed_precondition(why));
        }
        let mut of_workload = services.iter().filter(|service| service.name == hello.workload);
        let none = || Status::failed_precondition(format!("the worker has no workload {:?}", hello.workload));
        of_workload.find_map(|service| select(&service.role)).ok_or_else(none)
    }
}

/// Begins with an encoded job, and returns the function that does its tasks.
pub type Begin = fn(context: &JobContext, job: &[u8]) -> Result<Work>;

/// What a job may use in a worker.
pub struct JobContext {
    /// The files that it may open.
    pub(super) files: Files,
    /// The blob store for what its tasks leave to later tasks, which may run in other workers.
    pub blobs: Arc<ClusterBlobStore>,
    /// Requested when the session has ended: the results of its tasks are then not needed.
    pub stop: Stop,
}

impl JobContext {
    /// The files that the job may open. `by_name` says whether its tasks name files.
    ///
    /// # Errors
    ///
    /// If tasks name files, and the worker serves none.
    pub fn files(&self, by_name: bool) -> Result<Files> {
        if by_name && matches!(self.files, Files::None) {
            let why = "was started without --root, so it refuses file names (--shared-fs)";
            return Err(Error::Usage(why.to_owned()));
        }
        Ok(self.files.clone())
    }
}

/// Does an encoded task, and returns its encoded output, or why it has failed. A panic counts as a
/// failure, too, and must leave the function usable.
pub type Work = Box<dyn FnMut(&[u8]) -> Result<Vec<u8>, String> + Send>;
