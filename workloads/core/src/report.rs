//! The interface between a program and the harness that starts it.

use std::{collections::BTreeMap, env, fs::OpenOptions, io::Write, num::NonZeroUsize};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// As the only argument: prints the program's models. The harness needs it because it depends on no
/// model.
pub const LIST_MODELS: &str = "--list-models";

/// The subcommand that generates the input for measurements.
pub const MAKE_INPUT: &str = "make-input";

/// The environment variable with the number of the inherited descriptor that receives the report.
pub const REPORT_FD: &str = "CC_REPORT_FD";

/// How much was done, by name, summed from what the kernels returned. The harness compares the
/// totals, so that no model can win by doing less.
pub type Totals = BTreeMap<String, u64>;

/// The report of one run: a line of JSON on the descriptor in [`REPORT_FD`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The workload's name.
    pub workload: String,
    /// The model's name.
    pub model: String,
    /// The number of workers.
    pub workers: NonZeroUsize,
    /// How much was done.
    pub totals: Totals,
}

impl Report {
    /// Writes the report, if a harness has requested one.
    pub fn send(&self) -> Result<()> {
        let Some(fd) = env::var_os(REPORT_FD) else { return Ok(()) };
        let path = std::path::Path::new("/proc/self/fd").join(&fd);
        let mut line = serde_json::to_vec(self).expect("plain data serializes");
        line.push(b'\n');
        OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|mut file| file.write_all(&line))
            .map_err(Error::io(format!("{REPORT_FD}={}", fd.display())))
    }
}
