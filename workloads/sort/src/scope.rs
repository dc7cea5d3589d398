//! Checks that an output belongs to its task.
//!
//! A worker on another machine is a separate program, which may be faulty or malicious. Its outputs
//! are checked against the tasks that it was sent before any of them is used. A run must have the
//! chunk's name and at max its bytes, and its index must be one of the run. A merge must return at
//! max the bytes of its parts. The lines themselves cannot be checked without sorting them again.

use super::{Chunk, Content, Made, Merge, Output, Piece, Query, Task, Totals};
use cc_core::blobs::BlobRange;

/// Maximum bytes of a line: a longer one could not be sent as a part of a result. A piece's last
/// line is read to its end, so a piece may exceed its range by a line.
const MAX_LINE: u64 = 1 << 30;

/// What a valid output of a task may contain. It does not hold the contents. See [`Task::scope`].
#[derive(Clone, Debug)]
pub enum Scope {
    /// The scope of a chunk.
    Chunk {
        /// The chunk's number, which the names of its runs contain.
        number: u64,
        /// Maximum that can be read of it; the lines are at max as many as the bytes.
        max: Totals,
        /// See [`Made::spent`].
        spent: Vec<String>,
        /// Whether only the first of equal lines is kept.
        unique: bool,
    },
    /// The scope of a merge.
    Merge {
        /// The parts that it reads.
        parts: Vec<BlobRange>,
        /// The byte that ends each line.
        delimiter: u8,
    },
}

impl Task {
    /// What a valid output of this task may contain.
    #[must_use]
    pub fn scope(&self, query: &Query) -> Scope {
        match self {
            Self::Chunk(chunk) => Scope::Chunk {
                number: chunk.number,
                max: chunk.max(),
                spent: chunk.spent(),
                unique: query.unique,
            },
            Self::Merge(Merge { parts, .. }) => Scope::Merge {
                parts: parts.iter().map(|part| part.slice.clone()).collect(),
                delimiter: query.delimiter(),
            },
        }
    }
}

impl Chunk {
    fn max(&self) -> Totals {
        let files = self.pieces.iter().filter(|piece| piece.start == 0).count() as u64;
        let bytes = self.pieces.iter().map(max_bytes).fold(0, u64::saturating_add);
        Totals { files, bytes, lines: bytes, sorted: 0 }
    }
}

/// Maximum bytes of a piece's lines, with a newline that may be missing at the end.
fn max_bytes(piece: &Piece) -> u64 {
    let range = piece.end.saturating_sub(piece.start);
    match &piece.content {
        Content::Bytes(text) => text.len() as u64 + 1,
        Content::Blob(_) => range.saturating_add(1),
        Content::File => range.saturating_add(MAX_LINE),
        Content::Missing(_) => 0,
    }
}

impl Scope {
    /// Checks that the output is a valid one of this task.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the output. The text quotes nothing of the output itself.
    pub fn accepts(&self, output: &Output) -> Result<(), String> {
        match (self, output) {
            (_, Output::Failed(_)) => Ok(()),
            (Self::Chunk { .. }, Output::Runs(made)) => self.accepts_runs(made),
            (Self::Merge { parts, delimiter }, Output::Lines { text, lines }) => {
                let max = parts.iter().map(BlobRange::len).fold(0, u64::saturating_add);
                check_lines(text, *delimiter, *lines, max)
            }
            _ => Err("its kind is not that of the task".to_owned()),
        }
    }

    /// Checks that the runs are a valid result of this task, which must be a chunk.
    ///
    /// # Errors
    ///
    /// As for [`accepts`](Self::accepts).
    pub fn accepts_runs(&self, made: &Made) -> Result<(), String> {
        let Self::Chunk { number, max, spent, unique } = self else {
            return Err("its kind is not that of the task".to_owned());
        };
        if made.spent != *spent {
            return Err("its spent blobs are not those of the chunk".to_owned());
        }
        made.check(*number, max, *unique)
    }

    /// Checks that this is a part that the task has to read.
    ///
    /// # Errors
    ///
    /// If it is not a part of the task.
    pub fn reads(&self, slice: &BlobRange) -> Result<(), String> {
        match self {
            Self::Merge { parts, .. } if parts.contains(slice) => Ok(()),
            _ => Err("the missing blob is not a part of the task".to_owned()),
        }
    }
}

