//! The kernel: sorts a chunk, merges a range.

use super::{
    Chunk, Made, Merge, Output, Query, SortedRun, Task, index::RunWriter, keys::Keys, malloc, merge::Merger,
    reader::ChunkReader, records::Lines, scope::run_name,
};
use cc_core::{
    blobs::{BlobRange, BlobStore},
    error::reason,
    failpoint,
    root::Files,
    stop::Stop,
    trace,
};

/// Maximum bytes per write of a run.
const MAX_PORTION: usize = 256 << 10;
/// A write has at most one in this many bytes of the room for the chunk, so that its buffer is
/// small.
const PORTION_SHARE: u64 = 16;

/// The sorter of one worker. It does one task at a time and reuses its memory.
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
    /// A sorter for this query's tasks. Once a stop is requested, a chunk fails early, since it may
    /// take long.
    #[must_use]
    pub fn new(query: &Query, stop: &Stop) -> Self {
        let (query, keys) = (query.clone(), Keys::new(query));
        let (stop, lines, merger) = (stop.clone(), Lines::default(), Merger::default());
        Self { query, keys, stop, files: Files::All, lines, merger }
    }

    /// Restricts the files that the sorter opens.
    #[must_use]
    pub fn within(self, files: Files) -> Self {
        Self { files, ..self }
    }

    /// Does a task. When it returns, the runs of a chunk are in the blob store.
    ///
    /// A panic leaves no state behind that the next task would see: a chunk first discards the text
    /// that is left, and a merge clears its buffer. A caller may therefore assert unwind safety.
    pub fn task(&mut self, task: &Task, blobs: &dyn BlobStore) -> Output {
        let done = match task {
            Task::Chunk(chunk) => self.chunk(chunk, blobs).map(Output::Runs),
            Task::Merge(merge) => self.merge(merge, blobs).map_err(|(_, why)| format!("read failed: {why}")),
        };
        done.unwrap_or_else(Output::Failed)
    }

    fn chunk(&mut self, chunk: &Chunk, blobs: &dyn BlobStore) -> Result<Made, String> {
        let _span = trace::span("run");
        malloc::return_freed_memory(chunk.room);
        // The last task may have failed or panicked and left text.
        self.lines.discard();
        // Not in `ChunkReader`: it also reads for a process that only sends chunks to workers.
        for piece in &chunk.pieces {
            failpoint::hit(&piece.path, piece.start);
        }
        let mut reader = ChunkReader::new(&self.query, &chunk.pieces, blobs).within(&self.files);
        let mut made = Made { spent: chunk.spent(), ..Made::default() };
        let mut more = true;
        while more {
            let reading = trace::span("read");
            more = self.lines.fill(&mut reader, chunk.room, &self.keys, &self.stop)?;
            drop(reading);
            if self.lines.sort(&self.keys, &self.stop).is_break() || self.stop.requested() {
                return Err("stopped".to_owned());
            }
            if self.lines.len() > 0 {
                made.read.lines += self.lines.len() as u64;
                made.runs.push(self.write(chunk, made.runs.len(), blobs)?);
            }
        }
        made.read += reader.read;
        Ok(made)
    }

    /// Writes the sorted lines as a run.
    fn write(&self, chunk: &Chunk, nth: usize, blobs: &dyn BlobStore) -> Result<SortedRun, String> {
        let _span = trace::span("write");
        let failed = |error| format!("write failed: {}", reason(&error));
        let name = run_name(chunk.number, nth);
        let mut run = RunWriter::new(&self.keys, blobs, name, chunk.block).map_err(failed)?;
        let size = usize::try_from(chunk.room / PORTION_SHARE).unwrap_or(MAX_PORTION).min(MAX_PORTION);
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

    /// Does a merge. The error is the part that cannot be read, and the reason, for a model that
    /// can make the run again.
    pub fn merge(&mut self, merge: &Merge, blobs: &dyn BlobStore) -> Result<Output, (BlobRange, String)> {
        let _span = trace::span("merge");
        // There are no more chunks; free their memory for merges.
        self.lines = Lines::default();
        failpoint::hit(b"merge", merge.number);
        self.merger.merge(merge, blobs, &self.keys, self.query.unique)
    }
}
