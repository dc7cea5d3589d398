//! `cargo xtask tidy`: checks the structure and the conventions that a compiler cannot check.

mod conventions;
mod derived;
mod imports;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::{
    cargo::cargo,
    models::{self, CRATES, SPEC, SPEC_FOLDER, folders},
    out,
};

/// The dependencies that a model crate may have besides the spec: the mechanism that it shows, and
/// libraries for plain data. `cc-core`, on which all workloads are built, must not depend on a
/// command line, a model, or a workload.
const ALLOWED: [(&str, &[&str]); 6] = [
    ("cc-threads", &["crossbeam-channel", "oneshot", "rayon", "rustix"]),
    ("cc-actors", &["crossbeam-channel", "oneshot", "rustix"]),
    ("cc-async", &["cc-fetch-client", "futures", "rustix", "tokio", "tokio-util"]),
    (
        "cc-procs",
        &[
            "crossbeam-channel",
            "fastrand",
            "ipc-channel",
            "mio",
            "postcard",
            "rustix",
            "serde",
            "serde_bytes",
            "slab",
            "smallvec",
            "tempfile",
        ],
    ),
    (
        "cc-distributed",
        &[
            "cc-fetch-client",
            "clap",
            "crossbeam-channel",
            "futures",
            "getrandom",
            "postcard",
            "prost",
            "protox",
            "rustix",
            "serde",
            "serde_bytes",
            "smallvec",
            "subtle",
            "tempfile",
            "tokio",
            "tokio-stream",
            "tokio-util",
            "tonic",
            "tonic-prost",
            "tonic-prost-build",
        ],
    ),
    (
        "cc-core",
        &[
            "crossbeam-channel",
            "ctor",
            "fastrand",
            "rustix",
            "serde",
            "serde_json",
            "signal-hook",
            "tempfile",
            "thiserror",
            "walkdir",
            "xxhash-rust",
        ],
    ),
];

/// Libraries on which a workload must not depend: how tasks are distributed is a model's decision.
const MECHANISMS: [&str; 6] = ["futures", "ipc-channel", "oneshot", "rayon", "tokio", "tonic"];

/// Packages that run the models' programs or read their files, and must not depend on a model.
const COMMANDS: [&str; 3] = ["xtask", REPORT, "cc-peers"];
/// The package that makes the page. No other package may depend on it, so that only the commands
/// that need the page wait for its build.
const REPORT: &str = "cc-report";

/// The parts of a workload's files. All models name them alike, so that files can be shown side by
/// side.
#[derive(Clone, Copy)]
struct Parts {
    names: &'static [&'static str],
    /// Number of parts, from the first on, that every file must have.
    required: usize,
    /// Whether the parts must be in the order of [`conventions::order`].
    is_ordered: bool,
}

/// The parts of a job. A file has no `feed` if workers take tasks by themselves.
const JOB: Parts = Parts { names: &["run", "work", "gather", "feed"], required: 3, is_ordered: true };
/// The parts of a service. `work` is the conversation with a client, and there is nothing to
/// gather. Accepting clients, running a plan on several shards atomically, and draining at the end
/// are parts of their own in some models.
const SERVICE: Parts =
    Parts { names: &["run", "work", "plan", "accept", "drain"], required: 2, is_ordered: true };

impl Parts {
    /// The parts that a workload's files have, according to its manifest.
    fn of(root: &Path, workload: &str) -> Result<Self> {
        let path = root.join("workloads").join(workload).join("manifest.toml");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let manifest: toml::Table = text.parse().with_context(|| path.display().to_string())?;
        Ok(if manifest.contains_key("service") { SERVICE } else { JOB })
    }

    /// The parts of the reference: a plain loop may have only one, and has no fixed order.
    fn reference(self) -> Self {
        Self { required: 1, is_ordered: false, ..self }
    }

    fn unordered(self, source: &str, workload: &str, path: &Path) -> Vec<String> {
        if !self.is_ordered {
            return Vec::new();
        }
        let problems = conventions::order(source, workload).into_iter();
        problems.map(|problem| format!("{}: {problem}", path.display())).collect()
    }
}

/// Check the structure and the conventions that a compiler cannot check
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write what is derived: the README's grid, and the format of the workloads' files
    #[arg(long)]
    write: bool,
}

