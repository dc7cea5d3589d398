//! Builds the models' programs, and asks each of them for its models.

use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use cc_core::report::LIST_MODELS;
use rustix::{
    event::{PollFd, PollFlags},
    process::{getpid, set_child_subreaper},
};
use serde::Deserialize;

use crate::{
    cargo::cargo,
    compare::plan::service::PEERS,
    models::{self, SPEC},
    process::{
        cancel::Cancel,
        guard::{CANCELLED, KillDescendants, exclusive},
        tree::poll_for,
    },
};

/// The workspace, as `cargo metadata` describes it.
pub(crate) struct Workspace {
    pub root: PathBuf,
    pub target: PathBuf,
    /// The crates with models; the spec's crate comes first.
    crates: Vec<Crate>,
}

struct Crate {
    name: String,
    dir: PathBuf,
    /// The models that its table lists.
    models: Vec<String>,
}

/// A target of cargo: a library, a program or a test.
#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Target {
    fn is_program(&self) -> bool {
        self.kind == ["bin"]
    }
}

/// One model's entry for one workload.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub model: String,
    pub mechanism: String,
    pub workload: String,
    /// Why the model does not implement the workload; `None` if it does.
    pub declined: Option<String>,
    pub program: PathBuf,
    pub crate_dir: PathBuf,
}

impl Workspace {
    pub(crate) fn find() -> Result<Self> {
        #[derive(Deserialize)]
        struct Metadata {
            packages: Vec<Package>,
            workspace_root: PathBuf,
            target_directory: PathBuf,
        }
        #[derive(Deserialize)]
        struct Package {
            name: String,
            manifest_path: PathBuf,
            targets: Vec<Target>,
        }
        let mut command = cargo();
        command.args(["metadata", "--no-deps", "--format-version", "1"]);
        let found: Metadata = serde_json::from_slice(&output(&mut command)?)?;
        let has_program = |package: &Package| {
            let is_program = |target: &Target| target.name == package.name && target.is_program();
            let is_in_crates = package.manifest_path.starts_with(found.workspace_root.join("crates"));
            let has_models = package.name == SPEC || is_in_crates && package.name.starts_with("cc-");
            has_models && package.targets.iter().any(is_program)
        };
        let packages = found.packages.into_iter().filter(has_program);
        let models = models::all(&found.workspace_root)?;
        let mut crates: Vec<Crate> = packages
            .map(|package| Crate {
                models: models
                    .iter()
                    .filter(|model| model.package == package.name)
                    .map(|m| m.name.clone())
                    .collect(),
                name: package.name,
                dir: package.manifest_path.with_file_name(""),
            })
            .collect();
        crates.sort_by_key(|one| ORDER.iter().position(|name| *name == one.name).unwrap_or(ORDER.len()));
        Ok(Self { root: found.workspace_root, target: found.target_directory, crates })
    }

    /// The folder with the last results.
    pub(crate) fn results(&self) -> PathBuf {
        self.target.join("compare")
    }

    /// The path of the release program with this name.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }

    /// All models, in the order of the table.
    pub(crate) fn models(&self) -> Vec<&str> {
        self.crates.iter().flat_map(|one| &one.models).map(String::as_str).collect()
    }

    /// Builds the release programs of the wanted models, and `cc-peers` if `has_peers`, with a
    /// single call of cargo, which reports its progress on standard error.
    ///
    /// # Errors
    ///
    /// The reference or `cc-peers` does not build, or the build is interrupted.
    pub(crate) fn build(&self, wanted: &[String], has_peers: bool, cancel: &Cancel) -> Result<Built> {
        let crates: Vec<&Crate> = self.crates.iter().filter(|one| one.is_needed(wanted)).collect();
        let peers = has_peers.then_some(PEERS);
        let programs = self.cargo_build(crates.iter().map(|one| one.name.as_str()).chain(peers), cancel)?;
        if let Some(peers) = peers {
            ensure!(programs.contains_key(peers), "{peers} does not build");
        }
        let mut built = Built { entries: Vec::new(), broken: Vec::new() };
        for one in crates {
            let listed = match programs.get(&one.name) {
                Some(program) => one.entries(program),
                None => Err(anyhow!("{} does not build", one.name)),
            };
            match listed {
                Ok(entries) => built.entries.extend(entries),
                Err(error) if one.name == SPEC => return Err(error),
                Err(error) => built.broken.push(format!("{error:#}")),
            }
        }
        Ok(built)
    }

    /// Builds the release programs of these packages. Returns the programs that could be built, by
    /// name.
    fn cargo_build<'a>(
        &self,
        packages: impl Iterator<Item = &'a str>,
        cancel: &Cancel,
    ) -> Result<BTreeMap<String, PathBuf>> {
        let mut command = cargo();
        command.args(["build", "--release", "--keep-going", "--message-format=json-render-diagnostics"]);
        // Always all packages: cargo unifies the features of all packages that are named here. With
        // only some of them, a program could have other features and would be built again.
        for package in self.crates.iter().map(|one| one.name.as_str()).chain([PEERS]) {
            command.args(["--package", package]);
        }
        for package in packages {
            command.args(["--bin", package]);
        }
        command.current_dir(&self.root).stdin(Stdio::null());
        Ok(executables(&read_until_end(command, cancel)?))
    }
}

/// The order of the table's rows; a crate that is not in this list comes last.
const ORDER: [&str; 6] = [SPEC, "cc-threads", "cc-actors", "cc-async", "cc-procs", "cc-distributed"];

