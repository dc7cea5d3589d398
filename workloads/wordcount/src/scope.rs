//! Checks that a result belongs to its task.
//!
//! A worker on another machine is a separate program, which may be faulty or malicious. Its results
//! are checked against the tasks that it was sent before any of them is used. Counts must be in the
//! blob of the task's name, with one slice per share, and a piece that could not be read must be
//! one of the task. The counts themselves cannot be checked without counting again.

use serde_bytes::ByteBuf;

use super::{Content, PARTITIONS, Piece, Ranked, Read, Settings, Share, Spilled, Task};

/// Maximum bytes of a word, which a worker holds in memory. A piece's last word is read to its end,
/// so a piece may exceed its range by a word.
const MAX_WORD: u64 = 1 << 30;

/// Maximum bytes of a file.
const MAX_FILE: u64 = 1 << 50;

/// What a valid result of a task may contain. It does not hold the contents. See [`Task::scope`].
#[derive(Clone, Debug)]
pub struct Scope {
    pieces: Vec<Extent>,
}

/// A piece without its content.
#[derive(Clone, Debug)]
struct Extent {
    path: ByteBuf,
    start: u64,
    /// Maximum bytes of its range.
    bytes: u64,
    /// Maximum bytes that may be read, with the end of the last word.
    read: u64,
}

impl Task {
    /// What a valid result of this task may contain.
    #[must_use]
    pub fn scope(&self) -> Scope {
        Scope { pieces: self.pieces.iter().map(Extent::of).collect() }
    }
}

impl Extent {
    fn of(piece: &Piece) -> Self {
        let range = piece.end.map(|end| end.saturating_sub(piece.start));
        let (bytes, read) = match &piece.content {
            Content::Bytes(text) => (range.unwrap_or(text.len() as u64), text.len() as u64),
            Content::File => (range.unwrap_or(MAX_FILE), range.unwrap_or(MAX_FILE).saturating_add(MAX_WORD)),
            Content::Missing(_) => (0, 0),
        };
        Self { path: piece.path.clone(), start: piece.start, bytes, read }
    }
}

impl Scope {
    /// Checks that this is a valid result of this task. A worker must do the whole task: only a
    /// coordinator splits one.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the result. The text quotes nothing of the result itself.
    pub fn accepts(&self, read: &Read) -> Result<(), String> {
        let files = self.pieces.iter().filter(|piece| piece.start == 0).count() as u64;
        let (bytes, max_words) = self.sizes();
        let totals = read.totals;
        if totals.files > files || totals.bytes > bytes || totals.words > max_words || totals.distinct > 0 {
            return Err("its totals are not those of the task".to_owned());
        }
        if !read.split.is_empty() {
            return Err("it splits its task".to_owned());
        }
        let mut later = self.pieces.iter();
        let is_known = read
            .errors
            .iter()
            .all(|error| later.any(|piece| (&piece.path, piece.start) == (&error.path, error.at)));
        if is_known { Ok(()) } else { Err("it reports a file that is not of the task".to_owned()) }
    }

    /// Checks a result whose counts are in a blob store: in the blob of this name, in the order of
    /// the shares, one slice for each.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the result. The text quotes nothing of the result itself.
    pub fn accepts_spilled(&self, spilled: &Spilled, name: &str, shares: usize) -> Result<(), String> {
        self.accepts(&spilled.read)?;
        if spilled.slices.len() != shares.min(PARTITIONS) {
            return Err("its counts are for another number of shares".to_owned());
        }
        let (mut end, (_, text)) = (0, self.sizes());
        for slice in &spilled.slices {
            if slice.name != name || slice.start != end || slice.end < slice.start {
                return Err("its counts are not in the blob of the task".to_owned());
            }
            end = slice.end;
        }
        // The encoded length and count of a word are no longer than the word and one separator.
        let max_bytes = text.saturating_add(1).saturating_mul(2);
        if end <= max_bytes { Ok(()) } else { Err("its counts are larger than its text".to_owned()) }
    }