/// Checks the workspace that this program was built from.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = models::root();
    if args.write {
        let (path, before, after) = derived::readme(root)?;
        if before != after {
            fs::write(&path, after).with_context(|| path.display().to_string())?;
            out::print("wrote the grid of README.md");
        }
        for file in derived::format(root, true)? {
            out::print(format_args!("formatted {file}"));
        }
    }
    let mut problems = dependencies(&packages(root)?, &models::workloads(root)?);
    problems.extend(workloads(root)?);
    problems.extend(links(root)?);
    problems.extend(architecture(root)?);
    problems.extend(failpoints(root)?);
    problems.extend(features(root)?);
    problems.extend(imports::cycles(root)?);
    problems.extend(essays(root)?);
    problems.extend(conventions::readmes(root)?);
    problems.extend(conventions::language(root)?);
    let (_, before, after) = derived::readme(root)?;
    if before != after {
        problems.push("README.md: the grid is out of date (cargo xtask tidy --write)".to_owned());
    }
    let unformatted = derived::format(root, false)?;
    problems
        .extend(unformatted.iter().map(|file| format!("{file} is not formatted (cargo xtask tidy --write)")));
    if problems.is_empty() {
        out::print(
            "tidy: dependencies, features, imports, workload files and anchors, grid, links, names, words and \
             widths: all in order",
        );
        return Ok(());
    }
    let list = problems.iter().fold(String::new(), |mut list, line| {
        let _ = write!(list, "\n  {line}");
        list
    });
    bail!("{} problems:{list}", problems.len());
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `dev` or `build`; `None` for a normal dependency.
    kind: Option<String>,
}

fn packages(root: &Path) -> Result<Vec<Package>> {
    let metadata = cargo()
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("cargo metadata")?;
    ensure!(metadata.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&metadata.stderr));
    Ok(serde_json::from_slice::<Metadata>(&metadata.stdout)?.packages)
}

/// Sources outside of the conformance suite that install a hook into the kernels' failpoints. Such
/// a hook could make a released program fail.
fn failpoints(root: &Path) -> Result<Vec<String>> {
    // In two parts, because this file is searched as well.
    let install = concat!("failpoint::", "install");
    let (mut paths, mut problems) = (Vec::new(), Vec::new());
    for folder in ["crates", "tests/peers", SPEC_FOLDER, "xtask"] {
        read_all(&root.join(folder), &mut paths, &mut String::new())?;
    }
    for path in paths.iter().filter(|path| path.extension().is_some_and(|end| end == "rs")) {
        if fs::read_to_string(path)?.contains(install) {
            let path = path.strip_prefix(root).unwrap_or(path);
            problems.push(format!("{} installs a failpoint's hook, which only tests may do", path.display()));
        }
    }
    Ok(problems)
}

/// Dependencies that cargo builds twice, because `cargo xtask` and the programs enable different
/// features.
fn features(root: &Path) -> Result<Vec<String>> {
    let own = enabled(&cargo_tree(root, &["xtask"])?);
    let programs = enabled(&cargo_tree(root, &[&[SPEC, "cc-peers"], &CRATES[..]].concat())?);
    Ok(built_twice(&own, &programs))
}

/// The enabled features of each package. A package may have two sets: one for the target, and one
/// for procedural macros and build scripts.
type Features = BTreeMap<String, BTreeSet<String>>;

fn built_twice(own: &Features, programs: &Features) -> Vec<String> {
    let mut problems = Vec::new();
    for (package, enabled) in own {
        let Some(others) = programs.get(package) else { continue };
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        for features in enabled.iter().filter(|features| !others.contains(&features.as_str())) {
            problems.push(format!(
                "{package} is built twice: with [{features}] for xtask, with [{}] for the programs",
                others.join("] and [")
            ));
        }
    }
    problems
}

/// The dependencies of these packages, one line per use of a package: `NAME VERSION
/// [FEATURE,FEATURE]`.
fn cargo_tree(root: &Path, packages: &[&str]) -> Result<String> {
    let mut tree = cargo();
    tree.args([
        "tree",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--no-dedupe",
        "--format",
        "{p} [{f}]",
    ]);
    for package in packages {
        tree.args(["--package", package]);
    }
    let tree = tree.current_dir(root).output().context("cargo tree")?;
    ensure!(tree.status.success(), "cargo tree: {}", String::from_utf8_lossy(&tree.stderr));
    Ok(String::from_utf8(tree.stdout)?)
}

/// Parses the output of `cargo tree`.
fn enabled(tree: &str) -> Features {
    let mut all = Features::new();
    for (package, features) in tree.lines().filter_map(|line| line.split_once(" [")) {
        let package: Vec<&str> = package.split(' ').take(2).collect();
        let Some((features, _)) = features.split_once(']') else { continue };
        all.entry(package.join(" ")).or_default().insert(features.to_owned());
    }
    all
}

