//! A job as a user would type it, and what a run of it shows.

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

/// What is asked for.
#[derive(Clone, Default)]
pub(super) struct Asked(pub(super) Job, Plan);

impl Asked {
    /// These paths of an origin, at once, without much patience.
    pub(super) fn of<'a>(origin: &Origin, paths: impl IntoIterator<Item = &'a str>) -> Self {
        let address = origin.address();
        Self::urls(paths.into_iter().map(|path| format!("http://{address}{path}")))
    }

    /// These URLs.
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

    /// Other settings.
    pub(super) fn but(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.0.settings);
        self
    }

    /// A fault on the way.
    pub(super) fn with(mut self, fault: Fault) -> Self {
        self.1.push(fault);
        self
    }

    /// Kept in a directory that is there.
    pub(super) fn kept_in(self, folder: &str) -> (Self, PathBuf) {
        let folder = PathBuf::from(folder);
        std::fs::create_dir(&folder).expect("there is none of this name");
        (self.but(|settings| settings.out = Some(folder.clone())), folder)
    }
}

/// What a run showed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Observed {
    /// What was printed, sorted: they come in any order.
    pub(super) lines: Vec<String>,
    /// What was said of those that failed.
    pub(super) said: Vec<String>,
    pub(super) totals: Totals,
    pub(super) status: u8,
    /// What ended the run.
    pub(super) error: Option<String>,
    /// In the order in which they were pushed.
    pub(super) outputs: Vec<Output>,
}

/// Lists, until it is told that nothing more is wanted.
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

/// Keeps what is printed.
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

impl Observed {
    /// Runs it in this context.
    pub(super) fn of(subject: &Subject, asked: &Asked, ctx: &Ctx) -> Self {
        Self::until(subject, asked, ctx, None)
    }

    /// The same with a sink that wants nothing more after `most` pushes.
    pub(super) fn until(
        subject: &Subject,
        Asked(job, faults): &Asked,
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

    /// Runs it to its end, and checks what is so in every run: one output for each that was wanted.
    pub(super) fn whole(subject: &Subject, asked: &Asked) -> Self {
        let observed = Self::of(subject, asked, &subject.ctx(2));
        assert_eq!(observed.error, None);
        let mut indices: Vec<usize> = observed.outputs.iter().map(|output| output.index).collect();
        indices.sort_unstable();
        assert!(indices.iter().copied().eq(0..asked.0.wanted.len()), "one output each: {indices:?}");
        observed
    }
}
