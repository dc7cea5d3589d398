//! How a run uses the memory that it is given.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::index::BLOCK;

/// How large everything is that takes memory, so that all of it together stays within what the job allows:
///
/// - while runs are made, each worker's room for text and lines, and what it writes through;
/// - while runs are merged, for each worker what it reads and what it makes of it, and whatever is finished and waits
///   for its turn or to be written;
/// - throughout, the indexes of the runs; and if all fits, the runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// How many bytes of input a chunk is.
    pub chunk: u64,
    /// How many bytes a worker may use for a chunk's text and lines.
    pub room: u64,
    /// Whether the runs stay in memory.
    pub in_memory: bool,
    /// About how many bytes of the result a merge is.
    pub merge: u64,
    /// How many tasks there is room for between feed and gather.
    pub fits: NonZeroUsize,
    /// How large the blocks that an index tells apart are at the least. Of every run a merge reads half of one in vain, at
    /// both ends.
    pub block: u64,
    /// How many bytes the indexes of all runs may have.
    pub index: u64,
}

/// What a worker needs at the least. With less memory than that for each the job is done as if there were so much.
const LEAST: u64 = 1 << 20;

/// Larger rooms gain nothing: a sort of more lines misses the caches more often, and hands out coarser tasks.
const MOST_ROOM: u64 = 128 << 20;
/// Of larger merges neither what is read nor what is made of it stays in the caches.
const MOST_MERGE: u64 = 2 << 20;
/// Merges that may wait, for each worker.
const AHEAD: NonZeroUsize = NonZeroUsize::new(4).expect("four is not zero");
/// Text behind the window: in the hands of whoever writes the result, and in the queue before it.
const BEHIND: u64 = 6;

impl Plan {
    /// How this many workers sort an input of this size, if that is known, with this much memory, and
    /// with no more than `window` tasks between feed and gather.
    #[must_use]
    pub fn new(memory: u64, workers: NonZeroUsize, window: NonZeroUsize, size: Option<u64>) -> Self {
        let count = workers.get() as u64;
        let memory = memory.max(LEAST.saturating_mul(count));
        let fits = window.min(workers.saturating_mul(AHEAD));
        // A run is in memory once more while it is put on the shelf, and a chunk with its lines until then.
        let in_memory = size.is_some_and(|size| size.saturating_mul(2) <= memory);
        let for_merges = if in_memory { memory / 4 } else { memory / 4 * 3 };
        let merge = (for_merges / at_once(count, fits)).min(MOST_MERGE);
        let (chunk, room) = match size.filter(|_| in_memory) {
            Some(size) => {
                let chunk = (size / (4 * count)).clamp(64 << 10, MOST_ROOM / 2);
                (chunk, chunk.div_ceil(5) * 8)
            }
            // A line of 27 bytes, text and record, takes just so much of the room.
            None => {
                let room = (memory / count / 4 * 3).min(MOST_ROOM);
                (room / 8 * 5, room)
            }
        };
        Self { chunk, room, in_memory, merge, fits, block: BLOCK, index: memory / 8 }
    }

    /// How many runs a merge reads from, where an entry of an index stands for so many bytes of a run. At the ends of
    /// what it reads of each run is something that it does not need, a block on an average: no more, all in all, than
    /// what it needs.
    pub(super) fn fan_in(&self, block: u64) -> usize {
        usize::try_from(self.merge / block.max(1)).unwrap_or(usize::MAX).max(2)
    }
}

/// How many times the size of a merge there is of text while so many workers merge: what they read, half of it in vain,
/// and what they make of it; what waits for its turn; and what is being written.
fn at_once(workers: u64, window: NonZeroUsize) -> u64 {
    3 * workers + window.get() as u64 + BEHIND
}

/// How a room is divided: bytes for text, and records.
pub(super) fn divided(room: u64, record: usize) -> (usize, usize) {
    let room = usize::try_from(room).unwrap_or(usize::MAX).min(4 << 30);
    let text = room / 8 * 5;
    (text, (room - text) / record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(memory: u64, workers: usize, size: Option<u64>) -> Plan {
        let workers = NonZeroUsize::new(workers).unwrap();
        Plan::new(memory, workers, workers.saturating_mul(NonZeroUsize::new(16).unwrap()), size)
    }

    fn plans() -> impl Iterator<Item = (u64, u64, Plan)> {
        let memories = [0, 1 << 20, 5 << 20, 64 << 20, 256 << 20, 6 << 30, 1 << 40];
        let all =
            memories.into_iter().flat_map(|memory| [1, 2, 7, 64, 500].map(move |workers| (memory, workers)));
        let sizes = [None, Some(0), Some(1000), Some(100 << 20), Some(2 << 30), Some(1 << 50)];
        all.flat_map(move |(memory, workers)| {
            sizes
                .map(|size| (memory.max(LEAST * workers as u64), workers as u64, plan(memory, workers, size)))
        })
    }

    #[test]
    fn everything_fits_while_runs_are_made() {
        for (memory, workers, plan) in plans().filter(|(.., plan)| !plan.in_memory) {
            assert!(workers * plan.room + plan.index <= memory, "{memory} {workers} {plan:?}");
            assert!(plan.chunk <= plan.room && plan.chunk > 0);
        }
    }

    #[test]
    fn everything_fits_while_runs_are_merged() {
        for (memory, workers, plan) in plans() {
            let text = at_once(workers, plan.fits) * plan.merge;
            assert!(text + plan.index <= memory, "{memory} {workers} {plan:?}");
            assert!(plan.merge >= 8 << 10);
        }
    }

    #[test]
    fn what_fits_stays_in_memory() {
        assert!(plan(256 << 20, 2, Some(100 << 20)).in_memory);
        assert!(plan(256 << 20, 2, Some(0)).in_memory);
        assert!(!plan(256 << 20, 2, Some(200 << 20)).in_memory);
        assert!(!plan(256 << 20, 2, None).in_memory);
        for size in [100_u64 << 10, 10 << 20, 120 << 20] {
            let plan = plan(256 << 20, 2, Some(size));
            assert!(size + 2 * plan.room < 256 << 20, "{plan:?}");
            assert!(size + at_once(2, plan.fits) * plan.merge < 256 << 20, "{plan:?}");
        }
    }

    #[test]
    fn a_merge_reads_from_fewer_runs_the_coarser_their_indexes_are() {
        let plan = plan(256 << 20, 2, None);
        assert!(plan.fan_in(8 << 10) >= 128, "{plan:?}");
        assert!(plan.fan_in(100 << 10) < plan.fan_in(10 << 10));
        assert_eq!(plan.fan_in(1 << 40), 2);
    }
}