/// Dependencies that are not allowed.
fn dependencies(packages: &[Package], workloads: &[String]) -> Vec<String> {
    let is_workload = |name: &str| {
        name.strip_prefix("cc-").is_some_and(|name| workloads.iter().any(|workload| workload == name))
    };
    let mut problems = Vec::new();
    for package in packages {
        let allowed = ALLOWED.iter().find(|(name, _)| *name == package.name).map(|(_, allowed)| *allowed);
        for Dependency { name, kind } in &package.dependencies {
            let is_model = CRATES.contains(&name.as_str());
            let is_command = COMMANDS.contains(&package.name.as_str());
            let of_workload = is_workload(&package.name);
            if is_model && (allowed.is_some() || is_command || of_workload) {
                problems.push(format!("{} depends on the model crate {name}", package.name));
            } else if of_workload && is_workload(name) {
                problems.push(format!("{} depends on another workload, {name}", package.name));
            } else if of_workload && kind.is_none() && MECHANISMS.contains(&name.as_str()) {
                problems.push(format!("{} depends on {name}, which is a model's mechanism", package.name));
            } else if name == REPORT {
                problems.push(format!(
                    "{} depends on {REPORT}, which only the commands that need the page may build",
                    package.name
                ));
            } else if kind.as_deref() != Some("dev")
                && name != "cc-workloads"
                && allowed.is_some_and(|allowed| !allowed.contains(&name.as_str()))
            {
                problems.push(format!(
                    "{} depends on {name}, which xtask/src/tidy/mod.rs does not list",
                    package.name
                ));
            }
        }
    }
    problems
}

/// Model crates without a workload's file, and files with missing, unknown or unordered parts.
fn workloads(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for workload in models::workloads(root)? {
        let (file, shows) = (format!("{workload}.rs"), Parts::of(root, &workload)?);
        for name in CRATES {
            let src = Path::new("crates").join(name).join("src");
            problems.extend(parts(root, &src.join(&file), &workload, shows));
            let variants = folders(&root.join(&src))?.into_iter().map(|folder| src.join(folder).join(&file));
            let variants = variants.filter(|path| root.join(path).exists());
            problems.extend(variants.flat_map(|path| parts(root, &path, &workload, shows)));
        }
        let reference = Path::new(SPEC_FOLDER).join(&workload).join("src/sequential.rs");
        problems.extend(parts(root, &reference, &workload, shows.reference()));
    }
    Ok(problems)
}

/// The problems with the parts of a workload's file.
fn parts(root: &Path, path: &Path, workload: &str, shows: Parts) -> Vec<String> {
    let shown = path.display();
    let Ok(source) = fs::read_to_string(root.join(path)) else { return vec![format!("{shown} is missing")] };
    let anchors = match anchors(&source) {
        Ok(anchors) => anchors,
        Err(why) => return vec![format!("{shown}: {why}")],
    };
    let names: Vec<String> = shows.names.iter().map(|role| format!("{workload}-{role}")).collect();
    let missing = names[..shows.required].iter().filter(|name| !anchors.contains(*name));
    let missing = missing.map(|name| format!("{shown} lacks the anchor {name}"));
    let unknown = anchors.iter().filter(|name| !names.contains(name));
    let unknown = unknown.map(|name| format!("{shown}: unknown part {name}"));
    missing.chain(unknown).chain(shows.unordered(&source, workload, path)).collect()
}

/// The anchors of a source. Each of them must be closed, and must not be empty.
fn anchors(source: &str) -> Result<BTreeSet<String>> {
    let (mut open, mut closed) = (None, BTreeSet::new());
    let mut is_empty = true;
    for line in source.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("// ANCHOR: ") {
            ensure!(open.replace(name).is_none(), "anchor {name} begins within another");
            is_empty = true;
        } else if let Some(name) = line.strip_prefix("// ANCHOR_END: ") {
            ensure!(open.take() == Some(name), "anchor {name} ends without having begun");
            ensure!(!is_empty, "anchor {name} is empty");
            ensure!(closed.insert(name.to_owned()), "anchor {name} occurs twice");
        } else {
            is_empty &= line.is_empty();
        }
    }
    match open {
        Some(name) => bail!("anchor {name} is never closed"),
        None => Ok(closed),
    }
}

/// Model crates whose documentation does not mention a workload.
fn essays(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for name in CRATES {
        let path = Path::new("crates").join(name).join("src/lib.rs");
        let text = fs::read_to_string(root.join(&path)).with_context(|| path.display().to_string())?;
        let essay: String = text.lines().filter(|line| line.starts_with("//!")).collect();
        for workload in models::workloads(root)? {
            if !essay.contains(&format!("[`{workload}`]")) {
                problems.push(format!("{} does not explain what {workload} shows", path.display()));
            }
        }
    }
    Ok(problems)
}

