//! Whether an answer belongs to a task.
//!
//! A worker on another machine is another program, perhaps another's. What it answers is checked
//! against the task that it was sent before any of it is used: counts are where the task's name
//! says, in as many slices as there are shares, and what could not be read is a piece of the task.
//! What the counts say cannot be checked without counting again.

use serde_bytes::ByteBuf;

use super::{Content, PARTITIONS, Piece, Ranked, Read, Settings, Share, Shelved, Task};

/// No word is longer, since a worker has it in memory as a whole. A piece's last word may end
/// behind its range.
const WORD: u64 = 1 << 30;

/// No file is larger.
const FILE: u64 = 1 << 50;

/// What a task covers, without the contents. See [`Task::scope`].
#[derive(Clone, Debug)]
pub struct Scope {
    pieces: Vec<Extent>,
}

/// A piece without its content.
#[derive(Clone, Debug)]
struct Extent {
    path: ByteBuf,
    start: u64,
    /// How many bytes its range has at most.
    bytes: u64,
    /// How many bytes may be read of it, with the end of its last word.
    read: u64,
}

impl Task {
    /// What an answer to this task may speak of.
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
            Content::File => (range.unwrap_or(FILE), range.unwrap_or(FILE).saturating_add(WORD)),
            Content::Missing(_) => (0, 0),
        };
        Self { path: piece.path.clone(), start: piece.start, bytes, read }
    }
}

impl Scope {
    /// Checks that this was read of this task, by a worker, which never leaves a part of it for
    /// others.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words that quote no text from outside.
    pub fn accepts(&self, read: &Read) -> Result<(), String> {
        let begun = self.pieces.iter().filter(|piece| piece.start == 0).count() as u64;
        let (bytes, most) = self.sizes();
        let totals = read.totals;
        if totals.files > begun || totals.bytes > bytes || totals.words > most || totals.distinct > 0 {
            return Err("its totals are not those of the task".to_owned());
        }
        if !read.apart.is_empty() {
            return Err("it leaves tasks to be done".to_owned());
        }
        let mut later = self.pieces.iter();
        let is_known = read
            .troubles
            .iter()
            .all(|trouble| later.any(|piece| (&piece.path, piece.start) == (&trouble.path, trouble.at)));
        if is_known { Ok(()) } else { Err("a file could not be read that is not of the task".to_owned()) }
    }

    /// The same for counts that are on a shelf: under this name, in this order, for so many shares.
    ///
    /// # Errors
    ///
    /// What is wrong with them, in words that quote no text from outside.
    pub fn accepts_shelved(&self, shelved: &Shelved, name: &str, shares: usize) -> Result<(), String> {
        self.accepts(&shelved.read)?;
        if shelved.slices.len() != shares.min(PARTITIONS) {
            return Err("its counts are not for as many shares as there are".to_owned());
        }
        let (mut end, (_, text)) = (0, self.sizes());
        for slice in &shelved.slices {
            if slice.name != name || slice.start != end || slice.end < slice.start {
                return Err("its counts are not where the task says".to_owned());
            }
            end = slice.end;
        }
        // A word's length and count take no more bytes than the word and what separates it from the
        // next.
        let most = text.saturating_add(1).saturating_mul(2);
        if end <= most { Ok(()) } else { Err("its counts are larger than its text".to_owned()) }
    }

    /// How many bytes the ranges have, and how many may be read for them.
    fn sizes(&self) -> (u64, u64) {
        let sum = |size: fn(&Extent) -> u64| self.pieces.iter().map(size).fold(0, u64::saturating_add);
        (sum(|piece| piece.bytes), sum(|piece| piece.read))
    }
}

