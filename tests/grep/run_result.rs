//! Runs a job and keeps what a user would see.

use std::{fmt::Write, ops::ControlFlow};

use cc_conformance::subject::Subject;
use cc_workloads::{
    Block, Ctx, Sink,
    grep::{Job, Totals},
};

use super::{Grep, invocation::Invocation};

/// The result of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RunResult {
    /// What was printed. The model decides where one block ends and the next begins, so
    /// neighbouring blocks of the same kind are joined.
    pub(super) blocks: Vec<Block>,
    /// The exit status.
    pub(super) status: u8,
    /// The totals that the printer counted.
    pub(super) totals: Totals,
    /// The number of blocks that were pushed.
    pub(super) pushes: usize,
}

/// A sink that keeps blocks, and may return Break.
#[derive(Default)]
pub(super) struct Collector {
    blocks: Vec<Block>,
    pushes: usize,
    /// The push at which it returns Break, if any.
    pub(super) most: Option<usize>,
}

impl Sink<Block> for Collector {
    fn push(&mut self, block: Block) -> ControlFlow<()> {
        assert!(self.most.is_none_or(|most| self.pushes < most), "pushed after Break: {block:?}");
        self.pushes += 1;
        match (self.blocks.last_mut(), block) {
            (Some(Block::Out(held)), Block::Out(more)) | (Some(Block::Err(held)), Block::Err(more)) => {
                held.extend(more);
            }
            (_, block) => self.blocks.push(block),
        }
        if self.most == Some(self.pushes) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Runs the job with a sink of the case's own, and returns the exit status and the totals.
pub(super) fn run(subject: &Subject, job: &Job, ctx: &Ctx, out: &mut dyn Sink<Block>) -> (u8, Totals) {
    let mut printer = job.printer(out);
    subject.run::<Grep>(job, ctx, &mut printer);
    (printer.status(), printer.totals())
}

impl RunResult {
    /// Runs the job with this context.
    pub(super) fn of(subject: &Subject, invocation: &Invocation, ctx: &Ctx) -> Self {
        Self::until(subject, invocation, ctx, None)
    }

    /// Like `of`, with a sink that returns Break at push number `most`.
    pub(super) fn until(subject: &Subject, invocation: &Invocation, ctx: &Ctx, most: Option<usize>) -> Self {
        let mut out = Collector { most, ..Collector::default() };
        let _in_force = invocation.faults.enforce();
        let (status, totals) = run(subject, &invocation.job(), ctx, &mut out);
        Self { blocks: out.blocks, status, totals, pushes: out.pushes }
    }

    /// The result of the reference.
    pub(super) fn reference(invocation: &Invocation) -> Self {
        let reference = Subject::reference();
        Self::of(&reference, invocation, &reference.ctx(1))
    }

    /// Standard output.
    pub(super) fn out(&self) -> Vec<u8> {
        self.blocks
            .iter()
            .filter_map(|b| if let Block::Out(text) = b { Some(&text[..]) } else { None })
            .collect::<Vec<_>>()
            .concat()
    }

    /// Standard error.
    pub(super) fn err(&self) -> Vec<u8> {
        self.blocks
            .iter()
            .filter_map(|b| if let Block::Err(text) = b { Some(&text[..]) } else { None })
            .collect::<Vec<_>>()
            .concat()
    }

    /// Asserts that the two have the same output, messages, status and totals.
    pub(super) fn assert_same(&self, expected: &Self, invocation: &Invocation) {
        for (what, mine, theirs) in
            [("standard error", self.err(), expected.err()), ("standard output", self.out(), expected.out())]
        {
            assert!(mine == theirs, "{invocation}\n{what} differs: {}", difference(&mine, &theirs));
        }
        assert!(self.blocks == expected.blocks, "{invocation}\nthe order of output and messages differs");
        assert_eq!(self.status, expected.status, "{invocation}\nthe exit status differs");
        assert_eq!(self.totals, expected.totals, "{invocation}\nthe totals differ");
    }

    /// Asserts that the output and the messages are prefixes of the expected ones.
    pub(super) fn assert_begins(&self, expected: &Self, invocation: &Invocation) {
        let (mine, theirs) = (self.out(), expected.out());
        assert!(theirs.starts_with(&mine), "{invocation}\nnot a beginning: {}", difference(&mine, &theirs));
        assert!(expected.err().starts_with(&self.err()), "{invocation}\nnot a beginning of the messages");
    }
}

/// Asserts that the subject's result equals the reference's.
pub(super) fn conforms(subject: &Subject, invocation: &Invocation) {
    conforms_in(subject, invocation, &subject.ctx(2));
}

/// Like `conforms`, with this context.
pub(super) fn conforms_in(subject: &Subject, invocation: &Invocation, ctx: &Ctx) {
    RunResult::of(subject, invocation, ctx).assert_same(&RunResult::reference(invocation), invocation);
}

/// Describes the first line in which the two texts differ.
pub(super) fn difference(mine: &[u8], expected: &[u8]) -> String {
    let lines =
        |text: &[u8]| text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (mine, expected) = (lines(mine), lines(expected));
    let same = mine.iter().zip(&expected).take_while(|(mine, expected)| mine == expected).count();
    let show = |lines: &[Vec<u8>]| {
        lines.get(same).map_or("(the end)".to_owned(), |line| {
            let shown = &line[..line.len().min(200)];
            format!("{:?} ({} bytes)", String::from_utf8_lossy(shown), line.len())
        })
    };
    let mut text = format!("{} lines instead of {}; ", mine.len(), expected.len());
    let _ = write!(text, "line {} is\n  {}\ninstead of\n  {}", same + 1, show(&mine), show(&expected));
    text
}
