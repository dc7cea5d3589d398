//! Between the phases: the runs that there are, and merging some of them while they are too many.

use std::ops::ControlFlow;

use super::{Job, Made, Merges, Output, Plan, SortedRun, index::RunWriter, keys::Keys};
use cc_core::{
    contract::Sink,
    error::{Error, Result, reason},
    shelf::Shelf,
    trace,
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
        Self { keys, unique, plan: *plan, shelf, runs: vec![], next: 0, passes: 0, block: plan.block }
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
        Some(Pass { keys, unique, size, shelf: self.shelf, name, block: self.block, runs })
    }

    /// Puts what a pass has made in the place of the runs that it was made of.
    pub fn put(&mut self, pass: Pass, made: SortedRun) {
        for run in &pass.runs {
            // What cannot be removed now goes with the shelf.
            let _ = self.shelf.remove(&run.name);
        }
        self.runs.insert(self.next, made);
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
        let before = self.runs.len();
        self.runs.extend(made.runs);
        if self.block > self.plan.block {
            self.coarsen(before);
        }
        self.thin();
    }

    /// Makes all indexes coarser while they are too large. All alike: what a merge reads in vain should be of all runs.
    fn thin(&mut self) {
        let size = |runs: &[SortedRun]| runs.iter().map(|run| run.index.size()).sum::<u64>();
        while size(&self.runs) > self.plan.index && self.block < u64::MAX / 2 {
            self.block *= 2;
            self.coarsen(0);
        }
    }

    /// Makes the indexes coarse of this run and those behind it.
    fn coarsen(&mut self, first: usize) {
        for run in &mut self.runs[first..] {
            run.index = run.index.coarser(self.block);
        }
    }
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
    /// How large the blocks of its run are at the least.
    block: u64,
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
        let run = RunWriter::new(&self.keys, self.shelf, self.name.clone(), self.block);
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
            Output::Lines { text, .. } => {
                let _span = trace::serial("write");
                match self.run.write(&text) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => self.out.push(Output::Failed(write_failed(&error))),
                }
            }
            other => self.out.push(other),
        }
    }
}

