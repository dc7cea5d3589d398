//! `cargo xtask new-workload NAME`: creates stubs of a workload. The compiler, the tests and `tidy`
//! then report what has to be written.
//!
//! All changes are prepared in memory, and Rust files are formatted by rustfmt, before the first
//! file is written.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{models, out, process::guard::exclusive, show::is_keyword};

/// Create a workload: stubs of all its files, for the compiler and the tests to complain about
///
/// CONTRIBUTING.md explains the next steps.
#[derive(clap::Args)]
pub struct Args {
    /// The workload's name, which also names its modules: `wordcount`
    name: String,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let name = &args.name;
    for line in make(models::root(), name)? {
        out::print(line);
    }
    out::print(format_args!(
        "\nNext: `cargo test -p cc-conformance --test conformance -- {name}::` fails for everything that is \
         not written yet. CONTRIBUTING.md explains the steps."
    ));
    Ok(())
}

/// Creates a workload in the workspace at `root`. Returns one line per file that was created or
/// changed.
///
/// # Errors
///
/// The name is invalid or in use, or a file cannot be written. In that case nothing is changed.
pub fn make(root: &Path, name: &str) -> Result<Vec<String>> {
    let changes = changes(root, name)?;
    write(root, &changes)?;
    let action = |change: &Change| if change.before.is_none() { "created" } else { "changed" };
    Ok(changes.iter().map(|change| format!("{} {}", action(change), change.path.display())).collect())
}

/// The paths of a workload's own files, relative to the workspace, and their templates.
const FILES: [(&str, &str); 7] = [
    ("workloads/{{name}}/Cargo.toml", include_str!("../../templates/Cargo.toml.in")),
    ("workloads/{{name}}/README.md", include_str!("../../templates/README.md.in")),
    ("workloads/{{name}}/manifest.toml", include_str!("../../templates/manifest.toml.in")),
    ("workloads/{{name}}/src/lib.rs", include_str!("../../templates/spec.rs.in")),
    ("workloads/{{name}}/src/sequential.rs", include_str!("../../templates/sequential.rs.in")),
    ("workloads/{{name}}/src/cli.rs", include_str!("../../templates/cli.rs.in")),
    ("tests/{{name}}/mod.rs", include_str!("../../templates/tests.rs.in")),
];

const MODEL: &str = include_str!("../../templates/model.rs.in");

/// The entry points of worker processes.
const PROCS: &str = include_str!("../../templates/procs.rs.in");
const DISTRIBUTED: &str = include_str!("../../templates/distributed.rs.in");

/// For each model crate: how the first line of its file continues after the workload's name, and
/// what the file has in addition.
const MODEL_FILES: [(&str, &str, &str); 5] = [
    ("cc-threads", "on free threads", ""),
    ("cc-actors", "by actors", ""),
    ("cc-async", "on async/await", ""),
    ("cc-procs", "in worker processes", PROCS),
    ("cc-distributed", "on a cluster", DISTRIBUTED),
];

/// The manifest that depends on the package of each workload.
const PACKAGES: &str = "workloads/Cargo.toml";
/// The tables of the variants.
const VARIANTS: [&str; 2] = ["crates/cc-threads/src/rayon/mod.rs", "crates/cc-async/src/single/mod.rs"];

/// A file to create or to change.
struct Change {
    path: PathBuf,
    /// `None` if the file is created.
    before: Option<String>,
    after: String,
}

/// All changes that create the workload.
fn changes(root: &Path, name: &str) -> Result<Vec<Change>> {
    check(root, name)?;
    let kind = type_name(name);
    let fill = |text: &str| text.replace("{{name}}", name).replace("{{Type}}", &kind);
    let mut changes = Vec::new();
    for (path, template) in FILES {
        changes.push(created(root, &fill(path), fill(template))?);
    }
    for (crate_name, how, more) in MODEL_FILES {
        let text = fill(&MODEL.replace("{{how}}", how).replace("{{more}}", more));
        changes.push(created(root, &format!("crates/{crate_name}/src/{name}.rs"), text)?);
    }
    changes.push(edited(root, models::TABLE, |text| row(text, name))?);
    changes.push(edited(root, PACKAGES, |text| dependency(text, name))?);
    for table in VARIANTS {
        changes.push(edited(root, table, |text| declined(text, name))?);
    }
    for change in changes.iter_mut().filter(|change| change.path.extension().is_some_and(|end| end == "rs")) {
        change.after = formatted(root, &change.after).with_context(|| change.path.display().to_string())?;
    }
    Ok(changes)
}

