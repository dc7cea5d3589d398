//! Real limits: this program sets them on itself, and then executes the program under test.

use std::{ffi::OsString, os::unix::process::CommandExt, process::Command, process::ExitCode};

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Run a program under limits.
#[derive(clap::Args)]
pub(crate) struct Exec {
    /// Maximum number of descriptors per process
    #[arg(long, value_name = "N")]
    nofile: Option<u64>,
    /// Maximum number of threads of the user; root has no limit
    #[arg(long, value_name = "N")]
    nproc: Option<u64>,
    /// Maximum address space per process, in bytes
    #[arg(long, value_name = "BYTES")]
    memory: Option<u64>,
    /// User id under which the program runs
    #[arg(long, value_name = "ID")]
    uid: Option<u32>,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

impl Exec {
    /// Executes the program; returns only if that fails.
    pub(crate) fn exec(&self) -> Result<ExitCode> {
        let limits =
            [(Resource::Nofile, self.nofile), (Resource::Nproc, self.nproc), (Resource::As, self.memory)];
        for (resource, limit) in limits {
            if limit.is_some() {
                setrlimit(resource, Rlimit { current: limit, maximum: limit })
                    .with_context(|| format!("cannot limit {resource:?}"))?;
            }
        }
        let (program, args) = self.command.split_first().expect("clap requires one");
        let mut command = Command::new(program);
        command.args(args);
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        Err(command.exec()).with_context(|| program.display().to_string())
    }
}
