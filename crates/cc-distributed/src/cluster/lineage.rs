//! Lineage: what it takes to do a task again when what it had left with its worker is lost.
//!
//! Tasks are kept in a file, not in memory: there may be many, and some carry along what came from a stream and could
//! not be read again. A task's name says which attempt it is, so what comes of two of them is never taken for one. Or
//! things have names that do not change; then there is a table of where they are.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use cc_workloads::{
    Error, Result,
    error::reason,
    shelf::{Shelf, Slice},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{codec::encode, store::Store};

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
        put().map_err(|error| Error::Failed(format!("write failed: {}", reason(&error))))?;
        Ok(Origin { kept: Slice { name, start: 0, end: task.len() as u64 }, losses: 0 })
    }

    /// The task, to be done once more.
    pub(crate) fn task<T: DeserializeOwned>(&self, origin: &Origin) -> Result<T> {
        let mut task = Vec::new();
        let read = self.store.read(&origin.kept, &mut task);
        let read = read.and_then(|()| postcard::from_bytes(&task).map_err(io::Error::other));
        read.map_err(|error| Error::Failed(format!("read failed: {}", reason(&error))))
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

/// Where things are whose names do not say so, and will be when they are lost and made again.
#[derive(Default)]
pub(crate) struct Places {
    tasks: Vec<Placed>,
    /// Which of these tasks has made the thing of this name.
    makers: HashMap<String, usize>,
}

/// A task, and where that is what it has made.
pub(crate) struct Placed {
    origin: Origin,
    place: String,
    /// Of all that there is to know of it.
    digest: u64,
}

impl Places {
    /// A task has made these things, which are at this place; `what` says all that there is to know of them.
    pub(crate) fn put<'a>(
        &mut self,
        origin: Origin,
        place: &str,
        names: impl Iterator<Item = &'a str>,
        what: &impl Serialize,
    ) {
        self.makers.extend(names.map(|name| (name.to_owned(), self.tasks.len())));
        self.tasks.push(Placed { origin, place: place.to_owned(), digest: digest(what) });
    }

    /// The name that says where the thing is.
    pub(crate) fn full(&self, name: &str) -> String {
        let place = self.makers.get(name).map_or("", |maker| &self.tasks[*maker].place);
        format!("{place}/{name}")
    }

    /// The tasks whose places are lost, to be done again.
    pub(crate) fn lost(&mut self, is_lost: impl Fn(&str) -> bool) -> Vec<&mut Placed> {
        self.tasks.iter_mut().filter(|task| is_lost(&task.place)).collect()
    }
}

impl Placed {
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// It was done again, and the things are here now. Returns whether they are the same as they were.
    pub(crate) fn again(&mut self, place: &str, what: &impl Serialize) -> bool {
        place.clone_into(&mut self.place);
        digest(what) == self.digest
    }
}

fn digest(what: &impl Serialize) -> u64 {
    let mut hasher = DefaultHasher::new();
    encode(what).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_has_another_place_when_it_was_made_again() {
        let (lineage, mut places) = (Lineage::at(&std::env::temp_dir()), Places::default());
        for (task, place) in [("a", "here"), ("b", "there"), ("c", "here")] {
            let names = [format!("{task}-0"), format!("{task}-1")];
            let origin = lineage.keep(&task).unwrap();
            places.put(origin, place, names.iter().map(String::as_str), &task);
        }
        assert_eq!([places.full("a-1"), places.full("b-0")], ["here/a-1", "there/b-0"]);
        assert!(places.lost(|place| place == "nowhere").is_empty());
        for lost in places.lost(|place| place == "here") {
            let task: String = lineage.task(lost.origin()).unwrap();
            assert_eq!(lost.again("elsewhere", &task), task == "a" || task == "c");
            assert!(!lost.again("elsewhere", &"another thing"));
        }
        assert_eq!([places.full("c-0"), places.full("b-1")], ["elsewhere/c-0", "there/b-1"]);
    }

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