/// Refuses a name that is invalid or in use.
fn check(root: &Path, name: &str) -> Result<()> {
    let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !is_keyword(name);
    ensure!(
        is_name,
        "{name:?} cannot be a module's name: use lowercase letters, digits and _, and begin with a letter"
    );
    let exists = |folder: &str| root.join(folder).join(name).exists();
    ensure!(!exists("workloads"), "a workload called {name} already exists");
    let table = fs::read_to_string(root.join(models::TABLE))?;
    ensure!(!table.contains(&format!("            pub {name}: ")), "Model already has a field called {name}");
    let model_crates = MODEL_FILES.map(|(crate_name, ..)| format!("crates/{crate_name}/src"));
    for src in model_crates.into_iter().chain(["workloads/src".to_owned()]) {
        ensure!(!exists(&src), "{src} already has a folder called {name}");
        let lib = fs::read_to_string(root.join(&src).join("lib.rs"))?;
        ensure!(!lib.contains(&format!("mod {name};")), "{src} already has a module called {name}");
    }
    Ok(())
}

/// The name in camel case: `WordCount` for `word_count`.
fn type_name(name: &str) -> String {
    let word = |word: &str| {
        word.chars().take(1).map(|c| c.to_ascii_uppercase()).chain(word.chars().skip(1)).collect()
    };
    name.split('_').map(|part| -> String { word(part) }).collect()
}

fn created(root: &Path, path: &str, after: String) -> Result<Change> {
    ensure!(!root.join(path).exists(), "{path} already exists");
    Ok(Change { path: path.into(), before: None, after })
}

fn edited(root: &Path, path: &str, edit: impl FnOnce(&str) -> Result<String>) -> Result<Change> {
    let before = fs::read_to_string(root.join(path)).with_context(|| path.to_owned())?;
    let after = edit(&before).with_context(|| path.to_owned())?;
    Ok(Change { path: path.into(), before: Some(before), after })
}

/// Adds the workload's row to the table of workloads.
fn row(text: &str, name: &str) -> Result<String> {
    after_last(text, |line| line.contains(": cc_"), &format!("            {name}: cc_{name}::Run,"))
}

/// Adds the workload's package to the spec's manifest.
fn dependency(text: &str, name: &str) -> Result<String> {
    let is_workload = |line: &str| line.starts_with("cc-") && line.contains("{ path = ");
    after_last(text, is_workload, &format!("cc-{name} = {{ path = \"{name}\" }}"))
}

/// Adds the workload to a variant's table as declined.
fn declined(text: &str, name: &str) -> Result<String> {
    let (before, model) = text.split_once(": Model = Model {\n").context("the variant has no table")?;
    let (entries, after) = model.split_once("\n};").context("the variant's table has no end")?;
    let entry = format!("    {name}: Entry::Declined(\"not written yet\"),");
    Ok(format!("{before}: Model = Model {{\n{entries}\n{entry}\n}};{after}"))
}

/// Inserts a line after the last line for which `matches` is true.
fn after_last(text: &str, matches: impl Fn(&str) -> bool, line: &str) -> Result<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let Some(last) = lines.iter().rposition(|line| matches(line)) else {
        bail!("there is no line after which {line:?} could be inserted")
    };
    lines.insert(last + 1, line);
    Ok(lines.join("\n") + "\n")
}

/// Formats the source with rustfmt, which fails if the source is not valid Rust.
fn formatted(root: &Path, source: &str) -> Result<String> {
    let _exclusive = exclusive();
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("rustfmt")?;
    let mut stdin = rustfmt.stdin.take().expect("piped");
    let mut stdout = rustfmt.stdout.take().expect("piped");
    let mut text = String::new();
    thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(source.as_bytes()));
        stdout.read_to_string(&mut text)
    })?;
    ensure!(rustfmt.wait()?.success(), "rustfmt rejects the result");
    Ok(text)
}

/// Writes all changes or none: if one fails, those before it are reverted.
fn write(root: &Path, changes: &[Change]) -> Result<()> {
    for (at, change) in changes.iter().enumerate() {
        let path = root.join(&change.path);
        let folder = path.parent().context("a file lies in a folder")?;
        let done = fs::create_dir_all(folder).and_then(|()| fs::write(&path, &change.after));
        if let Err(error) = done {
            revert(root, &changes[..=at]);
            return Err(error).with_context(|| change.path.display().to_string());
        }
    }
    Ok(())
}