impl Crate {
    /// Whether the crate is needed for these models. The reference's crate always is.
    fn is_needed(&self, wanted: &[String]) -> bool {
        wanted.is_empty() || self.name == SPEC || self.models.iter().any(|model| wanted.contains(model))
    }

    /// The entries that its program lists.
    fn entries(&self, program: &Path) -> Result<Vec<Entry>> {
        let listed = String::from_utf8(output(Command::new(program).arg(LIST_MODELS))?)?;
        listed.lines().map(|line| Entry::parse(line, program, &self.dir)).collect()
    }
}

/// The result of a build.
pub(crate) struct Built {
    /// The entries of all programs, in the order of the table.
    pub entries: Vec<Entry>,
    /// Messages about crates that do not build.
    pub broken: Vec<String>,
}

/// A line that cargo prints with `--message-format=json`.
#[derive(Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
enum Message {
    /// A target was built, or is up to date.
    CompilerArtifact { target: Target, executable: Option<PathBuf> },
    #[serde(other)]
    Other,
}

/// The programs in cargo's messages, by name. A package that does not build has none.
fn executables(messages: &[u8]) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for line in messages.split(|byte| *byte == b'\n') {
        // A line that is not a message comes from a build script and is ignored.
        if let Ok(Message::CompilerArtifact { target, executable: Some(path) }) = serde_json::from_slice(line)
            && target.is_program()
        {
            found.insert(target.name, path);
        }
    }
    found
}

/// Runs the command and returns its output, regardless of its exit status. If `cancel` is
/// requested, the command and its descendants are killed.
fn read_until_end(mut command: Command, cancel: &Cancel) -> Result<Vec<u8>> {
    let _exclusive = exclusive();
    // As a subreaper, this process remains the ancestor of a compiler whose cargo has ended, and
    // can kill it.
    set_child_subreaper(Some(getpid()))?;
    let _kill_descendants = KillDescendants;
    let program = command.get_program().display().to_string();
    let mut child = command.stdout(Stdio::piped()).spawn().context(program)?;
    let mut pipe = child.stdout.take().context("standard output is piped")?;
    let mut printed = Vec::new();
    let mut block = vec![0; BLOCK];
    loop {
        let mut fds = [PollFd::new(&pipe, PollFlags::IN), PollFd::new(cancel, PollFlags::IN)];
        poll_for(&mut fds, LONG)?;
        let is_readable = !fds[0].revents().is_empty();
        ensure!(!cancel.is_requested(), CANCELLED);
        if is_readable {
            let length = pipe.read(&mut block)?;
            if length == 0 {
                break;
            }
            printed.extend_from_slice(&block[..length]);
        }
    }
    child.wait()?;
    // The terminal sends SIGINT to cargo as well, which may end before this process has handled its
    // own signal.
    ensure!(!cancel.is_requested(), CANCELLED);
    Ok(printed)
}

/// Size of the buffer for cargo's messages.
const BLOCK: usize = 1 << 16;
/// Maximum time of one `poll`, which is repeated until something happens.
const LONG: Duration = Duration::from_secs(60);

impl Entry {
    fn parse(line: &str, program: &Path, crate_dir: &Path) -> Result<Self> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [model, mechanism, workload, declined] = fields[..] else {
            bail!("{} {LIST_MODELS} printed {line:?}", program.display());
        };
        Ok(Self {
            model: model.to_owned(),
            mechanism: mechanism.to_owned(),
            workload: workload.to_owned(),
            declined: (!declined.is_empty()).then(|| declined.to_owned()),
            program: program.to_owned(),
            crate_dir: crate_dir.to_owned(),
        })
    }
}

/// Runs a command and returns its output. Fails if the command fails.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let done = command.stderr(Stdio::inherit()).output();
    let done = done.with_context(|| command.get_program().display().to_string())?;
    if !done.status.success() {
        bail!("{} ended with {}", command.get_program().display(), done.status);
    }
    Ok(done.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::guard::exclusive;

    #[test]
    fn every_crate_has_models() {
        let _exclusive = exclusive();
        let crates = Workspace::find().unwrap().crates;
        let names: Vec<&str> = crates.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ORDER);
        assert!(crates.iter().all(|one| !one.models.is_empty()));
    }

    #[test]
    fn a_model_needs_its_own_crate_and_the_reference() {
        let _exclusive = exclusive();
        let crates = Workspace::find().unwrap().crates;
        let needed = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
            let needed = crates.iter().filter(|one| one.is_needed(&wanted));
            needed.map(|one| one.name.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(needed(&["rayon"]), [SPEC, "cc-threads"]);
        assert_eq!(needed(&["async-single", "procs"]), [SPEC, "cc-async", "cc-procs"]);
        // A tool is not built, but it is compared with the reference.
        assert_eq!(needed(&["GNU grep"]), [SPEC]);
        assert_eq!(needed(&[]), ORDER);
    }

    /// Cargo's messages for a workspace with two programs: `broken` has a type error, and `whole`
    /// was built before.
    #[test]
    fn a_crate_that_does_not_build_is_missing_among_the_programs() {
        let programs = executables(include_bytes!("snapshots/build.jsonl"));
        let expected = BTreeMap::from([("whole".to_owned(), PathBuf::from("/ws/target/release/whole"))]);
        assert_eq!(programs, expected);
    }
}
