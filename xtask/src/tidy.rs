//! `cargo xtask tidy`: the structure that a compiler cannot keep. It judges no style.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// The crates that hold a model. None may depend on another.
const MODELS: [&str; 5] = ["cc-threads", "cc-actors", "cc-async", "cc-procs", "cc-distributed"];

/// What a model crate may depend on beside the spec: the mechanism it shows, and what carries plain data.
const ALLOWED: [(&str, &[&str]); 6] = [
    ("cc-threads", &["crossbeam-channel", "oneshot", "rayon"]),
    ("cc-actors", &["crossbeam-channel"]),
    ("cc-async", &["futures", "tokio", "tokio-util"]),
    ("cc-procs", &["crossbeam-channel", "ipc-channel", "postcard", "serde", "serde_bytes"]),
    (
        "cc-distributed",
        &[
            "clap",
            "crossbeam-channel",
            "getrandom",
            "postcard",
            "prost",
            "protox",
            "serde",
            "subtle",
            "tokio",
            "tokio-stream",
            "tokio-util",
            "tonic",
            "tonic-prost",
            "tonic-prost-build",
        ],
    ),
    (
        "cc-workloads",
        &[
            "clap",
            "crossbeam-channel",
            "fastrand",
            "grep-matcher",
            "grep-regex",
            "memchr",
            "regex-syntax",
            "rustix",
            "serde",
            "serde_bytes",
            "serde_json",
            "signal-hook",
            "thiserror",
            "walkdir",
            "xxhash-rust",
        ],
    ),
];

/// What every model file shows, so that a page can put the same part of two models side by side.
const ROLES: [&str; 4] = ["run", "feed", "work", "gather"];

/// Checks the workspace that this program was built from.
pub(crate) fn run() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
    let mut wrong = dependencies(&packages(root)?);
    wrong.extend(workloads(root)?);
    wrong.extend(links(root)?);
    wrong.extend(architecture(root)?);
    if wrong.is_empty() {
        println!("tidy: dependencies, workload files and anchors, links, names: all in order");
        return Ok(());
    }
    let list = wrong.iter().fold(String::new(), |mut list, line| {
        let _ = write!(list, "\n  {line}");
        list
    });
    bail!("the structure is out of order:{list}");
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
    /// None for an ordinary one, else `dev` or `build`.
    kind: Option<String>,
}

fn packages(root: &Path) -> Result<Vec<Package>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let metadata = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("cargo metadata")?;
    ensure!(metadata.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&metadata.stderr));
    Ok(serde_json::from_slice::<Metadata>(&metadata.stdout)?.packages)
}

/// Who depends on what he may not.
fn dependencies(packages: &[Package]) -> Vec<String> {
    let mut wrong = Vec::new();
    for package in packages {
        let allowed = ALLOWED.iter().find(|(name, _)| *name == package.name).map(|(_, allowed)| *allowed);
        for Dependency { name, kind } in &package.dependencies {
            let is_model = MODELS.contains(&name.as_str());
            if is_model && (allowed.is_some() || package.name == "xtask") {
                wrong.push(format!("{} depends on the model crate {name}", package.name));
            } else if kind.as_deref() != Some("dev")
                && name != "cc-workloads"
                && allowed.is_some_and(|allowed| !allowed.contains(&name.as_str()))
            {
                wrong.push(format!(
                    "{} depends on {name}, which xtask/src/tidy.rs does not list",
                    package.name
                ));
            }
        }
    }
    wrong
}

/// Model crates that lack a workload's file, or show other parts of it than the others.
fn workloads(root: &Path) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for workload in names(&root.join("workloads"))? {
        for model in MODELS {
            let path = PathBuf::from(format!("crates/{model}/src/{workload}.rs"));
            let Ok(source) = fs::read_to_string(root.join(&path)) else {
                wrong.push(format!("{} is missing", path.display()));
                continue;
            };
            let wanted: BTreeSet<String> = ROLES.iter().map(|role| format!("{workload}-{role}")).collect();
            match anchors(&source) {
                Err(why) => wrong.push(format!("{}: {why}", path.display())),
                Ok(anchors) => {
                    let missing: Vec<_> = wanted.difference(&anchors).map(String::as_str).collect();
                    if !missing.is_empty() {
                        wrong.push(format!("{} lacks the anchors {}", path.display(), missing.join(", ")));
                    }
                }
            }
        }
    }
    Ok(wrong)
}

