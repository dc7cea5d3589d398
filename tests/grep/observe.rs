//! Runs a job and keeps what a user would have seen.

use std::{fmt::Write, ops::ControlFlow};

use cc_conformance::subject::Subject;
use cc_workloads::{
    Block, Ctx, Sink,
    grep::{Job, Totals},
};

use super::{Grep, asked::Asked};

/// What a run showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Observed {
    /// What was printed. Where one block ends and the next begins is the model's decision, so neighbours of a
    /// kind are joined.
    pub(super) blocks: Vec<Block>,
    /// The exit status.
    pub(super) status: u8,
    /// What was counted.
    pub(super) totals: Totals,
    /// How many blocks were pushed.
    pub(super) pushes: usize,
}

/// Keeps blocks, until it is told that nothing more is wanted.
#[derive(Default)]
pub(super) struct Collector {
    blocks: Vec<Block>,
    pushes: usize,
    /// Wants so many pushes, if not all.
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

impl Observed {
    /// Runs what is asked for, in this context.
    pub(super) fn of(subject: &Subject, asked: &Asked, ctx: &Ctx) -> Self {
        Self::until(subject, asked, ctx, None)
    }

    /// The same with a sink that wants nothing more after `most` pushes.
    pub(super) fn until(subject: &Subject, asked: &Asked, ctx: &Ctx, most: Option<usize>) -> Self {
        let mut out = Collector { most, ..Collector::default() };
        let _in_force = asked.faults.enforce();
        let (status, totals) = run(subject, &asked.job(), ctx, &mut out);
        Self { blocks: out.blocks, status, totals, pushes: out.pushes }
    }

    /// What the reference shows.
    pub(super) fn reference(asked: &Asked) -> Self {
        let reference = Subject::reference();
        Self::of(&reference, asked, &reference.ctx(1))
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

    /// Panics unless the two are the same, output, status and totals.
    pub(super) fn assert_same(&self, expected: &Self, asked: &Asked) {
        for (what, mine, theirs) in
            [("standard error", self.err(), expected.err()), ("standard output", self.out(), expected.out())]
        {
            assert!(mine == theirs, "{asked}\n{what} differs: {}", difference(&mine, &theirs));
        }
        assert!(self.blocks == expected.blocks, "{asked}\nthe order of output and messages differs");
        assert_eq!(self.status, expected.status, "{asked}\nthe exit status differs");
        assert_eq!(self.totals, expected.totals, "{asked}\nthe totals differ");
    }

    /// Panics unless this is what has been printed of `expected` at some moment.
    pub(super) fn assert_begins(&self, expected: &Self, asked: &Asked) {
        let (mine, theirs) = (self.out(), expected.out());
        assert!(theirs.starts_with(&mine), "{asked}\nnot a beginning: {}", difference(&mine, &theirs));
        assert!(expected.err().starts_with(&self.err()), "{asked}\nnot a beginning of the messages");
    }
}

/// Panics unless the subject shows what the reference shows.
pub(super) fn conforms(subject: &Subject, asked: &Asked) {
    conforms_in(subject, asked, &subject.ctx(2));
}

/// The same, in this context.
pub(super) fn conforms_in(subject: &Subject, asked: &Asked, ctx: &Ctx) {
    Observed::of(subject, asked, ctx).assert_same(&Observed::reference(asked), asked);
}

/// The first line in which two texts differ, mine and the expected one.
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
