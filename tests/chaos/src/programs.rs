//! The programs: their paths, models and workloads.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::Options;

/// The programs that have models, the reference first.
const PROGRAMS: [&str; 6] =
    ["cc-workloads", "cc-threads", "cc-actors", "cc-async", "cc-procs", "cc-distributed"];
/// The package with the origin.
const PEERS: &str = "cc-peers";
/// The package of the library that lets calls fail.
const FAILPOINTS: &str = "cc-failpoints";
/// Prefixes of the environment variables that describe the package of `cargo run`. They are removed
/// for the build: build scripts that read them would run again, among them that of ring, and
/// everything that depends on it would be rebuilt.
const DESCRIBING: [&str; 2] = ["CARGO_PKG_", "CARGO_MANIFEST_"];

/// The paths of all programs.
#[derive(Debug)]
pub(crate) struct Programs {
    /// Every model of every program, the reference first.
    pub(crate) models: Vec<Model>,
    /// The origin of `fetch`.
    pub(crate) peers: PathBuf,
    /// The library that lets calls fail.
    pub(crate) failpoints: PathBuf,
}

/// A model, and the workloads that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    workloads: Vec<String>,
}

impl Model {
    /// A program that a test has written.
    #[cfg(test)]
    pub(crate) fn fake(program: PathBuf) -> Self {
        Self { name: "fake".to_owned(), program, workloads: Vec::new() }
    }

    pub(crate) fn has(&self, workload: &str) -> bool {
        self.workloads.iter().any(|name| name == workload)
    }

    /// Whether its workers are processes. Such a worker can be killed alone, and takes its part of
    /// `kv`'s data with it.
    pub(crate) fn has_processes(&self) -> bool {
        matches!(&*self.name, "procs" | "distributed")
    }
}

impl Programs {
    /// Finds the programs in the given directory, or in that of this program, where they are built
    /// unless they are up to date.
    pub(crate) fn find(options: &Options) -> Result<Self> {
        let dir = match &options.bin_dir {
            Some(dir) => dir.canonicalize().with_context(|| dir.display().to_string())?,
            None => build()?,
        };
        let mut models = Vec::new();
        for program in PROGRAMS {
            models.extend(listed(&dir.join(program))?);
        }
        Ok(Self {
            models,
            peers: found(dir.join("cc-peers"))?,
            failpoints: found(dir.join("libcc_failpoints.so"))?,
        })
    }
}

fn found(path: PathBuf) -> Result<PathBuf> {
    ensure!(path.exists(), "{} is missing: run cargo build --release --workspace", path.display());
    Ok(path)
}

/// Builds the programs as `cargo xtask compare` does, so that its builds are reused.
fn build() -> Result<PathBuf> {
    let program = env::current_exe().context("the name of this program")?;
    let dir = program.parent().context("a program lies in a directory")?;
    let programs = [&PROGRAMS[..], &[PEERS]].concat();
    for packages in [&programs[..], &[FAILPOINTS]] {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(&cargo);
        command.args(["build", "--locked"]);
        command.args((!cfg!(debug_assertions)).then_some("--release"));
        command.args(packages.iter().flat_map(|package| ["--package", package]));
        for (name, _) in env::vars_os() {
            if DESCRIBING.iter().any(|begin| name.to_string_lossy().starts_with(begin)) {
                command.env_remove(name);
            }
        }
        let status = command.status().with_context(|| format!("{}: give --bin-dir", cargo.display()))?;
        ensure!(status.success(), "{} does not build", packages.join(", "));
    }
    Ok(dir.to_owned())
}

/// The models that a program lists.
fn listed(program: &Path) -> Result<Vec<Model>> {
    let path = found(program.to_owned())?;
    let output =
        Command::new(program).arg("--list-models").output().with_context(|| program.display().to_string())?;
    ensure!(output.status.success(), "{} --list-models: {}", program.display(), output.status);
    Ok(parse(&String::from_utf8(output.stdout)?, &path))
}

/// Parses lines of `model<TAB>mechanism<TAB>workload<TAB>reason`. The reason is empty if the model
/// has the workload.
fn parse(listed: &str, program: &Path) -> Vec<Model> {
    let mut models: Vec<Model> = Vec::new();
    for line in listed.lines() {
        let mut fields = line.split('\t');
        let (Some(name), _, Some(workload), declined) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if models.last().is_none_or(|last| last.name != name) {
            models.push(Model { name: name.to_owned(), program: program.to_owned(), workloads: Vec::new() });
        }
        if declined.is_none_or(str::is_empty) {
            models.last_mut().expect("one was just pushed").workloads.push(workload.to_owned());
        }
    }
    models
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_that_a_model_declines_is_not_run() {
        let models =
            parse("a\tby hand\tgrep\t\na\tby hand\tkv\ttoo slow\nb\tby foot\tkv\t\n", Path::new("p"));
        assert_eq!(models.len(), 2);
        assert!(models[0].has("grep") && !models[0].has("kv") && models[1].has("kv"));
    }
}
