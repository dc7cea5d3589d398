//! The models and the paths of their files, according to the layout of the workspace and the tables
//! in the model crates.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

/// The package of the spec and of the sequential reference.
pub const SPEC: &str = "cc-workloads";

/// The folder of that package, which has one folder per workload.
pub const SPEC_FOLDER: &str = "workloads";

/// The file with the table of workloads.
pub const TABLE: &str = "workloads/src/model.rs";

/// The model crates, in the order of every table. None of them may depend on another one.
pub const CRATES: [&str; 5] = ["cc-threads", "cc-actors", "cc-async", "cc-procs", "cc-distributed"];

/// The root of the workspace that this program was built from.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// A model: the reference, a crate's main model, or a variant of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The name, as `--model` takes it.
    pub name: String,
    /// The model's role in its crate.
    pub kind: Kind,
    /// The package that its program is built from.
    pub package: String,
    /// The folder of its sources, relative to the root of the workspace.
    folder: PathBuf,
}

/// A model's role in its crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The plain loop with which all others are compared.
    Reference,
    /// The main model, which the crate is named after.
    Own,
    /// Another mechanism of the same model.
    Variant,
}

impl Model {
    /// The path of a workload's file in this model, relative to the root of the workspace.
    pub fn file(&self, workload: &str) -> PathBuf {
        match self.kind {
            Kind::Reference => self.folder.join(workload).join("src/sequential.rs"),
            Kind::Own | Kind::Variant => self.folder.join(workload).with_extension("rs"),
        }
    }
}

/// All models; the reference comes first.
pub fn all(root: &Path) -> Result<Vec<Model>> {
    let mut all = Vec::new();
    for name in [SPEC].iter().chain(&CRATES) {
        all.extend(of(root, name)?);
    }
    Ok(all)
}

/// The models that a crate's table lists.
fn of(root: &Path, name: &str) -> Result<Vec<Model>> {
    let (src, table) = match name {
        SPEC => (PathBuf::from(SPEC_FOLDER), root.join(TABLE)),
        name => {
            let src = Path::new("crates").join(name).join("src");
            let table = root.join(&src).join("lib.rs");
            (src, table)
        }
    };
    let mut text = fs::read_to_string(&table).with_context(|| table.display().to_string())?;
    // A variant has its table in its own folder.
    for folder in folders(&root.join(&src))? {
        text += &fs::read_to_string(root.join(&src).join(folder).join("mod.rs")).unwrap_or_default();
    }
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("name: \"")?.strip_suffix("\","));
    let names: Vec<&str> = names.collect();
    ensure!(!names.is_empty(), "{} has no table of models", table.display());
    let model = |(at, model): (usize, &&str)| {
        let kind = match at {
            0 if name == SPEC => Kind::Reference,
            0 => Kind::Own,
            _ => Kind::Variant,
        };
        let folder = if kind == Kind::Variant { variant(root, &src, model) } else { src.clone() };
        Model { name: (*model).to_owned(), kind, package: name.to_owned(), folder }
    };
    Ok(names.iter().enumerate().map(model).collect())
}

/// The folder of a variant: `rayon`, or `single` for `async-single`.
fn variant(root: &Path, src: &Path, model: &str) -> PathBuf {
    let short = model.split_once('-').map_or(model, |(_, short)| short);
    let full = src.join(model);
    if root.join(&full).is_dir() { full } else { src.join(short) }
}

/// All workloads: the folders in `workloads` that have a manifest, in the order of the table, which
/// begins with the simplest. A workload that is not in the table comes last.
pub fn workloads(root: &Path) -> Result<Vec<String>> {
    let folder = root.join(SPEC_FOLDER);
    let mut names = folders(&folder)?;
    names.retain(|name| folder.join(name).join("manifest.toml").exists());
    // Only the order comes from the table.
    let table = fs::read_to_string(root.join(TABLE)).unwrap_or_default();
    names.sort_by_cached_key(|name| (row(&table, name), name.clone()));
    Ok(names)
}

/// The names of the folders in a folder, in alphabetical order.
pub fn folders(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The position of a workload's row in the text of the table.
fn row(table: &str, workload: &str) -> usize {
    table.find(&format!(" {workload}: cc_")).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_has_its_grep() {
        let all = all(root()).unwrap();
        let file = |name: &str| {
            let model = all.iter().find(|model| model.name == name).unwrap();
            model.file("grep").display().to_string()
        };
        assert_eq!(file("sequential"), "workloads/grep/src/sequential.rs");
        assert_eq!(file("threads"), "crates/cc-threads/src/grep.rs");
        assert_eq!(file("rayon"), "crates/cc-threads/src/rayon/grep.rs");
        assert_eq!(file("async-single"), "crates/cc-async/src/single/grep.rs");
        assert!(all.iter().all(|model| root().join(model.file("grep")).exists()));
    }

    #[test]
    fn workloads_come_in_the_order_of_the_table() {
        let names = workloads(root()).unwrap();
        assert_eq!(names[..3], ["mandelbrot", "resize", "grep"]);
        let table = "b: first\n    a: cc_a::Run,\n    b: cc_b::Run,\n";
        assert!(row(table, "a") < row(table, "b") && row(table, "b") < row(table, "c"));
    }
}
