//! The lanes of a timeline: when each thread was busy, and the serial tail.

use std::{cmp::Reverse, collections::BTreeMap, num::NonZeroUsize};

use cc_core::trace::Part;

use crate::compare::{
    measure::trace::record::{Process, Span},
    result::{Interval, Lane, Share},
};

/// A lane: a thread's pieces of work in the order of time.
#[derive(Debug, PartialEq)]
pub(crate) struct ThreadLane {
    process: usize,
    thread: String,
    pieces: Vec<Piece>,
}

/// A piece of the innermost span, in nanoseconds from the start of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    name: String,
    part: Part,
    start: u64,
    end: u64,
}

/// The lanes of all processes. Within a process, lanes of workers come first, in alphabetical
/// order.
pub(crate) fn of(processes: &[Process], started_ns: u64) -> Vec<ThreadLane> {
    processes.iter().flat_map(|process| of_process(process, started_ns)).collect()
}

/// The lanes of a process. Threads of one name that follow each other share a lane: they are one
/// worker in several phases.
fn of_process(process: &Process, started_ns: u64) -> Vec<ThreadLane> {
    let mut threads: BTreeMap<u32, Vec<Span>> = BTreeMap::new();
    for span in &process.spans {
        threads.entry(span.thread).or_default().push(span.clone());
    }
    let mut threads: Vec<(u32, Vec<Piece>)> =
        threads.into_iter().map(|(thread, spans)| (thread, flatten(spans, started_ns))).collect();
    threads.retain(|(_, pieces)| !pieces.is_empty());
    threads.sort_by_key(|(_, pieces)| pieces[0].start);
    let mut lanes: Vec<ThreadLane> = Vec::new();
    for (thread, pieces) in threads {
        let thread = process.threads.get(&thread).cloned().unwrap_or_default();
        match lanes.iter_mut().find(|lane| lane.thread == thread && lane.end() <= pieces[0].start) {
            Some(lane) => lane.pieces.extend(pieces),
            None => lanes.push(ThreadLane { process: process.number, thread, pieces }),
        }
    }
    lanes.sort_by(|one, other| (!one.works(), &one.thread).cmp(&(!other.works(), &other.thread)));
    lanes
}

/// Flattens nested spans: each moment belongs to the innermost span.
fn flatten(mut spans: Vec<Span>, started_ns: u64) -> Vec<Piece> {
    spans.sort_by_key(|span| (span.start_ns, Reverse(span.end_ns)));
    let mut sweep = SpanSweep { pieces: Vec::new(), open: Vec::new(), at: 0, started_ns };
    for span in spans {
        let start = span.start_ns;
        sweep.advance_to(start);
        sweep.open.push(span);
        sweep.at = start;
    }
    sweep.advance_to(u64::MAX);
    sweep.pieces
}

/// A sweep over the spans in the order of time.
struct SpanSweep {
    /// The pieces until `at`.
    pieces: Vec<Piece>,
    /// The spans that are open at `at`, the innermost last.
    open: Vec<Span>,
    at: u64,
    started_ns: u64,
}

impl SpanSweep {
    fn advance_to(&mut self, time: u64) {
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

impl ThreadLane {
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

    /// The lane of the result. Pieces within one `step` of the axis are merged.
    pub(crate) fn shown(&self, step: u64) -> Lane {
        Lane {
            process: self.process,
            thread: self.thread.clone(),
            works: self.works(),
            busy_s: seconds(self.busy()),
            intervals: merge(&self.pieces, step).iter().map(Merged::shown).collect(),
        }
    }
}

impl Piece {
    fn length(&self) -> u64 {
        self.end - self.start
    }
}

/// Pieces that are shown as one interval.
struct Merged<'a> {
    start: u64,
    end: u64,
    /// The duration of each kernel, in the order of first use.
    parts: Vec<(&'a Piece, u64)>,
}

/// Merges pieces within one step, and pieces of the same kernel with a gap that is too small to be
/// visible. Any two neighbouring intervals together are longer than a step, so there are at most
/// twice as many intervals as steps.
fn merge(pieces: &[Piece], step: u64) -> Vec<Merged<'_>> {
    let mut all: Vec<Merged<'_>> = Vec::new();
    for piece in pieces {
        let fits = |last: &&mut Merged<'_>| {
            let is_same = last.parts.len() == 1 && last.parts[0].0.name == piece.name;
            piece.end - last.start <= step || is_same && piece.start - last.end <= step / 8
        };
        match all.last_mut().filter(fits) {
            Some(last) => last.add(piece),
            None => {
                let parts = vec![(piece, piece.length())];
                all.push(Merged { start: piece.start, end: piece.end, parts });
            }
        }
    }
    all
}

impl<'a> Merged<'a> {
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

/// The share of the workers' time until `end` that they spent in kernels.
pub(crate) fn busy(lanes: &[ThreadLane], workers: NonZeroUsize, end: u64) -> f64 {
    let busy: u64 = lanes.iter().map(ThreadLane::busy).sum();
    busy as f64 / (workers.get() as f64 * end.max(1) as f64)
}

/// The serial tail: the time from the last moment at which two lanes were in kernels until `end`.
pub(crate) fn tail(lanes: &[ThreadLane], end: u64) -> u64 {
    let kernels = lanes.iter().flat_map(ThreadLane::kernels);
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

/// Nanoseconds as seconds, rounded to the microsecond.
pub(crate) fn seconds(ns: u64) -> f64 {
    (ns as f64 / 1e3).round() / 1e6
}

#[cfg(test)]
mod tests;
