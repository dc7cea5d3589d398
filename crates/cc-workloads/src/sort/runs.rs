//! Between the phases: the runs that there are, and merging some of them while they are too many.

use std::ops::ControlFlow;

use super::{
    Job, Made, Merges, Output, Plan, SortedRun,
    index::{BLOCK, RunWriter},
    keys::Keys,
};
use crate::{
    contract::Sink,
    error::{Error, Result, reason},
    shelf::Shelf,
};

/// The runs of a job, in the order of the input.
pub struct Runs<'a> {
    keys: Keys,
    unique: bool,
    plan: Plan,
    shelf: &'a dyn Shelf,
    runs: Vec<SortedRun>,
    /// Where the next pass begins.
    next: usize,
    passes: usize,
    /// How large the blocks of the indexes are at the least.
    block: u64,
}

impl<'a> Runs<'a> {
    /// None yet.
    #[must_use]
    pub fn new(job: &Job, plan: &Plan, shelf: &'a dyn Shelf) -> Self {
        let (keys, unique) = (Keys::new(&job.query), job.query.unique);
        Self { keys, unique, plan: *plan, shelf, runs: vec![], next: 0, passes: 0, block: BLOCK }
    }

    /// The sink of the first phase: keeps the runs of the chunks, and tells `out` how much was read, or what failed.
    pub fn gather<'b>(&'b mut self, out: &'b mut dyn Sink<Output>) -> impl Sink<Output> + use<'a, 'b> {
        Gather { runs: self, out }
    }

    /// What has to be merged before the rest can be, if there are more runs than a merge can read from.
    pub fn pass(&mut self) -> Option<Pass<'a>> {
        let blocks: u64 = self.runs.iter().map(|run| run.index.blocks()).sum();
        let bytes: u64 = self.runs.iter().map(|run| run.bytes).sum();
        let most = self.plan.fan_in(bytes / blocks.max(1));
        let surplus = self.runs.len().checked_sub(most).filter(|surplus| *surplus > 0)?;
        // No more of them than necessary, and none twice before all have been.
        let count = most.min(surplus + 1);
        if self.next + count > self.runs.len() {
            self.next = 0;
        }
        let runs = self.runs.drain(self.next..self.next + count).collect();
        self.passes += 1;
        let name = format!("pass-{}", self.passes);
        let (keys, unique, size) = (self.keys.clone(), self.unique, self.plan.merge);
        Some(Pass { keys, unique, size, shelf: self.shelf, name, runs })
    }

    /// Puts what a pass has made in the place of the runs that it was made of.
    pub fn put(&mut self, pass: Pass, made: SortedRun) {
        for run in &pass.runs {
            // What cannot be removed now goes with the shelf.
            let _ = self.shelf.remove(&run.name);
        }
        self.runs.insert(self.next, as_coarse(made, self.block));
        self.next += 1;
        self.thin();
    }

    /// The tasks of the last merge, in the order of the result.
    #[must_use]
    pub fn merges(&self) -> Merges<'_> {
        Merges::new(self.keys.clone(), self.unique, &self.runs, self.plan.merge)
    }

    fn add(&mut self, made: Made) {
        for name in made.spent {
            let _ = self.shelf.remove(&name);
        }
        self.runs.extend(made.runs.into_iter().map(|run| as_coarse(run, self.block)));
        self.thin();
    }

    /// Makes all indexes coarser while they are too large. All alike: what a merge reads in vain should be of all runs.
    fn thin(&mut self) {
        let size = |runs: &[SortedRun]| runs.iter().map(|run| run.index.size()).sum::<u64>();
        while size(&self.runs) > self.plan.index && self.block < u64::MAX / 2 {
            self.block *= 2;
            for run in &mut self.runs {
                run.index = run.index.coarser(self.block);
            }
        }
    }
}

fn as_coarse(run: SortedRun, block: u64) -> SortedRun {
    if block == BLOCK { run } else { SortedRun { index: run.index.coarser(block), ..run } }
}

struct Gather<'a, 'b> {
    runs: &'b mut Runs<'a>,
    out: &'b mut dyn Sink<Output>,
}

impl Sink<Output> for Gather<'_, '_> {
    fn push(&mut self, output: Output) -> ControlFlow<()> {
        match output {
            Output::Runs(made) => {
                let read = made.read;
                self.runs.add(made);
                self.out.push(Output::Read(read))
            }
            other => self.out.push(other),
        }
    }
}

/// Runs that are to be merged into one.
pub struct Pass<'a> {
    keys: Keys,
    unique: bool,
    size: u64,
    shelf: &'a dyn Shelf,
    name: String,
    runs: Vec<SortedRun>,
}

impl Pass<'_> {
    /// Its tasks, in order.
    #[must_use]
    pub fn merges(&self) -> Merges<'_> {
        Merges::new(self.keys.clone(), self.unique, &self.runs, self.size)
    }

    /// The sink of these tasks: writes a run. What fails is told to `out`.
    pub fn writer<'b>(&'b self, out: &'b mut dyn Sink<Output>) -> Result<Writer<'b>> {
        let run = RunWriter::new(&self.keys, self.shelf, self.name.clone());
        let run = run.map_err(|error| Error::Failed(write_failed(&error)))?;
        Ok(Writer { run, out })
    }
}

/// The sink of a [`Pass`].
pub struct Writer<'a> {
    run: RunWriter<'a>,
    out: &'a mut dyn Sink<Output>,
}

impl Writer<'_> {
    /// The run that was written.
    pub fn finish(self) -> Result<SortedRun> {
        self.run.finish().map_err(|error| Error::Failed(write_failed(&error)))
    }
}

impl Sink<Output> for Writer<'_> {
    fn push(&mut self, output: Output) -> ControlFlow<()> {
        match output {
            Output::Lines { text, .. } => match self.run.write(&text) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => self.out.push(Output::Failed(write_failed(&error))),
            },
            other => self.out.push(other),
        }
    }
}

fn write_failed(error: &std::io::Error) -> String {
    format!("write failed: {}", reason(error))
}
