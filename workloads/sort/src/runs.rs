//! Holds the runs between the phases, and merges some of them while there are too many.

use std::ops::ControlFlow;

use super::{Job, Made, Merges, Output, Plan, SortedRun, index::RunWriter, keys::Keys};
use cc_core::{
    blobs::BlobStore,
    contract::Sink,
    error::{Error, Result, reason},
    trace,
};

/// The runs of a job, in the order of the input.
pub struct Runs<'a> {
    keys: Keys,
    unique: bool,
    plan: Plan,
    blobs: &'a dyn BlobStore,
    runs: Vec<SortedRun>,
    /// The position of the first run of the next pass.
    next: usize,
    passes: usize,
    /// Minimum bytes of the indexes' blocks.
    block: u64,
}

impl<'a> Runs<'a> {
    /// No runs.
    #[must_use]
    pub fn new(job: &Job, plan: &Plan, blobs: &'a dyn BlobStore) -> Self {
        let (keys, unique) = (Keys::new(&job.query), job.query.unique);
        Self { keys, unique, plan: *plan, blobs, runs: vec![], next: 0, passes: 0, block: plan.block }
    }

    /// The sink of the first phase: keeps the runs of the chunks, and pushes to `out` how much was
    /// read, or the failure.
    pub fn gather<'b>(&'b mut self, out: &'b mut dyn Sink<Output>) -> impl Sink<Output> + use<'a, 'b> {
        Gather { runs: self, out }
    }

    /// The next pass, which merges some runs into one; `None` if there are no more runs than a
    /// merge can read from.
    pub fn pass(&mut self) -> Option<Pass<'a>> {
        let blocks: u64 = self.runs.iter().map(|run| run.index.blocks()).sum();
        let bytes: u64 = self.runs.iter().map(|run| run.bytes).sum();
        let fan_in = self.plan.fan_in(bytes / blocks.max(1));
        let surplus = self.runs.len().checked_sub(fan_in).filter(|surplus| *surplus > 0)?;
        // Merge no more runs than necessary. Merge each run once before any run is merged again.
        let count = fan_in.min(surplus + 1);
        if self.next + count > self.runs.len() {
            self.next = 0;
        }
        let runs = self.runs.drain(self.next..self.next + count).collect();
        self.passes += 1;
        let name = format!("pass-{}", self.passes);
        let (keys, unique, size) = (self.keys.clone(), self.unique, self.plan.merge);
        Some(Pass { keys, unique, size, blobs: self.blobs, name, block: self.block, runs })
    }

    /// Inserts the run that a pass has made, in place of the runs that it has merged.
    pub fn put(&mut self, pass: Pass, made: SortedRun) {
        for run in &pass.runs {
            // A blob that cannot be removed here is removed with the whole store.
            let _ = self.blobs.remove(&run.name);
        }
        self.runs.insert(self.next, made);
        self.next += 1;
        self.limit_indexes();
    }

    /// The tasks of the last merge, in the order of the result.
    #[must_use]
    pub fn merges(&self) -> Merges<'_> {
        Merges::new(self.keys.clone(), self.unique, &self.runs, self.plan.merge)
    }

    fn add(&mut self, made: Made) {
        for name in made.spent {
            let _ = self.blobs.remove(&name);
        }
        let first_added = self.runs.len();
        self.runs.extend(made.runs);
        if self.block > self.plan.block {
            self.coarsen(first_added);
        }
        self.limit_indexes();
    }

    /// Makes all indexes coarser while they exceed their memory. All get the same block size, so
    /// that a merge reads about as many unneeded bytes from each run.
    fn limit_indexes(&mut self) {
        let size = |runs: &[SortedRun]| runs.iter().map(|run| run.index.size()).sum::<u64>();
        while size(&self.runs) > self.plan.index && self.block < u64::MAX / 2 {
            self.block *= 2;
            self.coarsen(0);
        }
    }

    /// Makes the indexes coarser, of this run and all later ones.
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

/// A pass: runs that are merged into one.
pub struct Pass<'a> {
    keys: Keys,
    unique: bool,
    size: u64,
    blobs: &'a dyn BlobStore,
    name: String,
    /// Minimum bytes of the index's blocks.
    block: u64,
    runs: Vec<SortedRun>,
}

