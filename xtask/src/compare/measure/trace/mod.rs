//! `--trace`: runs each model once more, untimed, and records the spans of its kernels.
//!
//! The [`record`]s that its processes wrote become a file for Perfetto ([`chrome`]), and the
//! [`lanes`] of a timeline.

mod chrome;
mod lanes;
mod record;
pub(crate) mod traced_run;

use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use lanes::ThreadLane;
use record::Process;

use crate::compare::{measure::trace::traced_run::Run, result::Timeline};

/// The destination of a workload's traces.
pub(crate) struct Traces {
    pub folder: PathBuf,
    pub workload: String,
}

/// A traced run.
pub(crate) struct Traced {
    file: PathBuf,
    wall: Duration,
    workers: NonZeroUsize,
    lanes: Vec<ThreadLane>,
}

/// Number of steps along the axis of a timeline. Intervals within one step are merged, because a
/// reader could not see them apart.
const STEPS: u32 = 400;

impl Traces {
    /// Creates an empty folder for the files of a run's processes.
    pub(crate) fn empty(scratch: &Path) -> Result<PathBuf> {
        let folder = scratch.join("trace");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Reads the folder's files as those of this run, and writes the file for Perfetto.
    pub(crate) fn take(&self, folder: &Path, run: Run<'_>) -> Result<Traced> {
        let processes = record::read(folder)?;
        ensure!(processes.iter().any(Process::has_spans), "no kernel wrote a span");
        let file = self.folder.join(format!("{}-{}.json", self.workload, run.name.replace(" ×", "-x")));
        fs::create_dir_all(&self.folder)?;
        let trace = chrome::trace(&processes, &run, &self.workload);
        let text = serde_json::to_string(&trace)?;
        fs::write(&file, text).with_context(|| file.display().to_string())?;
        let lanes = lanes::of(&processes, run.started_ns);
        Ok(Traced { file, wall: run.wall, workers: run.workers, lanes })
    }
}

impl Traced {
    /// The timeline of the run, on an axis of the length `longest`.
    pub(crate) fn timeline(&self, longest: Duration) -> Timeline {
        let end = nanoseconds(self.wall);
        let step = nanoseconds(longest / STEPS);
        let file = self.file.display().to_string();
        Timeline {
            file,
            wall_s: lanes::seconds(end),
            busy: lanes::busy(&self.lanes, self.workers, end),
            tail_s: lanes::seconds(lanes::tail(&self.lanes, end)),
            lanes: self.lanes.iter().map(|lane| lane.shown(step)).collect(),
        }
    }

    pub(crate) fn wall(&self) -> Duration {
        self.wall
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
