//! The sink: merges the partitions and prints the words.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
    iter,
    ops::ControlFlow,
};

use super::{Output, Ranked, Read, Totals, table::Entry};
use cc_core::{
    contract::{Block, Sink},
    printable::printable,
    trace,
};

/// The sink for the outputs of every model. It prints messages at once and keeps the partitions;
/// [`Ranking::finish`] prints the words. See [`Job::ranking`](super::Job::ranking).
pub struct Ranking<'a> {
    top: Option<usize>,
    out: &'a mut dyn Sink<Block>,
    totals: Totals,
    is_complete: bool,
    partitions: Vec<Ranked>,
}

/// Bytes of text per printed block, about.
const BLOCK: usize = 64 << 10;

impl<'a> Ranking<'a> {
    pub(super) fn new(top: Option<usize>, out: &'a mut dyn Sink<Block>) -> Self {
        Self { top, out, totals: Totals::default(), is_complete: true, partitions: Vec::new() }
    }

    /// How much work was done.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// `wordcount`'s exit status: 0 if all files could be read, otherwise 1.
    #[must_use]
    pub fn status(&self) -> u8 {
        u8::from(!self.is_complete)
    }

    /// Prints the words, one per line: the count, a tab, the word.
    pub fn finish(self) -> ControlFlow<()> {
        let _span = trace::serial("print");
        let mut words = merged(&self.partitions);
        let mut text = Vec::with_capacity(BLOCK + 1024);
        for _ in 0..self.top.unwrap_or(usize::MAX) {
            let Some(word) = words.next() else { break };
            put_decimal(&mut text, word.count());
            text.push(b'\t');
            word.append_to(&mut text);
            text.push(b'\n');
            if text.len() >= BLOCK {
                self.out.push(Block::Out(std::mem::replace(&mut text, Vec::with_capacity(BLOCK + 1024))))?;
            }
        }
        if text.is_empty() { ControlFlow::Continue(()) } else { self.out.push(Block::Out(text)) }
    }

    fn read(&mut self, read: Read) -> ControlFlow<()> {
        self.totals += read.totals;
        self.is_complete &= read.errors.is_empty();
        read.errors.into_iter().try_for_each(|error| {
            let (path, why) = (printable(&error.path), printable(&error.why));
            let message = format!("wordcount: {path}: {why}\n");
            self.out.push(Block::Err(message.into_bytes()))
        })
    }
}

impl Sink<Output> for Ranking<'_> {
    fn push(&mut self, output: Output) -> ControlFlow<()> {
        match output {
            Output::Read(read) => self.read(read),
            Output::Ranked(ranked) => {
                self.totals.distinct += ranked.distinct;
                self.partitions.push(ranked);
                ControlFlow::Continue(())
            }
        }
    }
}

/// The words of all partitions, merged in order.
fn merged(partitions: &[Ranked]) -> impl Iterator<Item = Entry<'_>> {
    let mut lists: Vec<_> = partitions.iter().map(Ranked::entries).collect();
    let mut heads: BinaryHeap<_> =
        lists.iter_mut().enumerate().filter_map(|(nth, list)| Some(Reverse((list.next()?, nth)))).collect();
    iter::from_fn(move || {
        let mut first = heads.peek_mut()?;
        let Reverse((entry, nth)) = *first;
        match lists[nth].next() {
            Some(next) => *first = Reverse((next, nth)),
            None => {
                PeekMut::pop(first);
            }
        }
        Some(entry)
    })
}

fn put_decimal(into: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    into.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Counter, Piece, ReadError, Settings, Task, absorb, partitions};
    use serde_bytes::ByteBuf;

    struct Shown(String);

    impl Sink<Block> for Shown {
        fn push(&mut self, block: Block) -> ControlFlow<()> {
            let (Block::Out(text) | Block::Err(text)) = block;
            self.0 += &String::from_utf8(text).unwrap();
            ControlFlow::Continue(())
        }
    }

    fn ranked(text: &str, settings: &Settings) -> (String, Totals) {
        let content = crate::Content::Bytes(ByteBuf::from(text));
        let task = Task { pieces: vec![Piece { content, ..Piece::file("t") }] };
        let partial = Counter::new(settings).task(&task);
        let mut sums = partitions(settings.seed);
        absorb(&mut sums, &partial.counts);
        let mut shown = Shown(String::new());
        let mut ranking = Ranking::new(settings.top, &mut shown);
        let _ = ranking.push(Output::Read(partial.read));
        for partition in sums {
            let _ = ranking.push(Output::Ranked(partition.rank(settings)));
        }
        let totals = ranking.totals();
        let _ = ranking.finish();
        (shown.0, totals)
    }

    const TEXT: &str = "It's the cat's, the CAT's: 42 cats (42!) it's.";

    #[test]
    fn the_most_frequent_first_then_by_bytes() {
        let (shown, totals) = ranked(TEXT, &Settings::default());
        assert_eq!(shown, "2\t42\n2\tthe\n1\tCAT's\n1\tIt's\n1\tcat's\n1\tcats\n1\tit's\n");
        assert_eq!(totals, Totals { files: 1, bytes: TEXT.len() as u64, words: 9, distinct: 7 });
    }

    #[test]
    fn case_length_and_top() {
        let settings = Settings { ignore_case: true, min_len: 4, top: Some(2), ..Settings::default() };
        assert_eq!(ranked(TEXT, &settings).0, "2\tcat's\n2\tit's\n");
        assert_eq!(ranked("", &settings).0, "");
        let long = "Incomprehensibilities' incomprehensibilities' x";
        assert_eq!(ranked(long, &settings).0, "2\tincomprehensibilities'\n");
    }

    #[test]
    fn the_seed_does_not_show() {
        let text: String = (0..5000).map(|n| format!("w{} ", n % 700)).collect();
        let other = Settings { seed: 0x1234_5678_9abc_def0, ..Settings::default() };
        assert_eq!(ranked(&text, &Settings::default()).0, ranked(&text, &other).0);
    }

    #[test]
    fn a_read_error_is_said_and_makes_the_status() {
        let mut shown = Shown(String::new());
        let mut ranking = Ranking::new(None, &mut shown);
        let error = ReadError { path: ByteBuf::from("f"), at: 0, why: "why".to_owned() };
        let _ = ranking.push(Output::Read(Read { errors: vec![error], ..Read::default() }));
        assert_eq!(ranking.status(), 1);
        let _ = ranking.finish();
        assert_eq!(shown.0, "wordcount: f: why\n");
    }

    #[test]
    fn numbers_are_decimal() {
        for number in [0, 7, 10, 12_345, u64::MAX] {
            let mut text = Vec::new();
            put_decimal(&mut text, number);
            assert_eq!(text, number.to_string().into_bytes());
        }
    }
}
