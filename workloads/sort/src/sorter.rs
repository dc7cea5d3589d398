//! The kernel: sorts a chunk, merges a range.

use super::{
    Chunk, Made, Merge, Output, Query, SortedRun, Task, heap, index::RunWriter, keys::Keys, merge::Merger,
    records::Lines, scope::run_name, source::Source,
};
use cc_core::{
    error::reason,
    failpoint,
    root::Files,
    shelf::{Shelf, Slice},
    stop::Stop,
    trace,
};

/// A run is written in portions of this size, or of this part of the room that there is for the chunk.
const PORTION: usize = 256 << 10;
const PART: u64 = 16;

/// Does tasks, one after the other, over the same memory. One per worker.
#[derive(Clone)]
pub struct Sorter {
    query: Query,
    keys: Keys,
    stop: Stop,
    files: Files,
    lines: Lines,
    merger: Merger,
}

impl Sorter {
    /// A sorter for this query's tasks. A chunk takes a while: when a stop is requested it is left off, and the
    /// output says so.
    #[must_use]
    pub fn new(query: &Query, stop: &Stop) -> Self {
        let (query, keys) = (query.clone(), Keys::new(query));
        let (stop, lines, merger) = (stop.clone(), Lines::default(), Merger::default());
        Self { query, keys, stop, files: Files::All, lines, merger }
    }

    /// The same, but it opens these files only.
    #[must_use]
    pub fn within(self, files: Files) -> Self {
        Self { files, ..self }
    }

    /// Does a task. What it leaves for later tasks is on the shelf when this returns.
    pub fn task(&mut self, task: &Task, shelf: &dyn Shelf) -> Output {
        let done = match task {
            Task::Chunk(chunk) => self.chunk(chunk, shelf).map(Output::Runs),
            Task::Merge(merge) => self.merge(merge, shelf).map_err(|(_, why)| format!("read failed: {why}")),
        };
        done.unwrap_or_else(Output::Failed)
    }

    fn chunk(&mut self, chunk: &Chunk, shelf: &dyn Shelf) -> Result<Made, String> {
        let _span = trace::span("run");
        heap::give_back(chunk.room);
        // Whatever a task left that panicked.
        self.lines.forget();
        // Here and not in `Source`, which also reads for the process that only hands chunks out.
        for piece in &chunk.pieces {
            failpoint::hit(&piece.path, piece.start);
        }
        let mut source = Source::new(&self.query, &chunk.pieces, shelf).within(&self.files);
        let mut made = Made { spent: chunk.spent(), ..Made::default() };
        let mut more = true;
        while more {
            let reading = trace::span("read");
            more = self.lines.fill(&mut source, chunk.room, &self.keys, &self.stop)?;
            drop(reading);
            if self.lines.sort(&self.keys, &self.stop).is_break() || self.stop.requested() {
                return Err("stopped".to_owned());
            }
            if self.lines.len() > 0 {
                made.read.lines += self.lines.len() as u64;
                made.runs.push(self.write(chunk, made.runs.len(), shelf)?);
            }
        }
        made.read += source.read;
        Ok(made)
    }

    /// Writes the sorted lines as a run.
    fn write(&self, chunk: &Chunk, nth: usize, shelf: &dyn Shelf) -> Result<SortedRun, String> {
        let _span = trace::span("write");
        let failed = |error| format!("write failed: {}", reason(&error));
        let name = run_name(chunk.number, nth);
        let mut run = RunWriter::new(&self.keys, shelf, name, chunk.block).map_err(failed)?;
        let size = usize::try_from(chunk.room / PART).unwrap_or(PORTION).min(PORTION);
        let mut portion = Vec::with_capacity(size);
        let mut last: Option<&[u8]> = None;
        for line in self.lines.iter() {
            if self.query.unique && last.replace(line).is_some_and(|last| self.are_equal(last, line)) {
                continue;
            }
            if portion.len() + line.len() > size {
                run.write(&portion).map_err(failed)?;
                portion.clear();
                if self.stop.requested() {
                    return Err("stopped".to_owned());
                }
            }
            if line.len() <= size {
                portion.extend_from_slice(line);
            } else {
                run.write(line).map_err(failed)?;
            }
        }
        failpoint::hit(b"run", chunk.number);
        run.write(&portion).map_err(failed)?;
        run.finish().map_err(failed)
    }

    /// Whether two lines, each with its newline, are equal.
    fn are_equal(&self, one: &[u8], other: &[u8]) -> bool {
        self.keys.compare(&one[..one.len() - 1], &other[..other.len() - 1]).is_eq()
    }

    /// Does a merge, for those who can mend it if something cannot be read: fails with what that is, and why.
    pub fn merge(&mut self, merge: &Merge, shelf: &dyn Shelf) -> Result<Output, (Slice, String)> {
        let _span = trace::span("merge");
        // No more chunks will come, and their memory is needed for what is merged.
        self.lines = Lines::default();
        failpoint::hit(b"merge", merge.number);
        self.merger.merge(merge, shelf, &self.keys, self.query.unique)
    }
}
