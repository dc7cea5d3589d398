//! A job as a user would type it, and the result of a run.

use std::{ops::ControlFlow, path::PathBuf};

use cc_conformance::{
    fault::{Fault, Plan},
    subject::Subject,
};
use cc_workloads::{
    Block, Ctx, Sink,
    wordcount::{Job, Output, Ranking, Settings, Totals},
};

use super::{Wordcount, corpus};

/// A job, with the faults that are planned for it.
#[derive(Clone, Default)]
pub(super) struct Invocation {
    pub(super) settings: Settings,
    pub(super) roots: Vec<PathBuf>,
    pub(super) recursive: bool,
    pub(super) faults: Plan,
}

impl Invocation {
    /// A job that shows all words, without operands.
    pub(super) fn new() -> Self {
        // Not the default seed, with which a model that ignores the seed would pass.
        let settings = Settings { min_len: 1, seed: 0x0123_4567_89ab_cdef, ..Settings::default() };
        Self { settings, ..Self::default() }
    }

    /// A job over a part of the corpus and everything below it.
    pub(super) fn of(part: &str) -> Self {
        Self { recursive: true, ..Self::new() }.at(corpus::path(part))
    }

    /// Adds an operand.
    pub(super) fn at(mut self, root: impl Into<PathBuf>) -> Self {
        self.roots.push(root.into());
        self
    }

    /// Changes the settings.
    pub(super) fn but(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Adds a planned fault.
    pub(super) fn with(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    pub(super) fn job(&self) -> Job {
        let Self { settings, roots, recursive, .. } = self.clone();
        Job { settings, roots, recursive }
    }
}

/// The result of a run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RunResult {
    /// The words, as printed.
    pub(super) out: String,
    /// The messages, sorted by text: their order differs by model.
    pub(super) said: Vec<String>,
    pub(super) totals: Totals,
    pub(super) status: u8,
    /// Why the run failed as a whole.
    pub(super) error: Option<String>,
    /// The number of outputs that were pushed.
    pub(super) pushes: usize,
}

/// A sink that passes outputs to the printer, and may return Break.
struct Collector<'a, 'b> {
    ranking: Ranking<'a>,
    pushes: usize,
    /// The push at which it returns Break, if any.
    most: Option<usize>,
    /// Is called before each push.
    watch: &'b mut dyn FnMut(&Output),
}

impl Sink<Output> for Collector<'_, '_> {
    fn push(&mut self, output: Output) -> ControlFlow<()> {
        assert!(self.most.is_none_or(|most| self.pushes < most), "pushed after Break: {output:?}");
        self.pushes += 1;
        (self.watch)(&output);
        let wants = self.ranking.push(output);
        if self.most == Some(self.pushes) { ControlFlow::Break(()) } else { wants }
    }
}

/// A sink that keeps what is printed.
#[derive(Default)]
struct Printed {
    out: Vec<u8>,
    said: Vec<String>,
}

impl Sink<Block> for Printed {
    fn push(&mut self, block: Block) -> ControlFlow<()> {
        match block {
            Block::Out(text) => self.out.extend(text),
            Block::Err(text) => self.said.push(String::from_utf8_lossy(&text).into_owned()),
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
        let job = invocation.job();
        let mut printed = Printed::default();
        let mut sink = Collector { ranking: job.ranking(&mut printed), pushes: 0, most, watch };
        let _in_force = invocation.faults.enforce();
        let error = subject.try_run::<Wordcount>(&job, ctx, &mut sink).err().map(|error| error.to_string());
        let Collector { ranking, pushes, .. } = sink;
        let (totals, status) = (ranking.totals(), ranking.status());
        let _ = ranking.finish();
        printed.said.sort();
        let out = String::from_utf8(printed.out).expect("words are ASCII");
        Self { out, said: printed.said, totals, status, error, pushes }
    }

    /// The result of the reference.
    pub(super) fn reference(invocation: &Invocation) -> Self {
        let reference = Subject::reference();
        Self::of(&reference, invocation, &reference.ctx(1))
    }

    /// Asserts that the two results are equal. The number of pushes may differ.
    pub(super) fn assert_same(&self, expected: &Self) {
        assert_eq!(self.error, expected.error, "the runs end differently");
        assert_eq!(self.said, expected.said, "what is said differs");
        let differs = self.out.lines().zip(expected.out.lines()).find(|(mine, theirs)| mine != theirs);
        assert_eq!(differs, None, "the words differ");
        assert_eq!(self.out.len(), expected.out.len(), "the words differ");
        assert_eq!(self.totals, expected.totals, "the totals differ");
        assert_eq!(self.status, expected.status, "the exit status differs");
    }
}

/// Asserts that the subject's result equals the reference's.
pub(super) fn conforms(subject: &Subject, invocation: &Invocation) -> RunResult {
    conforms_in(subject, invocation, &subject.ctx(2))
}

/// Like `conforms`, with this context.
pub(super) fn conforms_in(subject: &Subject, invocation: &Invocation, ctx: &Ctx) -> RunResult {
    let run_result = RunResult::of(subject, invocation, ctx);
    run_result.assert_same(&RunResult::reference(invocation));
    run_result
}
