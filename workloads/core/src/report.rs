//! What a program and the harness that starts it say to each other.

use std::{collections::BTreeMap, env, fs::OpenOptions, io::Write, num::NonZeroUsize};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Given alone, prints the program's models for a harness that depends on none of them.
pub const LIST_MODELS: &str = "--list-models";

/// The subcommand that makes what a harness measures with.
pub const MAKE_INPUT: &str = "make-input";

/// The environment variable that names the inherited descriptor to report on.
pub const REPORT_FD: &str = "CC_REPORT_FD";

/// How much was done, by name, summed from what the kernels returned: nobody wins by doing less.
pub type Totals = BTreeMap<String, u64>;

/// One run's report: a line of JSON on the descriptor that [`REPORT_FD`] names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The workload.
    pub workload: String,
    /// The model.
    pub model: String,
    /// How many workers it was given.
    pub workers: NonZeroUsize,
    /// How much it did.
    pub totals: Totals,
}

impl Report {
    /// Writes the report if a harness asked for one.
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