impl Pass<'_> {
    /// The tasks of the pass, in order.
    #[must_use]
    pub fn merges(&self) -> Merges<'_> {
        Merges::new(self.keys.clone(), self.unique, &self.runs, self.size)
    }

    /// The sink of these tasks: writes the run, and pushes failures to `out`.
    pub fn writer<'b>(&'b self, out: &'b mut dyn Sink<Output>) -> Result<Writer<'b>> {
        let run = RunWriter::new(&self.keys, self.blobs, self.name.clone(), self.block);
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
    use cc_core::{blobs::MemStore, stop::Stop};

    use crate::{Query, Sorter, Task};

    /// A sink that collects the outputs.
    #[derive(Default)]
    struct Collected(Vec<Output>);

    impl Sink<Output> for Collected {
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

    /// A plan with merges of this size.
    fn plan(merge: u64) -> Plan {
        Plan { merge, ..Plan::new(0, NonZeroUsize::MIN, NonZeroUsize::MIN, None) }
    }

    /// Writes runs with random keys to the blob store, and returns all their lines, sorted.
    fn put(runs: &mut Runs, blobs: &dyn BlobStore, count: usize, keys: u32) -> Vec<String> {
        let mut random = fastrand::Rng::with_seed(u64::from(keys));
        let mut all = vec![];
        for run in 0..count {
            let mut lines: Vec<String> =
                (0..4000).map(|n| format!("{:04} {run} {n} and more\n", random.u32(..keys))).collect();
            lines.sort_by(|one, other| one[..4].cmp(&other[..4]));
            let keys = runs.keys.clone();
            let mut writer = RunWriter::new(&keys, blobs, format!("run-{run}"), runs.block).unwrap();
            writer.write(lines.concat().as_bytes()).unwrap();
            let made = Made { runs: vec![writer.finish().unwrap()], ..Made::default() };
            let _ = runs.gather(&mut Collected::default()).push(Output::Runs(made));
            all.extend(lines);
        }
        all.sort_by(|one, other| one[..4].cmp(&other[..4]));
        all
    }

    fn merged(
        tasks: impl Iterator<Item = Task>,
        job: &Job,
        blobs: &dyn BlobStore,
        out: &mut dyn Sink<Output>,
    ) {
        let mut sorter = Sorter::new(&job.query, &Stop::new());
        for task in tasks {
            assert!(out.push(sorter.task(&task, blobs)).is_continue());
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

    /// Each line is in exactly one merge, in order, even if a bound divides equal lines.
    #[test]
    fn merges_of_any_size_are_all_lines_once_and_in_order() {
        for (keys, count) in [(1, 3), (3, 5), (500, 5), (9999, 4), (9999, 1)] {
            for (size, unique) in
                [1, 20_000, 100_000, 1 << 40].into_iter().flat_map(|size| [(size, false), (size, true)])
            {
                let (job, blobs) = (job(unique), MemStore::default());
                let mut runs = Runs::new(&job, &plan(size), &blobs);
                let mut all = put(&mut runs, &blobs, count, keys);
                if unique {
                    let mut seen = BTreeSet::new();
                    all.retain(|line| seen.insert(line[..4].to_owned()));
                }
                let mut collected = Collected::default();
                merged(runs.merges(), &job, &blobs, &mut collected);
                assert!(text(collected.0) == all.concat(), "{count} runs of {keys} keys, merges of {size}");
            }
        }
    }

    #[test]
    fn merges_are_of_about_the_size_they_should_be() {
        let (job, blobs) = (job(false), MemStore::default());
        let mut runs = Runs::new(&job, &plan(100_000), &blobs);
        let bytes = put(&mut runs, &blobs, 6, 9999).concat().len();
        let mut collected = Collected::default();
        merged(runs.merges(), &job, &blobs, &mut collected);
        let merges = collected.0.len();
        assert!((bytes / 120_000..=bytes / 80_000).contains(&merges), "{merges} merges of {bytes} bytes");
    }

    #[test]
    fn passes_leave_no_more_runs_than_a_merge_can_read_from_and_no_line_out() {
        for (merge, count) in [(1, 9), (40_000, 20), (100_000, 40)] {
            let (job, blobs) = (job(false), MemStore::default());
            let plan = plan(merge);
            let mut runs = Runs::new(&job, &plan, &blobs);
            let all = put(&mut runs, &blobs, count, 300);
            // The last block of a run is smaller, so the average is below the block size.
            let max_runs = plan.fan_in(runs.block / 2);
            assert!(runs.runs.len() > max_runs, "no pass is needed");
            while let Some(pass) = runs.pass() {
                let before = runs.runs.len() + pass.runs.len();
                assert!((2..=max_runs).contains(&pass.runs.len()));
                let mut failures = Collected::default();
                let mut writer = pass.writer(&mut failures).unwrap();
                merged(pass.merges(), &job, &blobs, &mut writer);
                let made = writer.finish().unwrap();
                let spent: Vec<_> = pass.runs.iter().map(|run| run.name.clone()).collect();
                runs.put(pass, made);
                assert!(runs.runs.len() < before && failures.0.is_empty());
                assert!(spent.iter().all(|name| blobs.remove(name).is_err()), "a merged run still exists");
            }
            assert!(runs.runs.len() <= max_runs);
            let mut collected = Collected::default();
            merged(runs.merges(), &job, &blobs, &mut collected);
            assert!(text(collected.0) == all.concat(), "merges of {merge}");
        }
    }

    #[test]
    fn what_chunks_were_made_of_is_removed_and_what_was_read_is_told() {
        let (job, blobs) = (job(false), MemStore::default());
        blobs.create("input-0").unwrap().finish().unwrap();
        let mut runs = Runs::new(&job, &plan(1000), &blobs);
        let read = crate::Totals { files: 1, bytes: 2, lines: 3, sorted: 0 };
        let made = Made { runs: vec![], read, spent: vec!["input-0".to_owned()] };
        let mut collected = Collected::default();
        let mut gather = runs.gather(&mut collected);
        let _ = gather.push(Output::Runs(made));
        let _ = gather.push(Output::Failed("why".to_owned()));
        drop(gather);
        assert_eq!(collected.0, [Output::Read(read), Output::Failed("why".to_owned())]);
        assert!(blobs.remove("input-0").is_err(), "the blob still exists");
        assert_eq!(runs.merges().count(), 0);
    }
}
