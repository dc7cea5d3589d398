//! Where the merges of some runs begin and end: a merge of their indexes.

use std::mem;

use super::{Bound, Merge, Part, SortedRun, Task, index::Entries, keys::Keys, losers::Losers};
use cc_core::{failpoint, shelf::Slice};

/// The merges of some runs, in the order of the result; each is found when it is asked for.
pub struct Merges<'a> {
    keys: Keys,
    unique: bool,
    heads: Vec<Head<'a>>,
    tree: Losers,
    /// About how many bytes each is.
    size: u64,
    number: u64,
    from: Option<Bound>,
    /// The line of the last entry that was passed.
    passed: Option<Vec<u8>>,
    is_done: bool,
}

/// How far into a run the merges have come.
struct Head<'a> {
    run: &'a SortedRun,
    entries: Entries<'a>,
    /// Where the merge begins to read.
    start: u64,
    /// Where the last block begins that belongs to the merge, at least in part.
    block: u64,
    /// The entry of the block behind it.
    next: Option<Next>,
}

struct Next {
    prefix: u64,
    line: Vec<u8>,
    at: u64,
}

impl<'a> Merges<'a> {
    pub(super) fn new(keys: Keys, unique: bool, runs: &'a [SortedRun], size: u64) -> Self {
        let head =
            |run: &'a SortedRun| Head { run, entries: run.index.entries(), start: 0, block: 0, next: None };
        let mut heads: Vec<_> = runs.iter().map(head).collect();
        heads.iter_mut().for_each(|head| drop(head.advance(&keys)));
        let tree = Losers::new(heads.len(), |one, other| beats(&keys, &heads, one, other));
        let is_done = runs.iter().all(|run| run.bytes == 0);
        Self { keys, unique, heads, tree, size, number: 0, from: None, passed: None, is_done }
    }

    /// Takes blocks, in order, until they are as many bytes as a merge is; the next one's entry is the bound. There is
    /// none if that was the last block.
    fn bound(&mut self) -> Option<Bound> {
        // Of each run the block that began in an earlier merge has been counted there.
        let mut size = if self.number == 0 { self.heads.iter().map(Head::end).sum() } else { 0 };
        loop {
            let run = self.tree.winner();
            let head = self.heads.get_mut(run)?;
            let next = head.next.as_ref()?;
            // Lines that are equal are all in one merge if only the first of them is wanted.
            let is_new = !self.unique
                || self.passed.as_ref().is_some_and(|line| self.keys.compare(line, &next.line).is_lt());
            if size >= self.size && is_new {
                let (run, at) = if self.unique { (0, 0) } else { (run, next.at) };
                return Some(Bound { line: next.line.clone().into(), run, at });
            }
            head.block = next.at;
            self.passed = head.advance(&self.keys);
            size += head.end() - head.block;
            let (keys, heads) = (&self.keys, &self.heads);
            self.tree.replay(|one, other| beats(keys, heads, one, other));
        }
    }
}

impl Head<'_> {
    /// Reads the next entry; returns the line of the one before it.
    fn advance(&mut self, keys: &Keys) -> Option<Vec<u8>> {
        let entry = self.entries.next();
        let next = entry.map(|entry| Next {
            prefix: keys.prefix(&entry.line),
            line: entry.line.clone(),
            at: entry.at,
        });
        mem::replace(&mut self.next, next).map(|next| next.line)
    }

    /// Where the block ends.
    fn end(&self) -> u64 {
        self.next.as_ref().map_or(self.run.bytes, |next| next.at)
    }
}

/// Whether one run's next block goes before the other's.
fn beats(keys: &Keys, heads: &[Head], one: usize, other: usize) -> bool {
    let (Some(a), Some(b)) = (&heads[one].next, &heads[other].next) else {
        return heads[one].next.is_some();
    };
    let order = a.prefix.cmp(&b.prefix).then_with(|| keys.compare_beyond(a.prefix, &a.line, &b.line));
    order.then(one.cmp(&other)).is_lt()
}

impl Iterator for Merges<'_> {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        failpoint::hit(b"merges", self.number);
        if self.is_done {
            return None;
        }
        let to = self.bound();
        let mut parts = Vec::new();
        for (run, head) in self.heads.iter_mut().enumerate() {
            let slice = Slice { name: head.run.name.clone(), start: head.start, end: head.end() };
            if !slice.is_empty() {
                parts.push(Part { run, slice });
            }
            // The rest of the block may belong to the next merge, unless that begins exactly behind it.
            let is_exact = to.as_ref().is_some_and(|to| to.run == run && to.at == head.end());
            head.start = if is_exact { head.end() } else { head.block };
        }
        let from = mem::replace(&mut self.from, to.clone());
        self.is_done = to.is_none();
        self.number += 1;
        Some(Task::Merge(Merge { number: self.number - 1, from, to, parts }))
    }
}