fn write_failed(error: &std::io::Error) -> String {
    format!("write failed: {}", reason(error))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, num::NonZeroUsize};

    use super::*;
    use cc_core::{shelf::Memory, stop::Stop};

    use crate::{Query, Sorter, Task};

    /// Keeps outputs.
    #[derive(Default)]
    struct Kept(Vec<Output>);

    impl Sink<Output> for Kept {
        fn push(&mut self, output: Output) -> ControlFlow<()> {
            self.0.push(output);
            ControlFlow::Continue(())
        }
    }

    fn job(unique: bool) -> Job {
        let key = crate::Key { to: Some(1), ..crate::Key::default() };
        Job {
            query: Query { keys: vec![key], unique, ..Query::default() },
            files: vec![],
            memory: 0,
            temporary: std::env::temp_dir(),
            output: None,
        }
    }

    /// Merges of so many bytes of the result.
    fn plan(merge: u64) -> Plan {
        Plan { merge, ..Plan::new(0, NonZeroUsize::MIN, NonZeroUsize::MIN, None) }
    }

    /// Puts runs on the shelf, in which a key occurs as often as the random numbers want it, and returns their lines.
    fn put(runs: &mut Runs, shelf: &dyn Shelf, count: usize, keys: u32) -> Vec<String> {
        let mut random = fastrand::Rng::with_seed(u64::from(keys));
        let mut all = vec![];
        for run in 0..count {
            let mut lines: Vec<String> =
                (0..4000).map(|n| format!("{:04} {run} {n} and more\n", random.u32(..keys))).collect();
            lines.sort_by(|one, other| one[..4].cmp(&other[..4]));
            let keys = runs.keys.clone();
            let mut writer = RunWriter::new(&keys, shelf, format!("run-{run}"), runs.block).unwrap();
            writer.write(lines.concat().as_bytes()).unwrap();
            let made = Made { runs: vec![writer.finish().unwrap()], ..Made::default() };
            let _ = runs.gather(&mut Kept::default()).push(Output::Runs(made));
            all.extend(lines);
        }
        all.sort_by(|one, other| one[..4].cmp(&other[..4]));
        all
    }

    fn merged(tasks: impl Iterator<Item = Task>, job: &Job, shelf: &dyn Shelf, out: &mut dyn Sink<Output>) {
        let mut sorter = Sorter::new(&job.query, &Stop::new());
        for task in tasks {
            assert!(out.push(sorter.task(&task, shelf)).is_continue());
        }
    }

    fn text(outputs: Vec<Output>) -> String {
        let text = |output| match output {
            Output::Lines { text, lines } => {
                assert_eq!(text.iter().filter(|byte| **byte == b'\n').count() as u64, lines);
                String::from_utf8(text.into_vec()).unwrap()
            }
            other => panic!("{other:?}"),
        };
        outputs.into_iter().map(text).collect()
    }

    /// Each line is in one merge, in order, wherever the bounds are: among many equal lines as well.
    #[test]
    fn merges_of_any_size_are_all_lines_once_and_in_order() {
        for (keys, count) in [(1, 3), (3, 5), (500, 5), (9999, 4), (9999, 1)] {
            for (size, unique) in
                [1, 20_000, 100_000, 1 << 40].into_iter().flat_map(|size| [(size, false), (size, true)])
            {
                let (job, shelf) = (job(unique), Memory::default());
                let mut runs = Runs::new(&job, &plan(size), &shelf);
                let mut all = put(&mut runs, &shelf, count, keys);
                if unique {
                    let mut seen = BTreeSet::new();
                    all.retain(|line| seen.insert(line[..4].to_owned()));
                }
                let mut kept = Kept::default();
                merged(runs.merges(), &job, &shelf, &mut kept);
                assert!(text(kept.0) == all.concat(), "{count} runs of {keys} keys, merges of {size}");
            }
        }
    }

    #[test]
    fn merges_are_of_about_the_size_they_should_be() {
        let (job, shelf) = (job(false), Memory::default());
        let mut runs = Runs::new(&job, &plan(100_000), &shelf);
        let bytes = put(&mut runs, &shelf, 6, 9999).concat().len();
        let mut kept = Kept::default();
        merged(runs.merges(), &job, &shelf, &mut kept);
        let merges = kept.0.len();
        assert!((bytes / 120_000..=bytes / 80_000).contains(&merges), "{merges} merges of {bytes} bytes");
    }

    #[test]
    fn passes_leave_no_more_runs_than_a_merge_can_read_from_and_no_line_out() {
        for (merge, count) in [(1, 9), (40_000, 20), (100_000, 40)] {
            let (job, shelf) = (job(false), Memory::default());
            let plan = plan(merge);
            let mut runs = Runs::new(&job, &plan, &shelf);
            let all = put(&mut runs, &shelf, count, 300);
            // Blocks are smaller on an average, since the last one of a run is.
            let most = plan.fan_in(runs.block / 2);
            assert!(runs.runs.len() > most, "no pass is needed");
            while let Some(pass) = runs.pass() {
                let before = runs.runs.len() + pass.runs.len();
                assert!((2..=most).contains(&pass.runs.len()));
                let mut failures = Kept::default();
                let mut writer = pass.writer(&mut failures).unwrap();
                merged(pass.merges(), &job, &shelf, &mut writer);
                let made = writer.finish().unwrap();
                let spent: Vec<_> = pass.runs.iter().map(|run| run.name.clone()).collect();
                runs.put(pass, made);
                assert!(runs.runs.len() < before && failures.0.is_empty());
                assert!(spent.iter().all(|name| shelf.remove(name).is_err()), "a run is there still");
            }
            assert!(runs.runs.len() <= most);
            let mut kept = Kept::default();
            merged(runs.merges(), &job, &shelf, &mut kept);
            assert!(text(kept.0) == all.concat(), "merges of {merge}");
        }
    }

    #[test]
    fn what_chunks_were_made_of_is_removed_and_what_was_read_is_told() {
        let (job, shelf) = (job(false), Memory::default());
        shelf.create("input-0").unwrap().finish().unwrap();
        let mut runs = Runs::new(&job, &plan(1000), &shelf);
        let read = crate::Totals { files: 1, bytes: 2, lines: 3, sorted: 0 };
        let made = Made { runs: vec![], read, spent: vec!["input-0".to_owned()] };
        let mut kept = Kept::default();
        let mut gather = runs.gather(&mut kept);
        let _ = gather.push(Output::Runs(made));
        let _ = gather.push(Output::Failed("why".to_owned()));
        drop(gather);
        assert_eq!(kept.0, [Output::Read(read), Output::Failed("why".to_owned())]);
        assert!(shelf.remove("input-0").is_err(), "it is there still");
        assert_eq!(runs.merges().count(), 0);
    }
}
