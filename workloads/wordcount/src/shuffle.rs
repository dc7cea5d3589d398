//! The shuffle for models without shared memory: counts are transferred through a blob store.
//!
//! The partitions are divided into shares, one for each reducer. The counts of a task are written
//! to the blob store as one blob, share by share; a reducer reads its slice of every blob. The
//! coordinator chooses the names of the blobs, and all of this is plain data: if a worker is lost,
//! its tasks and shares are done again.

use cc_core::{
    blobs::{BlobRange, BlobStore},
    error::reason,
    failpoint, trace,
};
use serde::{Deserialize, Serialize};

use super::{Counter, Partial, Partition, Ranked, Read, Settings, Task, divided};

/// The result of a task whose counts are in a blob store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spilled {
    /// What was read.
    pub read: Read,
    /// The slice of each share, in order; empty if the task failed.
    #[serde(deserialize_with = "cc_core::bounded::list")]
    pub slices: Vec<BlobRange>,
}

impl Counter {
    /// Counts a task's words and writes the counts to the blob store, for this number of shares.
    ///
    /// # Errors
    ///
    /// The reason, if the counts cannot be written.
    pub fn spill(
        &mut self,
        task: &Task,
        name: &str,
        shares: usize,
        blobs: &dyn BlobStore,
    ) -> Result<Spilled, String> {
        let _span = trace::span("spill");
        let Partial { read, counts } = self.task(task);
        failpoint::hit(b"shuffle", 0);
        let write = move || {
            let mut blob = blobs.create(name)?;
            let mut slices = Vec::with_capacity(shares);
            let mut end = 0;
            for share in divided(counts, shares) {
                let mut encoded = Vec::new();
                for counts in share {
                    counts.encode(&mut encoded);
                }
                blob.write_all(&encoded)?;
                let start = end;
                end += encoded.len() as u64;
                slices.push(BlobRange { name: name.to_owned(), start, end });
            }
            blob.finish().map(|()| slices)
        };
        let slices = write().map_err(|error| reason(&error))?;
        Ok(Spilled { read, slices })
    }
}

/// The task of a reducer: the counts of one share, from all tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The share's number.
    pub number: usize,
    /// The slices of the blobs that have the counts.
    pub slices: Vec<BlobRange>,
}

impl Share {
    /// This number of shares, without counts.
    #[must_use]
    pub fn none(shares: usize) -> Vec<Self> {
        (0..shares).map(|number| Self { number, slices: Vec::new() }).collect()
    }

    /// Adds up the counts and ranks the sums.
    ///
    /// # Errors
    ///
    /// The first slice that cannot be read or decoded, and the reason.
    pub fn rank(&self, settings: &Settings, blobs: &dyn BlobStore) -> Result<Ranked, (BlobRange, String)> {
        let _span = trace::span("reduce");
        let mut sums = Partition::new(self.number, settings.seed);
        let mut counts = Vec::new();
        for slice in &self.slices {
            counts.clear();
            let read = blobs.read(slice, &mut counts).map_err(|error| reason(&error));
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
    use cc_core::blobs::MemStore;

    use crate::{Content, Piece};

    fn task(text: String) -> Task {
        let content = Content::Bytes(ByteBuf::from(text));
        Task { pieces: vec![Piece { content, ..Piece::file("t") }] }
    }

    #[test]
    fn what_was_spilled_counts_once() {
        let (settings, blobs) = (Settings::default(), MemStore::default());
        let mut counter = Counter::new(&settings);
        let tasks = [0..700, 300..1000].map(|range| task(range.map(|n| format!("word{n} ")).collect()));
        let mut shares = Share::none(5);
        for (nth, task) in tasks.iter().enumerate() {
            let spilled = counter.spill(task, &nth.to_string(), 5, &blobs).unwrap();
            assert_eq!(spilled.read.totals.words, 700);
            shares.iter_mut().zip(spilled.slices).for_each(|(share, slice)| share.slices.push(slice));
        }
        let mut counts = Vec::new();
        for share in shares {
            let ranked = share.rank(&settings, &blobs).unwrap();
            counts.extend(ranked.iter().map(|(word, count)| (word.to_vec(), count)));
        }
        assert_eq!(counts.len(), 1000);
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 1400);
    }

    #[test]
    fn what_is_missing_is_named() {
        let slice = BlobRange { name: "gone".to_owned(), start: 0, end: 1 };
        let share = Share { number: 0, slices: vec![slice.clone()] };
        let (missing, why) = share.rank(&Settings::default(), &MemStore::default()).unwrap_err();
        assert_eq!((missing, &*why), (slice, "gone: no such blob"));
    }
}
