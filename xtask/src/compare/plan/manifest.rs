//! `workloads/<name>/manifest.toml`: a workload's inputs, its queries, and the tools with which it
//! is compared.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{
    compare::{
        plan::{
            build::Workspace, input::Source, order::Order, query::Query, resources::Resources,
            service::Service, sweep::Sweep, tool::Tool,
        },
        result::{Input, Subject},
    },
    models::{self, SPEC},
};

/// A workload's manifest. A workload with ordinary arguments needs nothing else to be compared.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Manifest {
    /// A template that describes the work, with a run's totals: `{files} files, {bytes / 1e6} MB`.
    pub caption: String,
    /// The totals that may differ between models; all others must agree.
    #[serde(default)]
    pub own_totals: Vec<String>,
    /// Whether the models' lines must be in the same order as the reference's.
    #[serde(default)]
    pub order: Order,
    /// Whether there is no output before the end. The time to the first byte is then not
    /// meaningful.
    #[serde(default)]
    pub prints_at_end: bool,
    /// The sources of the inputs `smoke`, `quick`, `small` and `large`, and of `empty`, which
    /// measures the cost of starting.
    input: BTreeMap<String, Source>,
    query: Vec<NamedQuery>,
    /// Settings for a query that a user gives on the command line.
    #[serde(default)]
    given: Given,
    #[serde(default)]
    pub tool: Vec<Tool>,
    /// A remark about the comparison with the tools.
    pub tool_note: Option<String>,
    /// The clients, if the workload is a service: its inputs are then loads.
    pub service: Option<Service>,
    /// The tiles of a granularity sweep, if the workload has one.
    pub granularity: Option<Sweep>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct NamedQuery {
    name: String,
    args: Vec<String>,
    /// Whether every byte is read. Otherwise chance decides how much of a file is read, and the
    /// total of bytes may differ.
    #[serde(default = "yes")]
    reads_everything: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Given {
    /// Arguments that are inserted before those of the user.
    first: Vec<String>,
    /// Whether files may be read only in part.
    may_leave_early: bool,
}

fn yes() -> bool {
    true
}

/// The file's name.
const FILE: &str = "manifest.toml";
/// The input that measures the cost of starting.
const EMPTY: &str = "empty";

/// All workloads, in the order of the comparison.
pub(crate) fn workloads(workspace: &Workspace) -> Result<Vec<String>> {
    models::workloads(&workspace.root)
}

impl Manifest {
    pub(crate) fn load(workspace: &Workspace, workload: &str) -> Result<Self> {
        let path = workspace.root.join("workloads").join(workload).join(FILE);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> Result<Self> {
        let manifest: Self = toml::from_str(text)?;
        if manifest.query.is_empty() {
            bail!("the manifest has no [[query]]");
        }
        if let Some(service) = &manifest.service {
            manifest.input.keys().filter(|size| *size != EMPTY).try_for_each(|size| service.check(size))?;
        }
        Ok(manifest)
    }

    /// Creates the input of this size, unless it exists already.
    pub(crate) fn prepare(&self, workspace: &Workspace, workload: &str, size: &str) -> Result<Input> {
        let folder = workspace.target.join("inputs").join(workload);
        let make = |size: &str| {
            let source = self.source(size).with_context(|| workload.to_owned())?;
            source.make(&folder.join(size), &workspace.program(SPEC))
        };
        // All queries are checked on the smallest input. It also contains unusual files, and many
        // queries on few files find more errors than few queries on many files.
        let checked = if self.resources(size).is_some() { size } else { "smoke" };
        Ok(Input {
            name: size.to_owned(),
            measured: make(size)?,
            checked: make(checked)?,
            empty: Subject { is_empty: true, ..make(EMPTY)? },
            output: self.source(size)?.output(),
        })
    }

    /// The input for a user's own file or directory.
    pub(crate) fn given_input(&self, workspace: &Workspace, workload: &str, path: &Path) -> Result<Input> {
        let empty = self.source(EMPTY).with_context(|| workload.to_owned())?;
        let at = workspace.target.join("inputs").join(workload).join(EMPTY);
        let empty = empty.make(&at, &workspace.program(SPEC))?;
        Ok(Input::given(path, Subject { is_empty: true, ..empty }))
    }

    /// The origin's resources at this size, if the workload sends requests to an origin.
    pub(crate) fn resources(&self, size: &str) -> Option<Resources> {
        self.input.get(size).and_then(Source::resources)
    }

    /// Whether the workload reads files. A user may then give other ones.
    pub(crate) fn takes_files(&self) -> bool {
        self.source(EMPTY).is_ok_and(Source::is_on_disk)
    }

    /// Whether the workload only waits for an origin.
    pub(crate) fn waits(&self) -> bool {
        self.input.values().any(|source| source.resources().is_some())
    }

    /// Whether `cc-peers` provides its clients or its server.
    pub(crate) fn has_peers(&self) -> bool {
        self.service.is_some() || self.waits()
    }

    fn source(&self, size: &str) -> Result<&Source> {
        self.input.get(size).with_context(|| format!("the manifest has no [input.{size}]"))
    }

    /// The manifest's queries, or the given one. The first is measured, all are checked.
    pub(crate) fn queries(&self, given: &[String]) -> Vec<Query> {
        let named = |query: &NamedQuery| Query {
            reads_everything: query.reads_everything,
            ..Query::new(&query.name, &query.args)
        };
        match given {
            [] => self.query.iter().map(named).collect(),
            // A service keeps its conversation; the given arguments are those of the server.
            _ if self.service.is_some() => {
                self.query.iter().map(|query| Query::new(&query.name, given)).collect()
            }
            _ => vec![self.given_query(given)],
        }
    }

    fn given_query(&self, args: &[String]) -> Query {
        let args = [&self.given.first, args].concat();
        Query { reads_everything: !self.given.may_leave_early, ..Query::new("given", &args) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = r#"
        caption = "{words} words"
        order = "any"
        own-totals = ["tasks"]
        [input.small]
        kind = "tree"
        seed = 1
        files = 10
        bytes = 1000
        digest = ""
        [input.empty]
        kind = "empty-folder"
        [[query]]
        name = "top"
        args = ["--top", "10"]
    "#;

    #[test]
    fn a_workload_with_ordinary_arguments_needs_no_code() {
        let manifest = Manifest::parse(PLAIN).unwrap();
        assert_eq!(manifest.queries(&[])[0].to_string(), "--top 10");
        assert_eq!(manifest.queries(&["--all".to_owned()])[0].to_string(), "--all");
        assert!(manifest.takes_files() && manifest.order == Order::Any && manifest.tool.is_empty());
    }

    #[test]
    fn a_users_query_may_need_arguments_before_it() {
        let given = "[given]\nfirst = [\"-r\"]\nmay-leave-early = true";
        let manifest = Manifest::parse(&format!("{PLAIN}\n{given}")).unwrap();
        let query = &manifest.queries(&["-i".to_owned(), "x".to_owned()])[0];
        assert_eq!((query.to_string().as_str(), query.reads_everything), ("-r -i x", false));
        assert!(manifest.queries(&[])[0].reads_everything);
    }

    #[test]
    fn a_misspelt_key_and_a_manifest_without_a_query_are_refused() {
        assert!(Manifest::parse(&PLAIN.replace("own-totals", "own_totals")).is_err());
        let (without, _) = PLAIN.split_once("[[query]]").unwrap();
        assert!(Manifest::parse(without).is_err());
    }

    #[test]
    fn all_manifests_can_be_read() {
        let workloads = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("workloads");
        for entry in fs::read_dir(workloads).unwrap() {
            let path = entry.unwrap().path().join(FILE);
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let manifest = Manifest::parse(&text).unwrap_or_else(|error| panic!("{path:?}: {error:#}"));
            for size in ["smoke", "quick", "small", "large", EMPTY] {
                manifest.source(size).unwrap_or_else(|error| panic!("{path:?}: {error:#}"));
            }
            assert!(!manifest.queries(&[]).is_empty(), "{path:?}");
        }
    }
}