/// Missing pages, and links to files that do not exist.
fn links(root: &Path) -> Result<Vec<String>> {
    let mut pages: Vec<_> = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(PathBuf::from).into();
    let crates = folders(&root.join("crates"))?.into_iter().map(|name| Path::new("crates").join(name));
    let workloads = models::workloads(root)?.into_iter().map(|name| Path::new(SPEC_FOLDER).join(name));
    pages.extend(crates.chain(workloads).map(|folder| folder.join("README.md")));
    let mut problems = Vec::new();
    for page in pages {
        let Ok(text) = fs::read_to_string(root.join(&page)) else {
            problems.push(format!("{} is missing", page.display()));
            continue;
        };
        let here = root.join(&page);
        let here = here.parent().context("a page lies in a folder")?;
        for target in targets(&text) {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !target.contains("://") && !here.join(file).exists() {
                problems.push(format!("{}: the link target {target} does not exist", page.display()));
            }
        }
    }
    Ok(problems)
}

/// The targets of a page's inline links.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|after| after.split(')').next())
}

/// Names in ARCHITECTURE.md that do not exist. Every word in code style must be the path, or the
/// end of the path, of a file in the workspace, or occur in its sources.
fn architecture(root: &Path) -> Result<Vec<String>> {
    let Ok(text) = fs::read_to_string(root.join("ARCHITECTURE.md")) else { return Ok(Vec::new()) };
    let (mut paths, mut sources) = (Vec::new(), String::new());
    for folder in ["crates", "workloads", "xtask", "tests", ".ci"] {
        read_all(&root.join(folder), &mut paths, &mut sources)?;
    }
    let exists = |name: &str| root.join(name).exists() || paths.iter().any(|path| path.ends_with(name));
    let prose: String = text.split("```").step_by(2).collect();
    let names = prose.split('`').skip(1).step_by(2);
    let unknown = names.filter(|name| !exists(name) && !sources.contains(name.trim_end_matches("()")));
    Ok(unknown.map(|name| format!("ARCHITECTURE.md: {name} does not exist")).collect())
}