fn revert(root: &Path, changes: &[Change]) {
    for Change { path, before, .. } in changes {
        let path = root.join(path);
        // An error here is ignored: the caller reports the first error.
        let _ = match before {
            Some(before) => fs::write(path, before),
            // `remove_dir` removes a folder only if it is empty.
            None => fs::remove_file(&path).and_then(|()| fs::remove_dir(path.with_file_name(""))),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The files that would be created or changed in this workspace.
    fn workspace(name: &str) -> BTreeMap<String, String> {
        let changes = changes(models::root(), name).unwrap();
        changes.into_iter().map(|change| (change.path.display().to_string(), change.after)).collect()
    }

    fn refusal(name: &str) -> String {
        changes(models::root(), name).err().unwrap().to_string()
    }

    #[test]
    fn every_table_of_this_workspace_is_found() {
        let files = workspace("to_and_fro");
        let lines = |file: &str, line: &str| files[file].lines().filter(|one| *one == line).count();
        assert_eq!(lines(models::TABLE, "            to_and_fro: cc_to_and_fro::Run,"), 1);
        assert_eq!(lines(PACKAGES, "cc-to_and_fro = { path = \"to_and_fro\" }"), 1);
        for table in VARIANTS {
            assert_eq!(lines(table, "    to_and_fro: Entry::Declined(\"not written yet\"),"), 1, "{table}");
        }
        assert!(files["tests/to_and_fro/mod.rs"].contains("Suite::of::<ToAndFro>()"));
        assert!(files.values().all(|text| !text.contains("{{")), "a placeholder was not filled in");
    }

    /// The row in the table, the package, and an entry in the tables of both variants.
    #[test]
    fn a_workload_adds_four_lines_to_existing_files() {
        let changes = changes(models::root(), "sum").unwrap();
        let lines = |change: &Change| {
            let before = change.before.as_ref()?;
            Some(change.after.lines().count() - before.lines().count())
        };
        assert_eq!(changes.iter().filter_map(lines).sum::<usize>(), 4);
    }

    #[test]
    fn each_model_has_its_file() {
        let files = workspace("sum");
        for of in models::CRATES {
            let text = &files[&format!("crates/{of}/src/sum.rs")];
            assert!(text.starts_with("//! `sum` ") && text.contains("// ANCHOR_END: sum-gather"));
        }
    }

    #[test]
    fn an_invalid_or_used_name_is_refused() {
        for name in ["", "Sum", "a-b", "1st", "fn", "../x", "_x"] {
            assert!(refusal(name).contains("cannot be a module's name"), "{name}");
        }
        assert_eq!(refusal("grep"), "a workload called grep already exists");
        assert!(refusal("mechanism").contains("a field called mechanism"));
        assert!(refusal("rayon").contains("already"));
        assert!(refusal("cli").contains("already"));
        assert!(refusal("pool").contains("already"));
    }

    #[test]
    fn a_missing_table_is_an_error() {
        assert!(row("macro_rules! with_workloads {}\n", "sum").is_err());
        assert!(dependency("[dependencies]\n", "sum").is_err());
        assert!(declined("mod a;\n", "sum").unwrap_err().to_string().contains("has no table"));
    }

    #[test]
    fn a_line_comes_after_the_last_of_its_kind() {
        let done = after_last("a 1\na 2\nb\n", |line| line.starts_with('a'), "a 3");
        assert_eq!(done.unwrap(), "a 1\na 2\na 3\nb\n");
    }

    #[test]
    fn all_changes_are_written_or_none() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("old"), "before").unwrap();
        let change = |path: &str, before: Option<&str>| Change {
            path: path.into(),
            before: before.map(str::to_owned),
            after: "after".to_owned(),
        };
        let changes =
            [change("new/file", None), change("old", Some("before")), change("old/in-a-file", None)];
        assert!(write(scratch.path(), &changes).is_err());
        assert_eq!(fs::read_to_string(scratch.path().join("old")).unwrap(), "before");
        assert!(!scratch.path().join("new").exists());
        write(scratch.path(), &changes[..2]).unwrap();
        assert_eq!(fs::read_to_string(scratch.path().join("new/file")).unwrap(), "after");
    }
}
