//! Plans how a run uses the memory that it is given.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::index::MIN_BLOCK;

/// The sizes of all that takes memory. Together they stay within the limit of the job:
///
/// - while runs are made, each worker's room for text and records, and its write buffer;
/// - while runs are merged, what each worker reads and merges, and finished outputs that wait for
///   their turn or are being written;
/// - always the indexes of the runs, and the runs themselves if they fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Bytes of input per chunk.
    pub chunk: u64,
    /// Maximum bytes that a worker uses for the text and the records of a chunk.
    pub room: u64,
    /// Whether the runs stay in memory.
    pub in_memory: bool,
    /// Bytes of the result per merge, about.
    pub merge: u64,
    /// The window that the plan has memory for: it limits the merges that are begun, or done and
    /// not yet emitted.
    pub fits: NonZeroUsize,
    /// Minimum bytes of a block of an index. At each end of its part of a run, a merge reads on
    /// average half a block that it does not need.
    pub block: u64,
    /// Maximum bytes of the indexes of all runs together.
    pub index: u64,
}

/// Minimum bytes of memory per worker. A job that allows less is planned with this.
const MIN_WORKER_MEMORY: u64 = 1 << 20;

/// Maximum room: with larger ones, sorting has more cache misses, and tasks are coarser.
const MAX_ROOM: u64 = 128 << 20;
/// Maximum bytes of a merge: with larger ones, neither its input nor its output stays in the
/// caches.
const MAX_MERGE: u64 = 2 << 20;
/// Maximum merges in flight per worker.
const IN_FLIGHT: NonZeroUsize = NonZeroUsize::new(4).expect("four is not zero");
/// Maximum outputs after the window: those that the sink writes, and those queued for it.
const WRITE_QUEUE: u64 = 6;

impl Plan {
    /// The plan for sorting an input of this size, which is `None` if it is unknown, with this much
    /// memory, and with at most this window.
    #[must_use]
    pub fn new(memory: u64, workers: NonZeroUsize, window: NonZeroUsize, size: Option<u64>) -> Self {
        let count = workers.get() as u64;
        let memory = memory.max(MIN_WORKER_MEMORY.saturating_mul(count));
        let fits = window.min(workers.saturating_mul(IN_FLIGHT));
        // Runs in memory need twice the size: a chunk is in memory as text, too, until its run has
        // been copied to the blob store.
        let in_memory = size.is_some_and(|size| size.saturating_mul(2) <= memory);
        let for_merges = if in_memory { memory / 4 } else { memory / 4 * 3 };
        let merge = (for_merges / merge_buffers(count, fits)).min(MAX_MERGE);
        let (chunk, room) = match size.filter(|_| in_memory) {
            Some(size) => {
                let chunk = (size / (4 * count)).clamp(64 << 10, MAX_ROOM / 2);
                (chunk, chunk.div_ceil(5) * 8)
            }
            // Five eighths of the room are text. With lines of 27 bytes, their records fill the
            // others.
            None => {
                let room = (memory / count / 4 * 3).min(MAX_ROOM);
                (room / 8 * 5, room)
            }
        };
        Self { chunk, room, in_memory, merge, fits, block: MIN_BLOCK, index: memory / 8 }
    }

    /// Maximum runs that a merge reads from, if blocks have this size on average. A merge reads
    /// about one block per run that it does not need. All these blocks together are at most as
    /// large as the merge.
    pub(super) fn fan_in(&self, block: u64) -> usize {
        usize::try_from(self.merge / block.max(1)).unwrap_or(usize::MAX).max(2)
    }
}

/// Maximum bytes of text while runs are merged, in units of the merge size. Each worker has its
/// input, of which up to half is not needed, and its output; others are outputs that wait for their
/// turn or to be written.
fn merge_buffers(workers: u64, window: NonZeroUsize) -> u64 {
    3 * workers + window.get() as u64 + WRITE_QUEUE
}

/// Divides a room: returns the bytes for text, and the number of records of this size.
pub(super) fn divide_room(room: u64, record: usize) -> (usize, usize) {
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
            sizes.map(|size| {
                (memory.max(MIN_WORKER_MEMORY * workers as u64), workers as u64, plan(memory, workers, size))
            })
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
            let text = merge_buffers(workers, plan.fits) * plan.merge;
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
            assert!(size + merge_buffers(2, plan.fits) * plan.merge < 256 << 20, "{plan:?}");
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