impl Made {
    fn check(&self, number: u64, max: &Totals, unique: bool) -> Result<(), String> {
        let read = self.read;
        let is_within = read.files <= max.files && read.bytes <= max.bytes && read.lines <= read.bytes;
        if !is_within || read.sorted > 0 {
            return Err("its totals are not those of the chunk".to_owned());
        }
        let mut bytes: u64 = 0;
        for (nth, run) in self.runs.iter().enumerate() {
            if run.name != run_name(number, nth) {
                return Err("the name of a run is not that of its chunk".to_owned());
            }
            if run.bytes == 0 || !run.index.is_of(run.bytes) {
                return Err("an index does not match its run".to_owned());
            }
            bytes = bytes.saturating_add(run.bytes);
        }
        let is_complete = if unique { bytes <= read.bytes } else { bytes == read.bytes };
        if is_complete { Ok(()) } else { Err("its runs are not as long as what was read".to_owned()) }
    }
}

/// The name of a chunk's nth run.
pub(super) fn run_name(chunk: u64, nth: usize) -> String {
    format!("run-{chunk}-{nth}")
}

fn check_lines(text: &[u8], delimiter: u8, lines: u64, max: u64) -> Result<(), String> {
    let is_whole = text.last().is_none_or(|last| *last == delimiter);
    if text.len() as u64 > max || !is_whole || memchr::memchr_iter(delimiter, text).count() as u64 != lines {
        return Err("its lines cannot be those of its parts".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, num::NonZeroUsize};

    use proptest::prelude::*;
    use serde_bytes::ByteBuf;

    use super::*;
    use cc_core::{Sink, Stop, blobs::MemStore};

    use crate::{Bound, Index, Job, Key, Part, Plan, Runs, SortedRun, Sorter};

    fn chunk(text: &str) -> Task {
        let content = Content::Bytes(ByteBuf::from(text));
        let piece = Piece { path: ByteBuf::from("f"), content, start: 0, end: text.len() as u64 };
        Task::Chunk(Chunk { number: 7, pieces: vec![piece], room: 1 << 20, block: 16 })
    }

    fn made(task: &Task, blobs: &MemStore) -> Made {
        match Sorter::new(&Query::default(), &Stop::new()).task(task, blobs) {
            Output::Runs(made) => made,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn runs_are_of_their_chunk() {
        let text: String = (0..400).map(|n| format!("{}\n", n * 7919 % 1000)).collect();
        let (task, blobs) = (chunk(&text), MemStore::default());
        let (scope, truth) = (task.scope(&Query::default()), made(&task, &blobs));
        assert!(truth.runs[0].index.blocks() > 3);
        assert_eq!(scope.accepts(&Output::Runs(truth.clone())), Ok(()));
        let lies: [fn(&mut Made); 17] = [
            |made| made.runs.clear(),
            |made| made.runs.push(made.runs[0].clone()),
            |made| made.runs[0].name = "run-8-0".to_owned(),
            |made| made.runs[0].name = "run-7-1".to_owned(),
            |made| made.runs[0].name = "../run-7-0".to_owned(),
            |made| made.runs[0].name = "elsewhere/run-7-0".to_owned(),
            |made| made.runs[0].bytes = 32 << 40,
            |made| made.runs[0].bytes = u64::MAX,
            |made| made.runs[0].bytes -= 1,
            |made| (made.runs[0].bytes, made.read.bytes) = (32 << 40, 32 << 40),
            |made| made.runs[0].index = Index::packed(b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f\0\0", 1),
            |made| made.runs[0].index = Index::packed(b"\x01\0\x05ab", 1),
            |made| made.read.files = 2,
            |made| made.read.lines = u64::MAX,
            |made| made.read.sorted = 1,
            |made| made.spent = vec!["input-0".to_owned()],
            |made| made.spent = vec!["../../etc/passwd".to_owned()],
        ];
        for (nth, lie) in lies.iter().enumerate() {
            let mut made = truth.clone();
            lie(&mut made);
            assert!(scope.accepts(&Output::Runs(made)).is_err(), "lie {nth}");
        }
        for other in [Output::Lines { text: ByteBuf::from("a\n"), lines: 1 }, Output::Read(Totals::default())]
        {
            assert!(scope.accepts(&other).is_err());
        }
        assert_eq!(scope.accepts(&task.failed("why")), Ok(()));
    }

    #[test]
    fn lines_are_of_the_parts_of_their_merge() {
        let slice = |name: &str, start, end| BlobRange { name: name.to_owned(), start, end };
        let parts = [slice("here/run-0-0", 0, 4), slice("there/run-1-0", 2, 6)];
        let parts: Vec<Part> =
            parts.into_iter().enumerate().map(|(run, slice)| Part { run, slice }).collect();
        let bound = Some(Bound { line: ByteBuf::from("b"), run: 0, at: 0 });
        let merge = Task::Merge(Merge { number: 0, from: None, to: bound, parts: parts.clone() });
        let scope = merge.scope(&Query::default());
        let lines = |text: &str, lines| Output::Lines { text: ByteBuf::from(text), lines };
        for (text, count) in [("", 0), ("a\n", 1), ("a\nb\nc\nd\n", 4)] {
            assert_eq!(scope.accepts(&lines(text, count)), Ok(()));
            assert!(scope.accepts(&lines(text, count + 1)).is_err());
        }
        for (text, count) in [("a", 0), ("a\nb", 1), ("a\nb\nc\nd\ne\n", 5), ("a\n", u64::MAX)] {
            assert!(scope.accepts(&lines(text, count)).is_err(), "{text:?}");
        }
        assert!(scope.accepts(&Output::Runs(Made::default())).is_err());
        assert_eq!(scope.reads(&parts[1].slice), Ok(()));
        for other in [slice("there/run-1-0", 2, 7), slice("other/run-1-0", 2, 6), slice("", 0, u64::MAX)] {
            assert!(scope.reads(&other).is_err());
        }
    }

    struct Collected(Vec<Output>);

    impl Sink<Output> for Collected {
        fn push(&mut self, output: Output) -> std::ops::ControlFlow<()> {
            self.0.push(output);
            std::ops::ControlFlow::Continue(())
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 50, ..ProptestConfig::default() })]

        /// Every output of a sorter is accepted: of chunks with files and with contents, and of
        /// merges.
        #[test]
        fn true_outputs_are_accepted(
            texts in prop::collection::vec("[abc\n]{0,300}", 1..4),
            // Smaller chunks mean more runs.
            size in 30_u64..300,
            block in 1_u64..64,
            room in 1_u64..4000,
            unique in any::<bool>(),
            loads in any::<bool>(),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut files = vec![];
            for (nth, text) in texts.iter().enumerate() {
                files.push(dir.path().join(nth.to_string()));
                fs::write(&files[nth], text).unwrap();
            }
            let keys = if unique { vec![Key { to: Some(1), ..Key::default() }] } else { vec![] };
            let query = Query { unique, keys, ..Query::default() };
            let job = Job { query: query.clone(), files, memory: 0, temporary: "/tmp".into(), output: None };
            let plan = Plan::new(0, NonZeroUsize::MIN, NonZeroUsize::MIN, None);
            let plan = Plan { chunk: size, room, block, merge: size, ..plan };
            let (blobs, mut sorter) = (MemStore::default(), Sorter::new(&query, &Stop::new()));
            let (mut runs, mut collected) = (Runs::new(&job, &plan, &blobs), Collected(vec![]));
            for task in job.chunks(&plan, &blobs, &Stop::new()) {
                let task = match task {
                    Task::Chunk(chunk) if loads => Task::Chunk(chunk.load(&query, &blobs)),
                    other => other,
                };
                let output = sorter.task(&task, &blobs);
                prop_assert!(!matches!(output, Output::Failed(_)), "{:?}", output);
                prop_assert_eq!(task.scope(&query).accepts(&output), Ok(()), "{:?} {:?}", task, output);
                let _ = runs.gather(&mut collected).push(output);
            }
            for task in runs.merges() {
                let output = sorter.task(&task, &blobs);
                prop_assert_eq!(task.scope(&query).accepts(&output), Ok(()), "{:?} {:?}", task, output);
            }
        }
    }

    #[test]
    fn an_index_is_of_its_run() {
        let run = |index, bytes| SortedRun { name: run_name(7, 0), bytes, index };
        for (packed, entries, bytes) in
            [(&b""[..], 0, 5), (b"\x02\0\x01a\x03\x01\0", 2, 5), (b"\x05\0\x00", 1, 5)]
        {
            assert!(run(Index::packed(packed, entries), bytes).index.is_of(bytes), "{packed:?}");
        }
        for (packed, entries, bytes) in [
            (&b""[..], 1, 5),
            (b"\x02\0\x01a", 0, 5),
            (b"\x02\0\x01a", 2, 5),
            (b"\x02\0\x01a", 1, 1),
            (b"\x02\x01\x01a", 1, 5),
            (b"\x00\0\x01a", 1, 5),
            (b"\x02\0\x02a", 1, 5),
            (b"\x02\0", 1, 5),
            (b"\x02\0\x01a\x00\x01\0", 2, 5),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0", 1, 5),
            (b"\x02\0\xff\xff\xff\xff\xff\xff\xff\xff\x7fa", 1, 5),
        ] {
            assert!(!run(Index::packed(packed, entries), bytes).index.is_of(bytes), "{packed:?} {entries}");
        }
    }
}