/// All files of the workspace, in alphabetical order, without those of Git and of builds.
fn all_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let name = entry.file_name();
            if !entry.file_type()?.is_dir() {
                files.push(entry.path());
            } else if name != ".git" && name != "target" {
                pending.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Adds the paths below a folder, and the text of its sources.
fn read_all(folder: &Path, paths: &mut Vec<PathBuf>, text: &mut String) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            read_all(&path, paths, text)?;
        } else if path.extension().is_some_and(|end| end == "rs" || end == "toml" || end == "proto") {
            text.push_str(&fs::read_to_string(&path)?);
        }
        paths.push(path);
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A workspace with these files.
    pub(super) fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["crates", "workloads", "xtask", "tests/peers", ".ci"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn package(name: &str, dependency: &str) -> Package {
        let dependency = Dependency { name: dependency.to_owned(), kind: None };
        Package { name: name.to_owned(), dependencies: vec![dependency] }
    }

    #[test]
    fn a_dependency_that_is_built_twice_is_found() {
        let own = enabled("serde v1.0.1 [std]\nsyn v2.0.1 (proc-macro) [full]\nours v1.0.0 [x]\n");
        let programs =
            enabled("serde v1.0.1 [alloc,std]\nsyn v2.0.1 (proc-macro) []\nsyn v2.0.1 [full] (*)\n");
        let expected = "serde v1.0.1 is built twice: with [std] for xtask, with [alloc,std] for the programs";
        assert_eq!(built_twice(&own, &programs), [expected]);
        assert!(built_twice(&programs, &programs).is_empty());
    }

    #[test]
    fn a_model_may_depend_only_on_listed_packages() {
        let workloads = ["sum".to_owned(), "sort".to_owned()];
        let problems = |package| dependencies(&[package], &workloads).len();
        assert_eq!(problems(package("cc-async", "tokio")), 0);
        assert_eq!(problems(package("cc-async", "cc-workloads")), 0);
        assert_eq!(problems(package("cc-async", "cc-threads")), 1);
        assert_eq!(problems(package("cc-async", "rayon")), 1);
        assert_eq!(problems(package("cc-core", "serde")), 0);
        assert_eq!(problems(package("cc-core", "clap")), 1);
        assert_eq!(problems(package("cc-core", "cc-sum")), 1);
        assert_eq!(problems(package("cc-sum", "clap")), 0);
        assert_eq!(problems(package("cc-sum", "rayon")), 1);
        assert_eq!(problems(package("cc-sum", "cc-sort")), 1);
        assert_eq!(problems(package("cc-sum", "cc-threads")), 1);
        assert_eq!(problems(package("xtask", "cc-procs")), 1);
        assert_eq!(problems(package("cc-report", "cc-procs")), 1);
        assert_eq!(problems(package("cc-report", "xtask")), 0);
        assert_eq!(problems(package("xtask", "cc-report")), 1);
        assert_eq!(problems(package("cc-conformance", "cc-procs")), 0);
    }

    #[test]
    fn only_the_conformance_suite_may_install_a_hook() {
        let install = concat!("failpoint::", "install(|_, _| ());");
        let files = [("crates/cc-procs/src/main.rs", install), ("tests/conformance.rs", install)];
        let problems = failpoints(tree(&files).path()).unwrap();
        let expected = ["crates/cc-procs/src/main.rs installs a failpoint's hook, which only tests may do"];
        assert_eq!(problems, expected);
    }

    fn part(role: &str) -> String {
        format!("// ANCHOR: sum-{role}\nfn {role}() {{}}\n// ANCHOR_END: sum-{role}\n")
    }

    #[test]
    fn a_missing_file_and_missing_or_unknown_parts_are_found() {
        let complete: String = ["run", "work", "gather"].map(part).concat();
        let with_feed: String = ["run", "feed", "work", "gather"].map(part).concat();
        let incomplete = complete.replace("sum-gather", "sum-gather-all");
        let files = [
            ("workloads/sum/manifest.toml", ""),
            ("workloads/sum/src/sequential.rs", &part("run")),
            ("crates/cc-threads/src/sum.rs", &complete),
            ("crates/cc-threads/src/rayon/sum.rs", &incomplete),
            ("crates/cc-actors/src/sum.rs", &with_feed),
            ("crates/cc-async/src/sum.rs", &complete),
            ("crates/cc-async/src/single/mod.rs", ""),
            ("crates/cc-procs/src/sum.rs", &complete),
            ("crates/cc-distributed/src/lib.rs", ""),
        ];
        assert_eq!(
            workloads(tree(&files).path()).unwrap(),
            [
                "crates/cc-threads/src/rayon/sum.rs lacks the anchor sum-gather",
                "crates/cc-threads/src/rayon/sum.rs: unknown part sum-gather-all",
                "crates/cc-distributed/src/sum.rs is missing",
            ]
        );
    }

    #[test]
    fn a_service_has_other_parts_than_a_job() {
        let served = ["run", "work", "plan"].map(part).concat();
        let path = "crates/cc-threads/src/sum.rs";
        let problems = |manifest, source: &str| {
            let dir = tree(&[("workloads/sum/manifest.toml", manifest), (path, source)]);
            let shows = Parts::of(dir.path(), "sum").unwrap();
            parts(dir.path(), Path::new(path), "sum", shows)
        };
        assert!(problems("[service]", &served).is_empty());
        assert_eq!(problems("[service]", &part("run")), [format!("{path} lacks the anchor sum-work")]);
        let both = [format!("{path} lacks the anchor sum-gather"), format!("{path}: unknown part sum-plan")];
        assert_eq!(problems("", &served), both);
    }

    #[test]
    fn anchors_are_closed_once_and_are_not_empty() {
        assert!(anchors("// ANCHOR: a\n").is_err());
        assert!(anchors("// ANCHOR: a\n// ANCHOR: b\n").is_err());
        assert!(anchors("// ANCHOR_END: a\n").is_err());
        assert!(anchors("// ANCHOR: a\n\n// ANCHOR_END: a\n").is_err());
        assert_eq!(anchors("// ANCHOR: a\nfn a() {}\n// ANCHOR_END: a\n").unwrap().len(), 1);
    }

    #[test]
    fn a_broken_link_is_found() {
        let page = "[a](ARCHITECTURE.md) [b](gone.md) [c](https://example.org) [d](#here)";
        let dir = tree(&[("README.md", page), ("ARCHITECTURE.md", ""), ("CONTRIBUTING.md", "")]);
        assert_eq!(links(dir.path()).unwrap(), ["README.md: the link target gone.md does not exist"]);
    }

    #[test]
    fn an_unknown_name_is_found() {
        let page = "`crates/x/a.rs` holds `Known` and `Unknown`.\n```\n`left alone`\n```\n";
        let dir = tree(&[("ARCHITECTURE.md", page), ("crates/x/a.rs", "struct Known;")]);
        assert_eq!(architecture(dir.path()).unwrap(), ["ARCHITECTURE.md: Unknown does not exist"]);
    }
}
