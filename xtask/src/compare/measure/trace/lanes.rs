//! A lane for each worker: when it was busy, and from when on no two of them were.

use std::{cmp::Reverse, collections::BTreeMap, num::NonZeroUsize};

use cc_core::trace::Part;

use crate::compare::{
    measure::trace::record::{Process, Span},
    result::{Interval, Lane, Share},
};

/// A lane with all that it did, one after the other.
#[derive(Debug, PartialEq)]
pub(crate) struct Lived {
    process: usize,
    thread: String,
    pieces: Vec<Piece>,
}

/// The innermost of what is done, in nanoseconds from the program's start.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    name: String,
    part: Part,
    start: u64,
    end: u64,
}

/// The lanes of all processes: in each the workers first, in the order of their names.
pub(crate) fn live(processes: &[Process], started_ns: u64) -> Vec<Lived> {
    processes.iter().flat_map(|process| of_process(process, started_ns)).collect()
}

fn of_process(process: &Process, started_ns: u64) -> Vec<Lived> {
    let mut threads: BTreeMap<u32, Vec<Span>> = BTreeMap::new();
    for span in &process.spans {
        threads.entry(span.thread).or_default().push(span.clone());
    }
    let mut threads: Vec<(u32, Vec<Piece>)> =
        threads.into_iter().map(|(thread, spans)| (thread, flat(spans, started_ns))).collect();
    threads.retain(|(_, pieces)| !pieces.is_empty());
    threads.sort_by_key(|(_, pieces)| pieces[0].start);
    let mut lanes: Vec<Lived> = Vec::new();
    for (thread, pieces) in threads {
        let thread = process.threads.get(&thread).cloned().unwrap_or_default();
        match lanes.iter_mut().find(|lane| lane.thread == thread && lane.end() <= pieces[0].start) {
            Some(lane) => lane.pieces.extend(pieces),
            None => lanes.push(Lived { process: process.number, thread, pieces }),
        }
    }
    lanes.sort_by(|one, other| (!one.works(), &one.thread).cmp(&(!other.works(), &other.thread)));
    lanes
}

/// Of spans that lie within each other the innermost, piece by piece.
fn flat(mut spans: Vec<Span>, started_ns: u64) -> Vec<Piece> {
    spans.sort_by_key(|span| (span.start_ns, Reverse(span.end_ns)));
    let mut flat = Flat { pieces: Vec::new(), open: Vec::new(), at: 0, started_ns };
    for span in spans {
        let start = span.start_ns;
        flat.until(start);
        flat.open.push(span);
        flat.at = start;
    }
    flat.until(u64::MAX);
    flat.pieces
}

/// What was done until now, and what is being done.
struct Flat {
    pieces: Vec<Piece>,
    open: Vec<Span>,
    at: u64,
    started_ns: u64,
}

impl Flat {
    fn until(&mut self, time: u64) {
        while let Some(span) = self.open.pop_if(|span| span.end_ns <= time) {
            self.piece(&span, span.end_ns);
        }
        if let Some(span) = self.open.pop() {
            self.piece(&span, time);
            self.open.push(span);
        }
    }

    fn piece(&mut self, span: &Span, end: u64) {
        if end > self.at {
            let since = |time: u64| time.saturating_sub(self.started_ns);
            let (start, end) = (since(self.at), since(end));
            self.pieces.push(Piece { name: span.name.clone(), part: span.part, start, end });
        }
        self.at = self.at.max(end);
    }
}

impl Lived {
    fn end(&self) -> u64 {
        self.pieces.last().map_or(0, |piece| piece.end)
    }

    fn works(&self) -> bool {
        self.kernels().next().is_some()
    }

    fn kernels(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter().filter(|piece| piece.part == Part::Kernel)
    }

    fn busy(&self) -> u64 {
        self.kernels().map(Piece::length).sum()
    }

    /// With what lies within one place of the picture joined.
    pub(crate) fn shown(&self, place: u64) -> Lane {
        Lane {
            process: self.process,
            thread: self.thread.clone(),
            works: self.works(),
            busy_s: seconds(self.busy()),
            intervals: joined(&self.pieces, place).iter().map(Joined::shown).collect(),
        }
    }
}

impl Piece {
    fn length(&self) -> u64 {
        self.end - self.start
    }
}

/// Pieces that are shown as one.
struct Joined<'a> {
    start: u64,
    end: u64,
    /// How long each was done, in the order in which they were first.
    parts: Vec<(&'a Piece, u64)>,
}

/// Joins what lies within a place, and what is the same with a gap between that is too small to be
/// seen. Any two neighbours are together longer than a place, so that there are at most twice as
/// many of them as of places.
fn joined(pieces: &[Piece], place: u64) -> Vec<Joined<'_>> {
    let mut all: Vec<Joined<'_>> = Vec::new();
    for piece in pieces {
        let joins = |last: &&mut Joined<'_>| {
            let is_same = last.parts.len() == 1 && last.parts[0].0.name == piece.name;
            piece.end - last.start <= place || is_same && piece.start - last.end <= place / 8
        };
        match all.last_mut().filter(joins) {
            Some(last) => last.add(piece),
            None => {
                let parts = vec![(piece, piece.length())];
                all.push(Joined { start: piece.start, end: piece.end, parts });
            }
        }
    }
    all
}

impl<'a> Joined<'a> {
    fn add(&mut self, piece: &'a Piece) {
        self.end = piece.end;
        match self.parts.iter_mut().find(|(part, _)| part.name == piece.name) {
            Some((_, busy)) => *busy += piece.length(),
            None => self.parts.push((piece, piece.length())),
        }
    }

    fn shown(&self) -> Interval {
        let share = |(piece, busy): &(&Piece, u64)| Share {
            name: piece.name.clone(),
            kernel: piece.part == Part::Kernel,
            busy_s: seconds(*busy),
        };
        let (start_s, end_s) = (seconds(self.start), seconds(self.end));
        Interval { start_s, end_s, parts: self.parts.iter().map(share).collect() }
    }
}

/// The part of the workers' time, until the end, that they spent in kernels.
pub(crate) fn busy(lanes: &[Lived], workers: NonZeroUsize, end: u64) -> f64 {
    let busy: u64 = lanes.iter().map(Lived::busy).sum();
    busy as f64 / (workers.get() as f64 * end.max(1) as f64)
}

/// How long before the end two lanes were in kernels for the last time.
pub(crate) fn tail(lanes: &[Lived], end: u64) -> u64 {
    let kernels = lanes.iter().flat_map(Lived::kernels);
    let mut changes: Vec<(u64, i32)> =
        kernels.flat_map(|piece| [(piece.start, 1), (piece.end, -1)]).collect();
    changes.sort_unstable();
    let (mut at_once, mut last) = (0, 0);
    for (time, change) in changes {
        if at_once >= 2 {
            last = time;
        }
        at_once += change;
    }
    end.saturating_sub(last)
}

/// Of nanoseconds, to the microsecond.
pub(crate) fn seconds(ns: u64) -> f64 {
    (ns as f64 / 1e3).round() / 1e6
}

#[cfg(test)]
mod tests;
