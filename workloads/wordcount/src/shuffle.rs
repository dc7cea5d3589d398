//! The shuffle of those who share no memory: counts travel by way of a shelf.
//!
//! The partitions are divided into shares, one for each reducer. What was counted in a task is put on the shelf as
//! one thing, share behind share; a reducer reads its slices of all of them. Everything here is plain data with a name
//! from the coordinator, so what is lost with a worker is counted, or added up, again.

use cc_core::{
    error::reason,
    failpoint,
    shelf::{Shelf, Slice},
    trace,
};
use serde::{Deserialize, Serialize};

use super::{Counter, Partial, Partition, Ranked, Read, Settings, Task, divided};
/// What came of a task whose counts are on a shelf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shelved {
    /// What was read.
    pub read: Read,
    /// Each share's slice; none at all if the task failed.
    #[serde(deserialize_with = "cc_core::bounded::list")]
    pub slices: Vec<Slice>,
}

impl Counter {
    /// Counts a task's words and puts the counts on the shelf, for so many reducers.
    ///
    /// # Errors
    ///
    /// If they cannot be put there, for this reason.
    pub fn shelve(
        &mut self,
        task: &Task,
        name: &str,
        shares: usize,
        shelf: &dyn Shelf,
    ) -> Result<Shelved, String> {
        let _span = trace::span("shelve");
        let Partial { read, counts } = self.task(task);
        failpoint::hit(b"shuffle", 0);
        let put = move || {
            let (mut draft, mut end, mut slices) = (shelf.create(name)?, 0, Vec::with_capacity(shares));
            for share in divided(counts, shares) {
                let mut encoded = Vec::new();
                share.iter().for_each(|counts| counts.encode(&mut encoded));
                draft.write_all(&encoded)?;
                let start = end;
                end += encoded.len() as u64;
                slices.push(Slice { name: name.to_owned(), start, end });
            }
            draft.finish().map(|()| slices)
        };
        let slices = put().map_err(|error| reason(&error))?;
        Ok(Shelved { read, slices })
    }
}

/// A reducer's task: the counts of the same share, from all tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Its number.
    pub number: usize,
    /// Where they are.
    pub slices: Vec<Slice>,
}

impl Share {
    /// As many shares, without any counts yet.
    #[must_use]
    pub fn none(shares: usize) -> Vec<Self> {
        (0..shares).map(|number| Self { number, slices: Vec::new() }).collect()
    }

    /// Adds up the counts and ranks the sums.
    ///
    /// # Errors
    ///
    /// The first slice that cannot be had, and the reason.
    pub fn rank(&self, settings: &Settings, shelf: &dyn Shelf) -> Result<Ranked, (Slice, String)> {
        let _span = trace::span("reduce");
        let mut sums = Partition::new(self.number, settings.seed);
        let mut counts = Vec::new();
        for slice in &self.slices {
            counts.clear();
            let read = shelf.read(slice, &mut counts).map_err(|error| reason(&error));
            let added = read.and_then(|()| sums.absorb_encoded(&counts).map_err(str::to_owned));
            added.map_err(|why| (slice.clone(), why))?;
        }
        Ok(sums.rank(settings))
    }
}

#[cfg(test)]
mod tests {
    use serde_bytes::ByteBuf;

    use super::*;
    use cc_core::shelf::Memory;

    use crate::{Content, Piece};

    fn task(text: String) -> Task {
        let content = Content::Bytes(ByteBuf::from(text));
        Task { pieces: vec![Piece { content, ..Piece::file("t") }] }
    }

    #[test]
    fn what_has_been_on_the_shelf_counts_once() {
        let (settings, shelf) = (Settings::default(), Memory::default());
        let mut counter = Counter::new(&settings);
        let tasks = [0..700, 300..1000].map(|range| task(range.map(|n| format!("word{n} ")).collect()));
        let mut shares = Share::none(5);
        for (nth, task) in tasks.iter().enumerate() {
            let shelved = counter.shelve(task, &nth.to_string(), 5, &shelf).unwrap();
            assert_eq!(shelved.read.totals.words, 700);
            shares.iter_mut().zip(shelved.slices).for_each(|(share, slice)| share.slices.push(slice));
        }
        let mut counts = Vec::new();
        for share in shares {
            let ranked = share.rank(&settings, &shelf).unwrap();
            counts.extend(ranked.iter().map(|(word, count)| (word.to_vec(), count)));
        }
        assert_eq!(counts.len(), 1000);
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 1400);
    }

    #[test]
    fn what_is_missing_is_named() {
        let slice = Slice { name: "gone".to_owned(), start: 0, end: 1 };
        let share = Share { number: 0, slices: vec![slice.clone()] };
        let (missing, why) = share.rank(&Settings::default(), &Memory::default()).unwrap_err();
        assert_eq!((missing, &*why), (slice, "gone: not on the shelf"));
    }
}