/// The anchors of a source, each of which must be closed.
fn anchors(source: &str) -> Result<BTreeSet<String>> {
    let (mut open, mut closed) = (None, BTreeSet::new());
    for line in source.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("// ANCHOR: ") {
            ensure!(open.replace(name).is_none(), "anchor {name} begins within another");
        } else if let Some(name) = line.strip_prefix("// ANCHOR_END: ") {
            ensure!(open.take() == Some(name), "anchor {name} ends without having begun");
            ensure!(closed.insert(name.to_owned()), "anchor {name} is there twice");
        }
    }
    match open {
        Some(name) => bail!("anchor {name} is never closed"),
        None => Ok(closed),
    }
}

/// Links in the pages that lead nowhere.
fn links(root: &Path) -> Result<Vec<String>> {
    let mut pages = vec![PathBuf::from("README.md"), PathBuf::from("ARCHITECTURE.md")];
    for folder in ["crates", "workloads"] {
        pages.extend(
            names(&root.join(folder))?.into_iter().map(|name| Path::new(folder).join(name).join("README.md")),
        );
    }
    let mut wrong = Vec::new();
    for page in pages {
        let Ok(text) = fs::read_to_string(root.join(&page)) else {
            wrong.push(format!("{} is missing", page.display()));
            continue;
        };
        let here = root.join(&page);
        let here = here.parent().context("a page lies in a folder")?;
        for target in targets(&text) {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !target.contains("://") && !here.join(file).exists() {
                wrong.push(format!("{}: the link to {target} leads nowhere", page.display()));
            }
        }
    }
    Ok(wrong)
}

/// What the inline links of a page point to.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// Names in ARCHITECTURE.md that exist no more: every word set as code must be (the end of) a path of the
/// workspace, or occur in its sources.
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
    Ok(unknown.map(|name| format!("ARCHITECTURE.md: there is no {name}")).collect())
}

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

/// The folders in a folder, by name.
fn names(folder: &Path) -> Result<BTreeSet<String>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut names = BTreeSet::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["crates", "workloads", "xtask", "tests", ".ci"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
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
    fn a_model_may_not_depend_on_another_nor_on_what_is_not_listed() {
        let wrong = |package| dependencies(&[package]).len();
        assert_eq!(wrong(package("cc-async", "tokio")), 0);
        assert_eq!(wrong(package("cc-async", "cc-workloads")), 0);
        assert_eq!(wrong(package("cc-async", "cc-threads")), 1);
        assert_eq!(wrong(package("cc-async", "rayon")), 1);
        assert_eq!(wrong(package("xtask", "cc-procs")), 1);
        assert_eq!(wrong(package("cc-conformance", "cc-procs")), 0);
    }

    #[test]
    fn a_model_without_a_workload_or_without_an_anchor_is_found() {
        let role = |role| format!("// ANCHOR: sum-{role}\n// ANCHOR_END: sum-{role}\n");
        let whole: String = ROLES.map(role).concat();
        let lacking = whole.replace("sum-feed", "sum-food");
        let files = [
            ("workloads/sum/manifest.toml", ""),
            ("crates/cc-threads/src/sum.rs", &whole),
            ("crates/cc-actors/src/sum.rs", &lacking),
            ("crates/cc-async/src/sum.rs", &whole),
            ("crates/cc-procs/src/sum.rs", &whole),
        ];
        assert_eq!(
            workloads(tree(&files).path()).unwrap(),
            [
                "crates/cc-actors/src/sum.rs lacks the anchors sum-feed",
                "crates/cc-distributed/src/sum.rs is missing"
            ]
        );
    }

    #[test]
    fn anchors_are_closed_once() {
        assert!(anchors("// ANCHOR: a\n").is_err());
        assert!(anchors("// ANCHOR: a\n// ANCHOR: b\n").is_err());
        assert!(anchors("// ANCHOR_END: a\n").is_err());
        assert_eq!(anchors("// ANCHOR: a\n// ANCHOR_END: a\n").unwrap().len(), 1);
    }

    #[test]
    fn a_link_to_nowhere_is_found() {
        let page = "[a](ARCHITECTURE.md) [b](gone.md) [c](https://example.org) [d](#here)";
        let dir = tree(&[("README.md", page), ("ARCHITECTURE.md", "")]);
        assert_eq!(links(dir.path()).unwrap(), ["README.md: the link to gone.md leads nowhere"]);
    }

    #[test]
    fn a_name_that_is_no_more_is_found() {
        let page = "`crates/x/a.rs` holds `Known` and `Unknown`.\n```\n`left alone`\n```\n";
        let dir = tree(&[("ARCHITECTURE.md", page), ("crates/x/a.rs", "struct Known;")]);
        assert_eq!(architecture(dir.path()).unwrap(), ["ARCHITECTURE.md: there is no Unknown"]);
    }
}
