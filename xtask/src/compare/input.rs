//! What is worked on: a tree made from a seed, or somebody's own files.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use cc_workloads::inputs;
use serde::{Deserialize, Serialize};

use super::{build::Workspace, external::Tool, query::Query};

/// `workloads/<name>/manifest.toml`.
#[derive(Deserialize)]
pub(crate) struct Manifest {
    input: BTreeMap<String, inputs::Spec>,
    query: Vec<NamedQuery>,
    #[serde(default)]
    pub tool: Vec<Tool>,
}

#[derive(Deserialize)]
struct NamedQuery {
    name: String,
    args: Vec<String>,
}

/// What every run of a comparison searches.
#[derive(Serialize)]
pub(crate) struct Input {
    /// `small`, or the path that was given.
    pub name: String,
    pub path: PathBuf,
    /// What the queries that are only checked search.
    pub checked: PathBuf,
    /// An empty file, for the job that shows what starting costs.
    pub empty: PathBuf,
}

impl Manifest {
    pub(crate) fn load(workspace: &Workspace, workload: &str) -> Result<Self> {
        let path = workspace.root.join("workloads").join(workload).join("manifest.toml");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        toml::from_str(&text).with_context(|| path.display().to_string())
    }

    /// Makes the input of that size, unless it is there.
    pub(crate) fn prepare(&self, workspace: &Workspace, workload: &str, size: &str) -> Result<Input> {
        let folder = workspace.target.join("inputs").join(workload);
        fs::create_dir_all(&folder)?;
        let make = |size: &str| {
            let Some(spec) = self.input.get(size) else { bail!("{workload} has no input of size {size}") };
            let path = folder.join(size);
            inputs::prepare(spec, &path)?;
            Ok(path)
        };
        // Odd files are in the smallest tree, too: many queries on few files find more than few on many.
        Input::open(size.to_owned(), make(size)?, make("smoke")?, workspace)
    }

    /// The queries: the first is measured, all are checked.
    pub(crate) fn queries(&self, given: &[String]) -> Result<Vec<Query>> {
        if !given.is_empty() {
            return Ok(vec![Query::parse("given", given)?]);
        }
        self.query.iter().map(|query| Query::parse(&query.name, &query.args)).collect()
    }
}

impl Input {
    /// Somebody's own file or directory.
    pub(crate) fn given(path: &Path, workspace: &Workspace) -> Result<Self> {
        fs::metadata(path).with_context(|| path.display().to_string())?;
        Self::open(path.display().to_string(), path.to_owned(), path.to_owned(), workspace)
    }

    fn open(name: String, path: PathBuf, checked: PathBuf, workspace: &Workspace) -> Result<Self> {
        let empty = workspace.target.join("inputs/empty");
        fs::create_dir_all(empty.parent().expect("it is in a folder"))?;
        fs::write(&empty, b"")?;
        Ok(Self { name, path, checked, empty })
    }
}
