//! A job as a user would type it, and the result of a run.

use std::{ops::ControlFlow, path::PathBuf, time::Duration};

use cc_conformance::{
    fault::{Fault, Plan},
    subject::Subject,
};
use cc_peers::origin::Origin;
use cc_workloads::{
    Block, Ctx, Sink,
    fetch::{Job, Listing, Output, Settings, Totals, Wanted},
};

use super::Fetch;

/// A job, with the faults that are planned for it.
#[derive(Clone, Default)]
pub(super) struct Invocation(pub(super) Job, Plan);

impl Invocation {
    /// A job over these paths of an origin, with short waits and timeouts.
    pub(super) fn of<'a>(origin: &Origin, paths: impl IntoIterator<Item = &'a str>) -> Self {
        let address = origin.address();
        Self::urls(paths.into_iter().map(|path| format!("http://{address}{path}")))
    }

    /// A job over these URLs.
    pub(super) fn urls(urls: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let settings = Settings {
            concurrency: 32,
            per_host: 32,
            timeout: Duration::from_millis(400),
            retries: 3,
            seed: 7,
            ..Settings::default()
        };
        Self(Job { settings, wanted: urls.into_iter().map(Wanted::new).collect() }, Plan::default())
    }

    /// Changes the settings.
    pub(super) fn but(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.0.settings);
        self
    }

    /// Adds a planned fault.
    pub(super) fn with(mut self, fault: Fault) -> Self {
        self.1.push(fault);
        self
    }

    /// The same job with an output directory, which is created.
    pub(super) fn kept_in(self, folder: &str) -> (Self, PathBuf) {
        let folder = PathBuf::from(folder);
        std::fs::create_dir(&folder).expect("there is none of this name");
        (self.but(|settings| settings.out = Some(folder.clone())), folder)
    }
}

/// The result of a run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RunResult {
    /// The printed lines, sorted, because they come in any order.
    pub(super) lines: Vec<String>,
    /// The messages about failures.
    pub(super) said: Vec<String>,
    pub(super) totals: Totals,
    pub(super) status: u8,
    /// Why the run failed as a whole.
    pub(super) error: Option<String>,
    /// The outputs, in the order of the pushes.
    pub(super) outputs: Vec<Output>,
}

/// A sink that keeps outputs and passes them to the printer, and may return Break.
struct Collector<'a> {
    listing: Listing<'a>,
    outputs: Vec<Output>,
    most: Option<usize>,
}

impl Sink<Output> for Collector<'_> {
    fn push(&mut self, output: Output) -> ControlFlow<()> {
        assert!(self.most.is_none_or(|most| self.outputs.len() < most), "pushed after Break: {output:?}");
        self.outputs.push(output.clone());
        let wants = self.listing.push(output);
        if self.most == Some(self.outputs.len()) { ControlFlow::Break(()) } else { wants }
    }
}

/// A sink that keeps what is printed.
#[derive(Default)]
struct Printed {
    lines: Vec<String>,
    said: Vec<String>,
}

impl Sink<Block> for Printed {
    fn push(&mut self, block: Block) -> ControlFlow<()> {
        let (list, text) = match block {
            Block::Out(text) => (&mut self.lines, text),
            Block::Err(text) => (&mut self.said, text),
        };
        list.push(String::from_utf8(text).expect("what is printed is text").trim_end().to_owned());
        ControlFlow::Continue(())
    }
}

impl RunResult {
    /// Runs the job with this context.
    pub(super) fn of(subject: &Subject, invocation: &Invocation, ctx: &Ctx) -> Self {
        Self::until(subject, invocation, ctx, None)
    }

    /// Like `of`, with a sink that returns Break at push number `most`.
    pub(super) fn until(
        subject: &Subject,
        Invocation(job, faults): &Invocation,
        ctx: &Ctx,
        most: Option<usize>,
    ) -> Self {
        let _in_force = faults.enforce();
        let mut printed = Printed::default();
        let mut sink = Collector { listing: job.listing(false, &mut printed), outputs: vec![], most };
        let error = subject.try_run::<Fetch>(job, ctx, &mut sink).err().map(|error| error.to_string());
        let Collector { listing, outputs, .. } = sink;
        let (totals, status) = (listing.totals(), listing.status());
        let _ = listing.finish();
        printed.lines.sort();
        Self { lines: printed.lines, said: printed.said, totals, status, error, outputs }
    }

    /// Runs the job to its end, and asserts that there is one output per wanted resource.
    pub(super) fn whole(subject: &Subject, invocation: &Invocation) -> Self {
        let run_result = Self::of(subject, invocation, &subject.ctx(2));
        assert_eq!(run_result.error, None);
        let mut indices: Vec<usize> = run_result.outputs.iter().map(|output| output.index).collect();
        indices.sort_unstable();
        assert!(indices.iter().copied().eq(0..invocation.0.wanted.len()), "one output each: {indices:?}");
        run_result
    }
}
