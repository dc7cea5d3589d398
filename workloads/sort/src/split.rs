//! Splits the merging of runs into tasks, by merging the runs' indexes.

use std::mem;

use super::{Bound, Merge, Part, SortedRun, Task, index::Entries, keys::Keys, loser_tree::LoserTree};
use cc_core::{blobs::BlobRange, failpoint};

/// The merges of some runs, in the order of the result, as an iterator that makes them on demand.
pub struct Merges<'a> {
    keys: Keys,
    unique: bool,
    heads: Vec<Head<'a>>,
    tree: LoserTree,
    /// Bytes of a merge, about.
    size: u64,
    number: u64,
    from: Option<Bound>,
    /// The line of the last entry that was passed.
    passed: Option<Vec<u8>>,
    is_done: bool,
}

/// The position in a run that the merges have reached.
struct Head<'a> {
    run: &'a SortedRun,
    entries: Entries<'a>,
    /// The position where the current merge begins to read.
    start: u64,
    /// The position of the last block that belongs to the current merge, at least in part.
    block: u64,
    /// The entry of the next block.
    next: Option<NextEntry>,
}

/// An entry of an index, with its prefix.
struct NextEntry {
    prefix: u64,
    line: Vec<u8>,
    at: u64,
}

impl<'a> Merges<'a> {
    pub(super) fn new(keys: Keys, unique: bool, runs: &'a [SortedRun], size: u64) -> Self {
        let head =
            |run: &'a SortedRun| Head { run, entries: run.index.entries(), start: 0, block: 0, next: None };
        let mut heads: Vec<_> = runs.iter().map(head).collect();
        for head in &mut heads {
            head.advance(&keys);
        }
        let tree = LoserTree::new(heads.len(), |one, other| beats(&keys, &heads, one, other));
        let is_done = runs.iter().all(|run| run.bytes == 0);
        Self { keys, unique, heads, tree, size, number: 0, from: None, passed: None, is_done }
    }

    /// Takes blocks, in order, until they have the size of a merge. The entry of the next block is
    /// the bound; `None` if there are no more blocks.
    fn bound(&mut self) -> Option<Bound> {
        // The current block of each run was counted by an earlier merge, except before the first
        // one.
        let mut size = if self.number == 0 { self.heads.iter().map(Head::end).sum() } else { 0 };
        loop {
            let run = self.tree.winner();
            let head = self.heads.get_mut(run)?;
            let next = head.next.as_ref()?;
            // If only the first of equal lines is kept, all of them must be in one merge.
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
    /// Advances to the next entry; returns the line of the one before.
    fn advance(&mut self, keys: &Keys) -> Option<Vec<u8>> {
        let entry = self.entries.next();
        let next = entry.map(|entry| NextEntry {
            prefix: keys.prefix(&entry.line),
            line: entry.line.clone(),
            at: entry.at,
        });
        mem::replace(&mut self.next, next).map(|next| next.line)
    }

    /// The position after the current block.
    fn end(&self) -> u64 {
        self.next.as_ref().map_or(self.run.bytes, |next| next.at)
    }
}

/// Whether the next block of run `one` comes before that of run `other`.
fn beats(keys: &Keys, heads: &[Head], one: usize, other: usize) -> bool {
    let (Some(a), Some(b)) = (&heads[one].next, &heads[other].next) else {
        return heads[one].next.is_some();
    };
    let order = a.prefix.cmp(&b.prefix).then_with(|| keys.compare_after_prefix(a.prefix, &a.line, &b.line));
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
            let slice = BlobRange { name: head.run.name.clone(), start: head.start, end: head.end() };
            if !slice.is_empty() {
                parts.push(Part { run, slice });
            }
            // A part of the block may belong to the next merge, unless that begins exactly at its
            // end.
            let is_exact = to.as_ref().is_some_and(|to| to.run == run && to.at == head.end());
            head.start = if is_exact { head.end() } else { head.block };
        }
        let from = mem::replace(&mut self.from, to.clone());
        self.is_done = to.is_none();
        self.number += 1;
        Some(Task::Merge(Merge { number: self.number - 1, from, to, parts }))
    }
}
