//! What a run of a job shows.

use std::ops::ControlFlow;

use cc_conformance::{stdin::Stdin, subject::Subject};
use cc_workloads::{
    Block, Ctx, Sink,
    sort::{Output, Sorted, Totals},
};

use super::{Sort, asked::Asked, corpus, oracle::Expected};

/// What a run showed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Observed {
    /// The lines, as they are printed.
    pub(super) out: Vec<u8>,
    pub(super) totals: Totals,
    /// Why there is no result.
    pub(super) error: Option<String>,
    /// How many outputs were pushed.
    pub(super) pushes: usize,
}

/// Hands on what comes, until it is told that nothing more is wanted.
struct Collector<'a, 'b> {
    sorted: Sorted<'a>,
    pushes: usize,
    /// Wants so many pushes, if not all.
    most: Option<usize>,
    /// Is told of each push.
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

/// Keeps what is printed, or forgets it.
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

impl Observed {
    /// Runs it in this context.
    pub(super) fn of(subject: &Subject, asked: &Asked, ctx: &Ctx) -> Self {
        Self::until(subject, asked, ctx, None, &mut |_| ())
    }

    /// The same with a sink that wants nothing more after `most` pushes, and calls `watch` before each.
    pub(super) fn until(
        subject: &Subject,
        asked: &Asked,
        ctx: &Ctx,
        most: Option<usize>,
        watch: &mut dyn FnMut(&Output),
    ) -> Self {
        Self::printed(subject, asked, ctx, most, watch, true)
    }

    /// The same with a sink that keeps nothing.
    pub(super) fn forgotten(subject: &Subject, asked: &Asked, ctx: &Ctx) -> Self {
        Self::printed(subject, asked, ctx, None, &mut |_| (), false)
    }

    fn printed(
        subject: &Subject,
        asked: &Asked,
        ctx: &Ctx,
        most: Option<usize>,
        watch: &mut dyn FnMut(&Output),
        keeps: bool,
    ) -> Self {
        let job = asked.job();
        let mut printed = Printed { out: vec![], keeps };
        let sorted = match job.sorted(&ctx.stop, &mut printed) {
            Ok(sorted) => sorted,
            Err(error) => return Self::failed(&error),
        };
        let mut sink = Collector { sorted, pushes: 0, most, watch };
        let _in_force = asked.faults.enforce();
        let ran = subject.try_run::<Sort>(&job, ctx, &mut sink);
        let Collector { sorted, pushes, .. } = sink;
        let (totals, has_failed) = (sorted.totals(), sorted.has_failed());
        // As the program does it: a run that was stopped has no result.
        let is_whole = ctx.stop.cause().is_none() || has_failed;
        let error = ran.and_then(|()| if is_whole { sorted.finish() } else { Ok(()) });
        Self { out: printed.out, totals, error: error.err().map(|error| error.to_string()), pushes }
    }

    fn failed(error: &cc_workloads::Error) -> Self {
        Self { out: vec![], totals: Totals::default(), error: Some(error.to_string()), pushes: 0 }
    }

    /// With this on standard input.
    pub(super) fn with_stdin(subject: &Subject, asked: &Asked, ctx: &Ctx, text: &[u8]) -> Self {
        let _stdin = Stdin::of(text.to_vec());
        Self::of(subject, asked, ctx)
    }

    /// Panics unless it is what is expected.
    pub(super) fn assert(&self, expected: &Expected) {
        assert_eq!(self.error, None, "there is no result");
        assert_same(&self.out, &expected.out);
        assert_eq!(self.totals, expected.totals, "the totals differ");
    }

    /// Panics if something went wrong in a run that was stopped. What was left off may say so.
    pub(super) fn assert_stopped(&self) {
        assert!(matches!(self.error.as_deref(), None | Some("stopped")), "{:?}", self.error);
    }

    /// Why there is no result.
    pub(super) fn why(self) -> String {
        self.error.expect("the run did not fail")
    }
}

/// Panics unless the two texts are the same, and shows a line that is not.
pub(super) fn assert_same(mine: &[u8], expected: &[u8]) {
    if mine == expected {
        return;
    }
    let at = mine.iter().zip(expected).take_while(|(one, other)| one == other).count();
    let line = |text: &[u8]| {
        let start = text[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        String::from_utf8_lossy(&text[start..text.len().min(at + 80)]).into_owned()
    };
    let (mine, theirs, sizes) = (line(mine), line(expected), (mine.len(), expected.len()));
    panic!(
        "the lines differ at byte {at}: {mine:?} instead of {theirs:?} ({} of {} bytes)",
        sizes.0, sizes.1
    );
}

/// Panics unless the subject shows what the oracle says.
pub(super) fn conforms(subject: &Subject, asked: &Asked) -> Observed {
    let observed = Observed::of(subject, asked, &subject.ctx(2));
    observed.assert(&Expected::of(asked, &[]));
    observed
}

/// The same of a part of the corpus and one of the orders that the oracle was asked for when the corpus was made.
pub(super) fn conforms_in(subject: &Subject, part: &str, order: &str, memory: u64, ctx: &Ctx) -> Observed {
    let asked = Asked::of(part, corpus::flags(order)).in_memory_of(memory);
    let observed = Observed::of(subject, &asked, ctx);
    observed.assert(&corpus::expected(part, order));
    observed
}