    /// The total bytes of the ranges, and the maximum bytes that may be read for them.
    fn sizes(&self) -> (u64, u64) {
        let sum = |size: fn(&Extent) -> u64| self.pieces.iter().map(size).fold(0, u64::saturating_add);
        (sum(|piece| piece.bytes), sum(|piece| piece.read))
    }
}

impl Share {
    /// Checks that these words can be the sums of the share's counts.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the words. The text quotes nothing of them.
    pub fn accepts(&self, settings: &Settings, ranked: &Ranked) -> Result<(), String> {
        let bytes = self.slices.iter().map(cc_core::blobs::BlobRange::len).fold(0, u64::saturating_add);
        if ranked.distinct > bytes {
            return Err("it has more words than were counted".to_owned());
        }
        let wanted = settings.top.map_or(ranked.distinct, |top| ranked.distinct.min(top as u64));
        ranked.check(wanted, bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use cc_core::{
        Stop,
        blobs::{BlobRange, MemStore},
    };

    use crate::{Counter, Grain, Job, Loader, ReadError, Totals};

    fn task(text: &str) -> Task {
        let content = Content::Bytes(ByteBuf::from(text));
        let range = Piece { start: 5, end: Some(9), ..Piece::file("b") };
        Task { pieces: vec![Piece { content, ..Piece::file("a") }, range] }
    }

    fn spilled(task: &Task, blobs: &MemStore) -> Spilled {
        Counter::new(&Settings::default()).spill(task, "here/0", 4, blobs).unwrap()
    }

    #[test]
    fn an_answer_is_of_the_pieces_of_its_task() {
        let (task, blobs) = (task("one two two"), MemStore::default());
        let truth = spilled(&task, &blobs).read;
        assert_eq!((truth.errors.len(), task.scope().accepts(&truth)), (1, Ok(())));
        let error = |path: &str, at| ReadError { path: ByteBuf::from(path), at, why: "why".to_owned() };
        let lies: [fn(&mut Read); 6] = [
            |read| read.totals.files += 1,
            |read| read.totals.bytes = u64::MAX,
            |read| read.totals.words = u64::MAX,
            |read| read.totals.distinct = 1,
            |read| read.split = vec![Task { pieces: vec![Piece::file("/etc/passwd")] }],
            |read| read.split = vec![Task { pieces: vec![Piece::file("a")] }],
        ];
        for (nth, lie) in lies.iter().enumerate() {
            let mut read = truth.clone();
            lie(&mut read);
            assert!(task.scope().accepts(&read).is_err(), "lie {nth}");
        }
        for errors in [
            vec![error("c", 0)],
            vec![error("a", 1)],
            vec![error("b", 5), error("a", 0)],
            vec![error("a", 0); 2],
        ] {
            assert!(task.scope().accepts(&Read { errors, ..truth.clone() }).is_err());
        }
    }

    #[test]
    fn counts_are_where_the_task_says() {
        let (task, blobs) = (task("one two two"), MemStore::default());
        let (scope, truth) = (task.scope(), spilled(&task, &blobs));
        assert_eq!(scope.accepts_spilled(&truth, "here/0", 4), Ok(()));
        assert!(scope.accepts_spilled(&truth, "here/1", 4).is_err());
        assert!(scope.accepts_spilled(&truth, "here/0", 5).is_err());
        let lies: [fn(&mut Vec<BlobRange>); 8] = [
            Vec::clear,
            |slices| drop(slices.pop()),
            |slices| slices.push(slices[0].clone()),
            |slices| slices[1].name = "elsewhere/0".to_owned(),
            |slices| slices[0].start = 1,
            |slices| slices[3].end = u64::MAX,
            |slices| slices[3].end = 32 << 40,
            |slices| slices[1].end = 0,
        ];
        for (nth, lie) in lies.iter().enumerate() {
            let mut spilled = truth.clone();
            spilled.slices.iter_mut().enumerate().for_each(|(nth, slice)| {
                (slice.start, slice.end) = (nth as u64, nth as u64 + 1);
            });
            assert_eq!(scope.accepts_spilled(&spilled, "here/0", 4), Ok(()));
            lie(&mut spilled.slices);
            assert!(scope.accepts_spilled(&spilled, "here/0", 4).is_err(), "lie {nth}");
        }
    }

    #[test]
    fn words_are_in_order_and_as_many_as_are_said() {
        let (task, blobs) = (task("one two two three three three"), MemStore::default());
        let slices = spilled(&task, &blobs).slices;
        let share = Share { number: 0, slices: vec![BlobRange { start: 0, ..slices[3].clone() }] };
        let settings = Settings::default();
        let truth = share.rank(&settings, &blobs).unwrap();
        assert_eq!((truth.distinct, share.accepts(&settings, &truth)), (3, Ok(())));
        let top = Settings { top: Some(2), ..Settings::default() };
        assert!(share.accepts(&top, &truth).is_err(), "more than are wanted");
        assert_eq!(share.accepts(&top, &share.rank(&top, &blobs).unwrap()), Ok(()));
        for distinct in [0, 2, 4, u64::MAX] {
            let mut wrong = truth.clone();
            wrong.distinct = distinct;
            assert!(share.accepts(&settings, &wrong).is_err(), "{distinct}");
        }
        assert!(Share::default().accepts(&settings, &truth).is_err(), "nothing was counted");
        for words in [&b""[..], b"\x05abc", b"\x01a\x01\x01b\x02\x01c\x03", b"\x01a\x01\x01a\x01\x01a\x01"] {
            assert!(share.accepts(&settings, &Ranked::of(3, words)).is_err(), "{words:?}");
        }
        assert_eq!(share.accepts(&settings, &Ranked::of(3, b"\x01a\x03\x01b\x02\x01c\x02")), Ok(()));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

        /// All counts of a worker are accepted, of tasks with names and with contents, and so are
        /// the sums.
        #[test]
        fn true_answers_are_accepted(
            texts in prop::collection::vec("[aAbc' ]{0,300}", 1..5),
            bytes in 1_u64..300,
            files in 1_usize..4,
            top in prop::option::of(0_usize..9),
            flags in 0..8_u64,
            shares in 1_usize..80,
        ) {
            let (ignore_case, loads) = (flags & 1 > 0, flags & 2 > 0);
            let settings = Settings { ignore_case, top, min_len: 1, seed: flags, ..Settings::default() };
            let dir = tempfile::tempdir().unwrap();
            for (nth, text) in texts.iter().enumerate() {
                fs::write(dir.path().join(nth.to_string()), text).unwrap();
            }
            let roots = vec![dir.path().to_owned(), "/nowhere".into(), "/proc/self/stat".into()];
            let job = Job { settings: settings.clone(), roots, recursive: true };
            let (mut counter, mut loader) = (Counter::new(&settings), Loader::new(&settings));
            let (blobs, mut all) = (MemStore::default(), Share::none(shares.min(PARTITIONS)));
            for (nth, task) in job.tasks(Grain { bytes, files }, &Stop::new()).enumerate() {
                let (task, name) = (if loads { loader.load(task) } else { task }, nth.to_string());
                let spilled = counter.spill(&task, &name, shares, &blobs).unwrap();
                prop_assert_eq!(task.scope().accepts_spilled(&spilled, &name, shares), Ok(()), "{:?}", task);
                all.iter_mut().zip(spilled.slices).for_each(|(share, slice)| share.slices.push(slice));
            }
            for share in all {
                let ranked = share.rank(&settings, &blobs).unwrap();
                prop_assert_eq!(share.accepts(&settings, &ranked), Ok(()));
            }
        }
    }

    #[test]
    fn totals_of_a_failed_task_are_none() {
        let (task, read) = (task("one"), Read { totals: Totals::default(), ..Read::default() });
        assert_eq!(task.scope().accepts(&read), Ok(()));
    }
}
