//! Builds the models' programs and asks each what models it has.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use cc_workloads::cli::LIST_MODELS;
use serde::Deserialize;

/// The crate with the spec and the sequential reference.
const SPEC: &str = "cc-workloads";

/// Where things are, as cargo knows it.
pub(crate) struct Workspace {
    pub root: PathBuf,
    pub target: PathBuf,
    /// The crates with models, the spec's first.
    crates: Vec<Crate>,
}

struct Crate {
    name: String,
    dir: PathBuf,
}

/// One model's answer to one workload.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub model: String,
    pub mechanism: String,
    pub workload: String,
    /// Why there is none.
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
        #[derive(Deserialize)]
        struct Target {
            name: String,
            kind: Vec<String>,
        }
        let mut command = cargo();
        command.args(["metadata", "--no-deps", "--format-version", "1"]);
        let found: Metadata = serde_json::from_slice(&output(&mut command)?)?;
        let has_program = |package: &Package| {
            let is_program = |target: &Target| target.name == package.name && target.kind == ["bin"];
            let is_in_crates = package.manifest_path.starts_with(found.workspace_root.join("crates"));
            is_in_crates && package.name.starts_with("cc-") && package.targets.iter().any(is_program)
        };
        let packages = found.packages.into_iter().filter(has_program);
        let mut crates: Vec<Crate> = packages
            .map(|package| Crate { name: package.name, dir: package.manifest_path.with_file_name("") })
            .collect();
        crates.sort_by_key(|one| ORDER.iter().position(|name| *name == one.name).unwrap_or(ORDER.len()));
        Ok(Self { root: found.workspace_root, target: found.target_directory, crates })
    }

    /// Builds the crates, or as many as it takes to have the models that are wanted.
    pub(crate) fn build(&self, wanted: &[String]) -> Result<Built> {
        let mut crates: Vec<&Crate> = self.crates.iter().collect();
        // The crate of `rayon` is not known before, that of `threads` is: it is built first.
        let is_named = |one: &Crate| wanted.iter().any(|model| one.name == format!("cc-{model}"));
        crates.sort_by_key(|one| (one.name != SPEC, !is_named(one)));
        let mut built = Built { entries: Vec::new(), broken: Vec::new() };
        for one in crates {
            if !wanted.is_empty() && one.name != SPEC && wanted.iter().all(|model| built.has(model)) {
                built.broken.clear();
                break;
            }
            match self.build_one(one) {
                Ok(more) => built.entries.extend(more),
                Err(error) if one.name == SPEC => return Err(error),
                Err(error) => built.broken.push(format!("{error:#}")),
            }
        }
        built.entries.sort_by_key(|entry| self.crates.iter().position(|one| one.dir == entry.crate_dir));
        Ok(built)
    }

    /// Builds a package's release programs.
    pub(crate) fn release(&self, package: &str) -> Result<()> {
        let status = cargo()
            .args(["build", "--release", "--quiet", "--package", package])
            .current_dir(&self.root)
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), "{package} does not build");
        Ok(())
    }

    /// By itself, so that one model's features do not leak into another's program.
    fn build_one(&self, one: &Crate) -> Result<Vec<Entry>> {
        self.release(&one.name)?;
        let program = self.target.join("release").join(&one.name);
        let listed = output(Command::new(&program).arg(LIST_MODELS))?;
        let listed = String::from_utf8(listed)?;
        listed.lines().map(|line| Entry::parse(line, &program, &one.dir)).collect()
    }
}

/// The order of the table's rows; a crate that is not named here comes last.
const ORDER: [&str; 6] = [SPEC, "cc-threads", "cc-actors", "cc-async", "cc-procs", "cc-distributed"];

/// What has been built.
pub(crate) struct Built {
    /// In the order of the table.
    pub entries: Vec<Entry>,
    /// The crates that do not build, and why.
    pub broken: Vec<String>,
}

impl Built {
    fn has(&self, model: &str) -> bool {
        self.entries.iter().any(|entry| entry.model == model)
    }
}

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

/// The cargo that started this program.
fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// What a command prints.
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
    use super::{super::alone, *};

    #[test]
    fn what_is_built_has_models() {
        let _alone = alone();
        let names: Vec<String> = Workspace::find().unwrap().crates.into_iter().map(|one| one.name).collect();
        assert_eq!(names, ORDER);
    }
}