impl Share {
    /// Checks that these words may be what the share's counts add up to.
    ///
    /// # Errors
    ///
    /// What is wrong with them, in words that quote no text from outside.
    pub fn accepts(&self, settings: &Settings, ranked: &Ranked) -> Result<(), String> {
        let bytes = self.slices.iter().map(cc_core::shelf::Slice::len).fold(0, u64::saturating_add);
        if ranked.distinct > bytes {
            return Err("there are more words than were counted".to_owned());
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
        shelf::{Memory, Slice},
    };

    use crate::{Counter, Grain, Job, Loader, Totals, Trouble};

    fn task(text: &str) -> Task {
        let content = Content::Bytes(ByteBuf::from(text));
        let range = Piece { start: 5, end: Some(9), ..Piece::file("b") };
        Task { pieces: vec![Piece { content, ..Piece::file("a") }, range] }
    }

    fn shelved(task: &Task, shelf: &Memory) -> Shelved {
        Counter::new(&Settings::default()).shelve(task, "here/0", 4, shelf).unwrap()
    }

    #[test]
    fn an_answer_is_of_the_pieces_of_its_task() {
        let (task, shelf) = (task("one two two"), Memory::default());
        let truth = shelved(&task, &shelf).read;
        assert_eq!((truth.troubles.len(), task.scope().accepts(&truth)), (1, Ok(())));
        let trouble = |path: &str, at| Trouble { path: ByteBuf::from(path), at, why: "why".to_owned() };
        let lies: [fn(&mut Read); 6] = [
            |read| read.totals.files += 1,
            |read| read.totals.bytes = u64::MAX,
            |read| read.totals.words = u64::MAX,
            |read| read.totals.distinct = 1,
            |read| read.apart = vec![Task { pieces: vec![Piece::file("/etc/passwd")] }],
            |read| read.apart = vec![Task { pieces: vec![Piece::file("a")] }],
        ];
        for (nth, lie) in lies.iter().enumerate() {
            let mut read = truth.clone();
            lie(&mut read);
            assert!(task.scope().accepts(&read).is_err(), "lie {nth}");
        }
        for troubles in [
            vec![trouble("c", 0)],
            vec![trouble("a", 1)],
            vec![trouble("b", 5), trouble("a", 0)],
            vec![trouble("a", 0); 2],
        ] {
            assert!(task.scope().accepts(&Read { troubles, ..truth.clone() }).is_err());
        }
    }

    #[test]
    fn counts_are_where_the_task_says() {
        let (task, shelf) = (task("one two two"), Memory::default());
        let (scope, truth) = (task.scope(), shelved(&task, &shelf));
        assert_eq!(scope.accepts_shelved(&truth, "here/0", 4), Ok(()));
        assert!(scope.accepts_shelved(&truth, "here/1", 4).is_err());
        assert!(scope.accepts_shelved(&truth, "here/0", 5).is_err());
        let lies: [fn(&mut Vec<Slice>); 8] = [
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
            let mut shelved = truth.clone();
            shelved.slices.iter_mut().enumerate().for_each(|(nth, slice)| {
                (slice.start, slice.end) = (nth as u64, nth as u64 + 1);
            });
            assert_eq!(scope.accepts_shelved(&shelved, "here/0", 4), Ok(()));
            lie(&mut shelved.slices);
            assert!(scope.accepts_shelved(&shelved, "here/0", 4).is_err(), "lie {nth}");
        }
    }

    #[test]
    fn words_are_in_order_and_as_many_as_are_said() {
        let (task, shelf) = (task("one two two three three three"), Memory::default());
        let slices = shelved(&task, &shelf).slices;
        let share = Share { number: 0, slices: vec![Slice { start: 0, ..slices[3].clone() }] };
        let settings = Settings::default();
        let truth = share.rank(&settings, &shelf).unwrap();
        assert_eq!((truth.distinct, share.accepts(&settings, &truth)), (3, Ok(())));
        let top = Settings { top: Some(2), ..Settings::default() };
        assert!(share.accepts(&top, &truth).is_err(), "more than are wanted");
        assert_eq!(share.accepts(&top, &share.rank(&top, &shelf).unwrap()), Ok(()));
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

        /// Whatever a worker counts is accepted, by names and by contents, and so are the sums.
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
            let (shelf, mut all) = (Memory::default(), Share::none(shares.min(PARTITIONS)));
            for (nth, task) in job.tasks(Grain { bytes, files }, &Stop::new()).enumerate() {
                let (task, name) = (if loads { loader.load(task) } else { task }, nth.to_string());
                let shelved = counter.shelve(&task, &name, shares, &shelf).unwrap();
                prop_assert_eq!(task.scope().accepts_shelved(&shelved, &name, shares), Ok(()), "{:?}", task);
                all.iter_mut().zip(shelved.slices).for_each(|(share, slice)| share.slices.push(slice));
            }
            for share in all {
                let ranked = share.rank(&settings, &shelf).unwrap();
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
