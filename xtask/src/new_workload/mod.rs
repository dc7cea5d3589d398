//! `cargo xtask new-workload NAME`: the stubs of a workload, so that the compiler, the tests and
//! `tidy` say what is to be written.
//!
//! All edits are made in memory, and what is Rust goes through rustfmt, before the first file is
//! written.

use crate::process::family::alone;
use std::{
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{models, out, show::is_keyword};

/// Begin a workload: make the stubs that the compiler and the tests then ask to be written
///
/// CONTRIBUTING.md tells how to go on.
#[derive(clap::Args)]
pub struct Args {
    /// Its name, which is also its module's: `wordcount`
    name: String,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let name = &args.name;
    for line in make(models::root(), name)? {
        out::print(line);
    }
    out::print(format_args!(
        "\nNow `cargo test -p cc-conformance --test conformance -- {name}::` lists what is to be written. \
         See CONTRIBUTING.md."
    ));
    Ok(())
}

/// Begins a workload in the workspace at `root`. Returns a line for each file, with what was done
/// to it.
///
/// # Errors
///
/// If the name is none or is taken, or if a file cannot be made. Nothing is changed then.
pub fn make(root: &Path, name: &str) -> Result<Vec<String>> {
    let changes = changes(root, name)?;
    write(root, &changes)?;
    let done = |change: &Change| if change.before.is_none() { "made   " } else { "changed" };
    Ok(changes.iter().map(|change| format!("{} {}", done(change), change.path.display())).collect())
}

/// What a workload's own files are made from. Their names are relative to the workspace.
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

/// What a worker process does for the workload.
const PROCS: &str = include_str!("../../templates/procs.rs.in");
const DISTRIBUTED: &str = include_str!("../../templates/distributed.rs.in");

/// How each crate's file goes on after the workload's name, and what else it must have.
const HOW: [(&str, &str, &str); 5] = [
    ("cc-threads", "on free threads", ""),
    ("cc-actors", "by actors", ""),
    ("cc-async", "on async/await", ""),
    ("cc-procs", "in worker processes", PROCS),
    ("cc-distributed", "on a cluster", DISTRIBUTED),
];

/// The packages that depend on each workload, and the tables of the variants.
const PACKAGES: &str = "workloads/Cargo.toml";
const VARIANTS: [&str; 2] = ["crates/cc-threads/src/rayon/mod.rs", "crates/cc-async/src/single/mod.rs"];

/// A file as it is to be.
struct Change {
    path: PathBuf,
    /// None if it is to be made.
    before: Option<String>,
    after: String,
}

/// All that has to be done, or why it cannot be.
fn changes(root: &Path, name: &str) -> Result<Vec<Change>> {
    check(root, name)?;
    let kind = type_name(name);
    let fill = |text: &str| text.replace("{{name}}", name).replace("{{Type}}", &kind);
    let mut changes = Vec::new();
    for (path, template) in FILES {
        changes.push(made(root, &fill(path), fill(template))?);
    }
    for (of, how, more) in HOW {
        let text = fill(&MODEL.replace("{{how}}", how).replace("{{more}}", more));
        changes.push(made(root, &format!("crates/{of}/src/{name}.rs"), text)?);
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

/// Refuses a name that is none, or taken.
fn check(root: &Path, name: &str) -> Result<()> {
    let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !is_keyword(name);
    ensure!(is_name, "{name:?} cannot be a module's name: lowercase letters, digits and _, please");
    let is_there = |folder: &str| root.join(folder).join(name).exists();
    ensure!(!is_there("workloads"), "there is a workload called {name} already");
    let table = fs::read_to_string(root.join(models::TABLE))?;
    ensure!(
        !table.contains(&format!("            pub {name}: ")),
        "a Model has a field called {name} already"
    );
    for src in HOW.map(|(of, ..)| format!("crates/{of}/src")).into_iter().chain(["workloads/src".to_owned()])
    {
        ensure!(!is_there(&src), "{src} has a folder called {name} already");
        let lib = fs::read_to_string(root.join(&src).join("lib.rs"))?;
        ensure!(!lib.contains(&format!("mod {name};")), "{src} has a module called {name} already");
    }
    Ok(())
}

/// `word_count` as a type: `WordCount`.
fn type_name(name: &str) -> String {
    let word = |word: &str| {
        word.chars().take(1).map(|c| c.to_ascii_uppercase()).chain(word.chars().skip(1)).collect()
    };
    name.split('_').map(|part| -> String { word(part) }).collect()
}

fn made(root: &Path, path: &str, after: String) -> Result<Change> {
    ensure!(!root.join(path).exists(), "{path} is there already");
    Ok(Change { path: path.into(), before: None, after })
}

fn edited(root: &Path, path: &str, edit: impl FnOnce(&str) -> Result<String>) -> Result<Change> {
    let before = fs::read_to_string(root.join(path)).with_context(|| path.to_owned())?;
    let after = edit(&before).with_context(|| path.to_owned())?;
    Ok(Change { path: path.into(), before: Some(before), after })
}

/// In the table: the workload's row.
fn row(text: &str, name: &str) -> Result<String> {
    after_last(text, |line| line.contains(": cc_"), &format!("            {name}: cc_{name}::Run,"))
}

/// In the spec's manifest: the workload's package.
fn dependency(text: &str, name: &str) -> Result<String> {
    let is_workload = |line: &str| line.starts_with("cc-") && line.contains("{ path = ");
    after_last(text, is_workload, &format!("cc-{name} = {{ path = \"{name}\" }}"))
}

/// In a variant's table: that it has none yet.
fn declined(text: &str, name: &str) -> Result<String> {
    let (before, model) = text.split_once(": Model = Model {\n").context("there is no table of a variant")?;
    let (entries, after) = model.split_once("\n};").context("the table of the variant has no end")?;
    let entry = format!("    {name}: Entry::Declined(\"not written yet\"),");
    Ok(format!("{before}: Model = Model {{\n{entries}\n{entry}\n}};{after}"))
}

/// The text with a line more, after the last that is one of those.
fn after_last(text: &str, is_one: impl Fn(&str) -> bool, line: &str) -> Result<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let Some(last) = lines.iter().rposition(|line| is_one(line)) else {
        bail!("there is no line that {line:?} could follow")
    };
    lines.insert(last + 1, line);
    Ok(lines.join("\n") + "\n")
}

/// The source as rustfmt has it, which also finds what is no Rust any more.
fn formatted(root: &Path, source: &str) -> Result<String> {
    let _alone = alone();
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
    ensure!(rustfmt.wait()?.success(), "rustfmt does not take it");
    Ok(text)
}

/// Writes everything, or nothing: what was written before something failed is taken back.
fn write(root: &Path, changes: &[Change]) -> Result<()> {
    for (at, change) in changes.iter().enumerate() {
        let path = root.join(&change.path);
        let folder = path.parent().context("a file lies in a folder")?;
        let done = fs::create_dir_all(folder).and_then(|()| fs::write(&path, &change.after));
        if let Err(error) = done {
            take_back(root, &changes[..=at]);
            return Err(error).with_context(|| change.path.display().to_string());
        }
    }
    Ok(())
}

fn take_back(root: &Path, changes: &[Change]) {
    for Change { path, before, .. } in changes {
        let path = root.join(path);
        // There is nothing better to do if this fails, too; the first error is reported.
        let _ = match before {
            Some(before) => fs::write(path, before),
            // The folder goes with its last file; one that is not empty stays.
            None => fs::remove_file(&path).and_then(|()| fs::remove_dir(path.with_file_name(""))),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// What would be made of this workspace.
    fn workspace(name: &str) -> BTreeMap<String, String> {
        let changes = changes(models::root(), name).unwrap();
        changes.into_iter().map(|change| (change.path.display().to_string(), change.after)).collect()
    }

    fn refusal(name: &str) -> String {
        changes(models::root(), name).err().unwrap().to_string()
    }

    #[test]
    fn every_place_of_this_workspace_is_found() {
        let files = workspace("to_and_fro");
        let lines = |file: &str, line: &str| files[file].lines().filter(|one| *one == line).count();
        assert_eq!(lines(models::TABLE, "            to_and_fro: cc_to_and_fro::Run,"), 1);
        assert_eq!(lines(PACKAGES, "cc-to_and_fro = { path = \"to_and_fro\" }"), 1);
        for table in VARIANTS {
            assert_eq!(lines(table, "    to_and_fro: Entry::Declined(\"not written yet\"),"), 1, "{table}");
        }
        assert!(files["tests/to_and_fro/mod.rs"].contains("Suite::of::<ToAndFro>()"));
        assert!(files.values().all(|text| !text.contains("{{")), "a place was not filled in");
    }

    /// What is not in files of its own: "one line in one table", and what a package and two
    /// variants need besides.
    #[test]
    fn a_workload_is_four_lines_in_the_files_of_others() {
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
    fn a_name_that_is_none_or_taken_is_refused() {
        for name in ["", "Sum", "a-b", "1st", "fn", "../x", "_x"] {
            assert!(refusal(name).contains("cannot be a module's name"), "{name}");
        }
        assert_eq!(refusal("grep"), "there is a workload called grep already");
        assert!(refusal("mechanism").contains("a field called mechanism"));
        assert!(refusal("rayon").contains("already"));
        assert!(refusal("cli").contains("already"));
        assert!(refusal("pool").contains("already"));
    }

    #[test]
    fn a_place_that_is_not_there_is_said() {
        assert!(row("macro_rules! with_workloads {}\n", "sum").is_err());
        assert!(dependency("[dependencies]\n", "sum").is_err());
        assert!(declined("mod a;\n", "sum").unwrap_err().to_string().contains("no table"));
    }

    #[test]
    fn a_line_comes_after_the_last_of_its_kind() {
        let done = after_last("a 1\na 2\nb\n", |line| line.starts_with('a'), "a 3");
        assert_eq!(done.unwrap(), "a 1\na 2\na 3\nb\n");
    }

    #[test]
    fn all_is_written_or_nothing() {
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
