//! What a workload does in a worker.

use std::sync::Arc;

use cc_workloads::{Error, Result, Stop, root::Files};
use tonic::Status;

use super::{codec::VERSION, keeper::Open, shelf::ClusterShelf, wire::pb::Hello};

/// A workload's side in the worker.
pub struct Service {
    /// The workload.
    pub name: &'static str,
    /// What the worker does for it.
    pub role: Role,
}

/// What a worker does for a workload.
pub enum Role {
    /// Its tasks. A job is begun once for each slot.
    Tasks(Begin),
    /// It keeps something. A job is begun once for each session.
    Keeper {
        /// How it is begun.
        open: Open,
        /// Whether it has the worker send requests to whatever host the coordinator names.
        requests: bool,
    },
}

impl Service {
    /// A workload whose tasks the worker does.
    #[must_use]
    pub const fn tasks(name: &'static str, begin: Begin) -> Self {
        Self { name, role: Role::Tasks(begin) }
    }

    /// What a session asks for: the role of its workload, if coordinator and worker have the same
    /// version and the role is one that `plays` knows.
    pub(super) fn find<T>(
        services: &[Self],
        hello: &Hello,
        plays: impl Fn(&Role) -> Option<T>,
    ) -> Result<T, Status> {
        if hello.version != VERSION {
            let why = format!("version {VERSION} cannot work for version {}", hello.version);
            return Err(Status::failed_precondition(why));
        }
        let of_workload = services.iter().filter(|service| service.name == hello.workload);
        let none = || Status::failed_precondition(format!("no workload {:?} here", hello.workload));
        of_workload.filter_map(|service| plays(&service.role)).next().ok_or_else(none)
    }
}

/// Begins with an encoded job.
pub type Begin = fn(job: &[u8], means: &Means) -> Result<Work>;

/// What a job has in the worker.
pub struct Means {
    /// It may open these, and no others.
    pub(super) files: Files,
    /// What its tasks leave for those that come later, wherever they are done.
    pub shelf: Arc<ClusterShelf>,
    /// Requested when the session has ended: what its tasks do is not needed any more.
    pub stop: Stop,
}

impl Means {
    /// What the job may open, which sends contents, or `names`. Refuses names where none are
    /// served.
    pub fn files(&self, names: bool) -> Result<Files> {
        if names && matches!(self.files, Files::None) {
            let why = "was started without --root: it takes contents, not --shared-fs";
            return Err(Error::Usage(why.to_owned()));
        }
        Ok(self.files.clone())
    }
}

/// From an encoded task to its encoded output, or to why it cannot be done. A panic is such a
/// reason, too, and must leave the function usable.
pub type Work = Box<dyn FnMut(&[u8]) -> Result<Vec<u8>, String> + Send>;
