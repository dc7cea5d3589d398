//! The result of a run of a job.

use std::ops::ControlFlow;

use cc_conformance::{stdin::Stdin, subject::Subject};
use cc_workloads::{
    Block, Ctx, Sink,
    sort::{Output, Sorted, Totals},
};

use super::{Sort, corpus, invocation::Invocation, oracle::Expected};

/// The result of a run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RunResult {
    /// The lines, as printed.
    pub(super) out: Vec<u8>,
    pub(super) totals: Totals,
    /// Why the run failed as a whole.
    pub(super) error: Option<String>,
    /// The number of outputs that were pushed.
    pub(super) pushes: usize,
}

/// A sink that passes outputs to the printer, and may return Break.
struct Collector<'a, 'b> {
    sorted: Sorted<'a>,
    pushes: usize,
    /// The push at which it returns Break, if any.
    most: Option<usize>,
    /// Is called before each push.
    watch: &'b mut dyn FnMut(&Output),
}

impl Sink<Output> for Collector<'_, '_> {
    fn push(&mut self, output: Output) -> ControlFlow<()> {
        assert!(self.most.is_none_or(|most| self.pushes < most), "pushed after Break");
        assert!(!self.sorted.has_failed(), "pushed after a failure");
        self.pushes += 1;
        (self.watch)(&output);
        let wants = self.sorted.push(output);
        if self.most == Some(self.pushes) { ControlFlow::Break(()) } else { wants }
    }
}

/// A sink that keeps what is printed, or discards it.
struct Printed {
    out: Vec<u8>,
    keeps: bool,
}

impl Sink<Block> for Printed {
    fn push(&mut self, block: Block) -> ControlFlow<()> {
        match block {
            Block::Out(text) if self.keeps => self.out.extend(text),
            Block::Out(_) => {}
            Block::Err(text) => panic!("said: {}", String::from_utf8_lossy(&text)),
        }
        ControlFlow::Continue(())
    }
}

impl RunResult {
    /// Runs the job with this context.
    pub(super) fn of(subject: &Subject, invocation: &Invocation, ctx: &Ctx) -> Self {
        Self::until(subject, invocation, ctx, None, &mut |_| ())
    }

    /// Like `of`, with a sink that calls `watch` before each push, and returns Break at push number
    /// `most`.
    pub(super) fn until(
        subject: &Subject,
        invocation: &Invocation,
        ctx: &Ctx,
        most: Option<usize>,
        watch: &mut dyn FnMut(&Output),
    ) -> Self {
        Self::printed(subject, invocation, ctx, most, watch, true)
    }

    /// Like `of`, with a sink that discards the lines.
    pub(super) fn forgotten(subject: &Subject, invocation: &Invocation, ctx: &Ctx) -> Self {
        Self::printed(subject, invocation, ctx, None, &mut |_| (), false)
    }

    fn printed(
        subject: &Subject,
        invocation: &Invocation,
        ctx: &Ctx,
        most: Option<usize>,
        watch: &mut dyn FnMut(&Output),
        keeps: bool,
    ) -> Self {
        let job = invocation.job();
        let mut printed = Printed { out: vec![], keeps };
        let sorted = match job.sorted(&ctx.stop, &mut printed) {
            Ok(sorted) => sorted,
            Err(error) => return Self::failed(&error),
        };
        let mut sink = Collector { sorted, pushes: 0, most, watch };
        let _in_force = invocation.faults.enforce();
        let ran = subject.try_run::<Sort>(&job, ctx, &mut sink);
        let Collector { sorted, pushes, .. } = sink;
        let (totals, has_failed) = (sorted.totals(), sorted.has_failed());
        // As in the program, a stopped run has no result.
        let is_whole = ctx.stop.cause().is_none() || has_failed;
        let error = ran.and_then(|()| if is_whole { sorted.finish() } else { Ok(()) });
        Self { out: printed.out, totals, error: error.err().map(|error| error.to_string()), pushes }
    }

    fn failed(error: &cc_workloads::Error) -> Self {
        Self { out: vec![], totals: Totals::default(), error: Some(error.to_string()), pushes: 0 }
    }

    /// Like `of`, with this standard input.
    pub(super) fn with_stdin(subject: &Subject, invocation: &Invocation, ctx: &Ctx, text: &[u8]) -> Self {
        let _stdin = Stdin::of(text.to_vec());
        Self::of(subject, invocation, ctx)
    }

    /// Asserts that this is the expected result.
    pub(super) fn assert(&self, expected: &Expected) {
        assert_eq!(self.error, None, "there is no result");
        assert_same(&self.out, &expected.out);
        assert_eq!(self.totals, expected.totals, "the totals differ");
    }

    /// Asserts that a stopped run had no other error. An error about work that was left undone is
    /// allowed.
    pub(super) fn assert_stopped(&self) {
        assert!(matches!(self.error.as_deref(), None | Some("stopped")), "{:?}", self.error);
    }

    /// Why the run failed as a whole.
    pub(super) fn why(self) -> String {
        self.error.expect("the run did not fail")
    }
}

/// Asserts that the two texts are equal, and shows the first line that differs.
pub(super) fn assert_same(mine: &[u8], expected: &[u8]) {
    if mine == expected {
        return;
    }
    let at = mine.iter().zip(expected).take_while(|(one, other)| one == other).count();
    let line = |text: &[u8]| {
        let start = text[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        String::from_utf8_lossy(&text[start..text.len().min(at + 80)]).into_owned()
    };
    let sizes = (mine.len(), expected.len());
    let theirs = line(expected);
    let mine = line(mine);
    panic!(
        "the lines differ at byte {at}: {mine:?} instead of {theirs:?} ({} of {} bytes)",
        sizes.0, sizes.1
    );
}

/// Asserts that the subject's result is the oracle's.
pub(super) fn conforms(subject: &Subject, invocation: &Invocation) -> RunResult {
    let run_result = RunResult::of(subject, invocation, &subject.ctx(2));
    run_result.assert(&Expected::of(invocation, &[]));
    run_result
}

/// The same for a part of the corpus and an order for which the oracle's answer is stored.
pub(super) fn conforms_in(subject: &Subject, part: &str, order: &str, memory: u64, ctx: &Ctx) -> RunResult {
    let invocation = Invocation::of(part, corpus::flags(order)).in_memory_of(memory);
    let run_result = RunResult::of(subject, &invocation, ctx);
    run_result.assert(&corpus::expected(part, order));
    run_result
}
