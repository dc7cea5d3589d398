//! `--trace`: each model once more, untimed, with the spans of its kernels.
//!
//! What its processes wrote is [`record`]ed, becomes a file for Perfetto ([`chrome`]), and the
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

use lanes::{Lived, live};
use record::Process;

use crate::compare::{measure::trace::traced_run::Run, result::Timeline};

/// Where the traces of a workload go.
pub(crate) struct Traces {
    pub folder: PathBuf,
    pub workload: String,
}

/// A run that was traced.
pub(crate) struct Traced {
    file: PathBuf,
    wall: Duration,
    workers: NonZeroUsize,
    lanes: Vec<Lived>,
}

/// About how many places a picture has along its axis. What lies within one of them is joined.
const PLACES: u32 = 400;

impl Traces {
    /// An empty folder for what a run's processes write.
    pub(crate) fn empty(scratch: &Path) -> Result<PathBuf> {
        let folder = scratch.join("trace");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Takes what is in the folder for this run's, and writes it for Perfetto.
    pub(crate) fn take(&self, folder: &Path, run: Run<'_>) -> Result<Traced> {
        let processes = record::read(folder)?;
        ensure!(processes.iter().any(Process::has_spans), "no kernel wrote a span");
        let file = self.folder.join(format!("{}-{}.json", self.workload, run.name.replace(" ×", "-x")));
        fs::create_dir_all(&self.folder)?;
        let trace = chrome::trace(&processes, &run, &self.workload);
        let text = serde_json::to_string(&trace)?;
        fs::write(&file, text).with_context(|| file.display().to_string())?;
        Ok(Traced { file, wall: run.wall, workers: run.workers, lanes: live(&processes, run.started_ns) })
    }
}

impl Traced {
    /// What there is to show of it, beside runs of which the longest took so long.
    pub(crate) fn timeline(&self, longest: Duration) -> Timeline {
        let end = nanoseconds(self.wall);
        let place = nanoseconds(longest / PLACES);
        let file = self.file.display().to_string();
        Timeline {
            file,
            wall_s: lanes::seconds(end),
            busy: lanes::busy(&self.lanes, self.workers, end),
            tail_s: lanes::seconds(lanes::tail(&self.lanes, end)),
            lanes: self.lanes.iter().map(|lane| lane.shown(place)).collect(),
        }
    }

    pub(crate) fn wall(&self) -> Duration {
        self.wall
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
