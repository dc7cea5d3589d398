//! Real limits: this program sets them on itself, and becomes the program that they are for.

use std::{ffi::OsString, os::unix::process::CommandExt, process::Command, process::ExitCode};

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Run a program under limits.
#[derive(clap::Args)]
pub(crate) struct Exec {
    /// How many descriptors each process may have
    #[arg(long, value_name = "N")]
    nofile: Option<u64>,
    /// How many threads the user may have; not for root, who has no limit
    #[arg(long, value_name = "N")]
    nproc: Option<u64>,
    /// How much address space each process may have, in bytes
    #[arg(long, value_name = "BYTES")]
    memory: Option<u64>,
    /// The user that runs the program
    #[arg(long, value_name = "ID")]
    uid: Option<u32>,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

impl Exec {
    /// Returns only if the program could not be started.
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
