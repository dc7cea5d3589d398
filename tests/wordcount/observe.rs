//! A job as a user would type it, and what a run of it shows.

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

/// What is asked for.
#[derive(Clone, Default)]
pub(super) struct Asked {
    pub(super) settings: Settings,
    pub(super) roots: Vec<PathBuf>,
    pub(super) recursive: bool,
    pub(super) faults: Plan,
}

impl Asked {
    /// All words of nothing yet.
    pub(super) fn new() -> Self {
        // Any but the default, which would hide that somebody forgot it.
        let settings = Settings { min_len: 1, seed: 0x0123_4567_89ab_cdef, ..Settings::default() };
        Self { settings, ..Self::default() }
    }

    /// Of a part of the corpus and what is below it.
    pub(super) fn of(part: &str) -> Self {
        Self { recursive: true, ..Self::new() }.at(corpus::path(part))
    }

    /// An operand.
    pub(super) fn at(mut self, root: impl Into<PathBuf>) -> Self {
        self.roots.push(root.into());
        self
    }

    /// Other settings.
    pub(super) fn but(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// A fault on the way.
    pub(super) fn with(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    pub(super) fn job(&self) -> Job {
        let Self { settings, roots, recursive, .. } = self.clone();
        Job { settings, roots, recursive }
    }
}

/// What a run showed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Observed {
    /// The words, as they are printed.
    pub(super) out: String,
    /// What was said, in the order of the text: each model has an order of its own.
    pub(super) said: Vec<String>,
    pub(super) totals: Totals,
    pub(super) status: u8,
    /// What ended the run.
    pub(super) error: Option<String>,
    /// How many outputs were pushed.
    pub(super) pushes: usize,
}

/// Ranks, until it is told that nothing more is wanted.
struct Collector<'a, 'b> {
    ranking: Ranking<'a>,
    pushes: usize,
    /// Wants so many pushes, if not all.
    most: Option<usize>,
    /// Is told of each push.
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

/// Keeps what is printed.
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
        let job = asked.job();
        let mut printed = Printed::default();
        let mut sink = Collector { ranking: job.ranking(&mut printed), pushes: 0, most, watch };
        let _in_force = asked.faults.enforce();
        let error = subject.try_run::<Wordcount>(&job, ctx, &mut sink).err().map(|error| error.to_string());
        let Collector { ranking, pushes, .. } = sink;
        let (totals, status) = (ranking.totals(), ranking.status());
        let _ = ranking.finish();
        printed.said.sort();
        let out = String::from_utf8(printed.out).expect("words are ASCII");
        Self { out, said: printed.said, totals, status, error, pushes }
    }

    /// What the reference shows.
    pub(super) fn reference(asked: &Asked) -> Self {
        let reference = Subject::reference();
        Self::of(&reference, asked, &reference.ctx(1))
    }

    /// Panics unless the two are the same, however many outputs it took.
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

/// Panics unless the subject shows what the reference shows.
pub(super) fn conforms(subject: &Subject, asked: &Asked) -> Observed {
    conforms_in(subject, asked, &subject.ctx(2))
}

/// The same, in this context.
pub(super) fn conforms_in(subject: &Subject, asked: &Asked, ctx: &Ctx) -> Observed {
    let observed = Observed::of(subject, asked, ctx);
    observed.assert_same(&Observed::reference(asked));
    observed
}
