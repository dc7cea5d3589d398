//! Lineage: the tasks of a job, kept so that they can be repeated when their results are lost.
//!
//! Tasks are kept in a file, not in memory: there may be many, and some carry the contents of a
//! stream, which cannot be read again. The name of a task contains the number of the attempt, so
//! the results of two attempts are never confused. Alternatively, results have names that do not
//! change; then a [`LocationMap`] says where they are.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use cc_workloads::{
    Error, Result,
    blobs::{BlobRange, BlobStore},
    error::reason,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{codec::encode, spill_store::SpillStore};

/// The tasks of a job.
pub(crate) struct Lineage {
    store: SpillStore,
    next: AtomicUsize,
}

/// Where a task is kept, and how often its result was lost.
pub(crate) struct Origin {
    task: BlobRange,
    losses: usize,
}

impl Lineage {
    /// An empty lineage. Its file will be in this directory.
    pub(crate) fn at(dir: &Path) -> Self {
        Self { store: SpillStore::at(dir), next: AtomicUsize::default() }
    }

    /// The blob store for data that tasks name, instead of carrying it.
    pub(crate) fn blobs(&self) -> &dyn BlobStore {
        &self.store
    }

    /// Keeps a task.
    pub(crate) fn keep(&self, task: &impl Serialize) -> Result<Origin> {
        let name = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let task = encode(task);
        let put = || {
            let mut writer = self.store.create(&name)?;
            writer.write_all(&task)?;
            writer.finish()
        };
        put().map_err(|error| Error::Failed(format!("write failed: {}", reason(&error))))?;
        Ok(Origin { task: BlobRange { name, start: 0, end: task.len() as u64 }, losses: 0 })
    }

    /// Reads a task, to repeat it.
    pub(crate) fn task<T: DeserializeOwned>(&self, origin: &Origin) -> Result<T> {
        let mut task = Vec::new();
        let read = self.store.read(&origin.task, &mut task);
        let read = read.and_then(|()| postcard::from_bytes(&task).map_err(io::Error::other));
        read.map_err(|error| Error::Failed(format!("read failed: {}", reason(&error))))
    }
}

impl Origin {
    /// The name of this attempt at the task: `TASK.ATTEMPT`.
    pub(crate) fn name(&self) -> String {
        format!("{}.{}", self.task.name, self.losses)
    }

    /// The next attempt, after the result was lost.
    pub(crate) fn next_attempt(mut self) -> Self {
        self.losses += 1;
        self
    }
}

/// Where the blobs are whose names do not say so.
#[derive(Default)]
pub(crate) struct LocationMap {
    tasks: Vec<LocatedTask>,
    /// The index of the task that has made the blob of this name.
    makers: HashMap<String, usize>,
}

/// A task, and where its blobs are.
pub(crate) struct LocatedTask {
    origin: Origin,
    location: String,
    /// A hash of its result, to notice when a repetition has another one.
    digest: u64,
}

impl LocationMap {
    /// Records that a task has made the blobs with these names, at this location. `result` is all
    /// that the task has returned.
    pub(crate) fn put<'a>(
        &mut self,
        origin: Origin,
        location: &str,
        names: impl Iterator<Item = &'a str>,
        result: &impl Serialize,
    ) {
        self.makers.extend(names.map(|name| (name.to_owned(), self.tasks.len())));
        self.tasks.push(LocatedTask { origin, location: location.to_owned(), digest: digest(result) });
    }

    /// The name of a blob with its location.
    pub(crate) fn full_name(&self, name: &str) -> String {
        let location = self.makers.get(name).map_or("", |maker| &self.tasks[*maker].location);
        format!("{location}/{name}")
    }

    /// The tasks whose locations are lost, to be repeated.
    pub(crate) fn lost(&mut self, is_lost: impl Fn(&str) -> bool) -> Vec<&mut LocatedTask> {
        self.tasks.iter_mut().filter(|task| is_lost(&task.location)).collect()
    }
}

impl LocatedTask {
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Records that the task was repeated, and where its blobs are now. Returns whether the result
    /// is the same as before.
    pub(crate) fn relocate(&mut self, location: &str, result: &impl Serialize) -> bool {
        location.clone_into(&mut self.location);
        digest(result) == self.digest
    }
}

fn digest(result: &impl Serialize) -> u64 {
    let mut hasher = DefaultHasher::new();
    encode(result).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_has_another_place_when_it_was_made_again() {
        let (lineage, mut locations) = (Lineage::at(&std::env::temp_dir()), LocationMap::default());
        for (task, location) in [("a", "here"), ("b", "there"), ("c", "here")] {
            let names = [format!("{task}-0"), format!("{task}-1")];
            let origin = lineage.keep(&task).unwrap();
            locations.put(origin, location, names.iter().map(String::as_str), &task);
        }
        assert_eq!([locations.full_name("a-1"), locations.full_name("b-0")], ["here/a-1", "there/b-0"]);
        assert!(locations.lost(|location| location == "nowhere").is_empty());
        for lost in locations.lost(|location| location == "here") {
            let task: String = lineage.task(lost.origin()).unwrap();
            assert_eq!(lost.relocate("elsewhere", &task), task == "a" || task == "c");
            assert!(!lost.relocate("elsewhere", &"another result"));
        }
        assert_eq!([locations.full_name("c-0"), locations.full_name("b-1")], ["elsewhere/c-0", "there/b-1"]);
    }

    #[test]
    fn a_task_can_be_had_again_and_each_attempt_has_a_name_of_its_own() {
        let lineage = Lineage::at(&std::env::temp_dir());
        let origins = ["one", "two"].map(|task| lineage.keep(&task.to_owned()).unwrap());
        let names = origins.each_ref().map(Origin::name);
        assert_eq!(names, ["0.0", "1.0"]);
        let [one, two] = origins.map(Origin::next_attempt);
        assert_eq!((one.name(), two.name()), ("0.1".to_owned(), "1.1".to_owned()));
        assert_eq!(lineage.task::<String>(&one).unwrap(), "one");
        assert_eq!(lineage.task::<String>(&two).unwrap(), "two");
    }
}
