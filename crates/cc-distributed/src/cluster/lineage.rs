//! Lineage: what it takes to do a task again when what it had left with its worker is lost.
//!
//! Tasks are kept in a file, not in memory: there may be many, and some carry along what came from a stream and could
//! not be read again. A task's name says which attempt it is, so what comes of two of them is never taken for one.

use std::{
    io,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use cc_workloads::{
    Error, Result,
    shelf::{Shelf, Slice},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{encode, store::Store};

/// The tasks of a job.
pub(crate) struct Lineage {
    store: Store,
    next: AtomicUsize,
}

/// Where a task is kept, and how often it was lost.
pub(crate) struct Origin {
    kept: Slice,
    losses: usize,
}

impl Lineage {
    /// None yet. They will be kept in this directory.
    pub(crate) fn at(dir: &Path) -> Self {
        Self { store: Store::at(dir), next: AtomicUsize::default() }
    }

    /// For what tasks name and do not carry along.
    pub(crate) fn shelf(&self) -> &dyn Shelf {
        &self.store
    }

    /// Keeps a task.
    pub(crate) fn keep(&self, task: &impl Serialize) -> Result<Origin> {
        let (name, task) = (self.next.fetch_add(1, Ordering::Relaxed).to_string(), encode(task));
        let put = || {
            let mut draft = self.store.create(&name)?;
            draft.write_all(&task)?;
            draft.finish()
        };
        put().map_err(Error::io("tasks"))?;
        Ok(Origin { kept: Slice { name, start: 0, end: task.len() as u64 }, losses: 0 })
    }

    /// The task, to be done once more.
    pub(crate) fn task<T: DeserializeOwned>(&self, origin: &Origin) -> Result<T> {
        let mut task = Vec::new();
        let read = self.store.read(&origin.kept, &mut task);
        let read = read.and_then(|()| postcard::from_bytes(&task).map_err(io::Error::other));
        read.map_err(Error::io("tasks"))
    }
}

impl Origin {
    /// What this attempt at the task is called: `TASK.ATTEMPT`.
    pub(crate) fn name(&self) -> String {
        format!("{}.{}", self.kept.name, self.losses)
    }

    /// The next attempt.
    pub(crate) fn lost(mut self) -> Self {
        self.losses += 1;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_can_be_had_again_and_each_attempt_has_a_name_of_its_own() {
        let lineage = Lineage::at(&std::env::temp_dir());
        let origins = ["one", "two"].map(|task| lineage.keep(&task.to_owned()).unwrap());
        let names = origins.each_ref().map(Origin::name);
        assert_eq!(names, ["0.0", "1.0"]);
        let [one, two] = origins.map(Origin::lost);
        assert_eq!((one.name(), two.name()), ("0.1".to_owned(), "1.1".to_owned()));
        assert_eq!(lineage.task::<String>(&one).unwrap(), "one");
        assert_eq!(lineage.task::<String>(&two).unwrap(), "two");
    }
}
