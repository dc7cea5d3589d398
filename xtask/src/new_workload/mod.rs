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

use crate::{
    models::{self, Kind},
    out,
    show::is_keyword,
};

/// Begin a workload: make the stubs that the compiler and the tests then ask to be written
///
/// CONTRIBUTING.md tells how to go on.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Its name, which is also its module's: `wordcount`
    name: String,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let changes = changes(models::root(), &args.name)?;
    write(models::root(), &changes)?;
    for change in &changes {
        let done = if change.before.is_none() { "made   " } else { "changed" };
        out::print(format_args!("{done} {}", change.path.display()));
    }
    let name = &args.name;
    out::print(format_args!(
        "\nNow `cargo test -p cc-conformance -- {name}::` lists what is to be written. See CONTRIBUTING.md."
    ));
    Ok(())
}

/// What the files of the spec are made from. Their names are relative to the workspace.
const FILES: [(&str, &str); 6] = [
    ("crates/cc-workloads/src/{{name}}/mod.rs", include_str!("../../templates/spec.rs.in")),
    ("crates/cc-workloads/src/{{name}}/sequential.rs", include_str!("../../templates/sequential.rs.in")),
    ("crates/cc-workloads/src/cli/{{name}}.rs", include_str!("../../templates/cli.rs.in")),
    ("tests/{{name}}/mod.rs", include_str!("../../templates/tests.rs.in")),
    ("workloads/{{name}}/README.md", include_str!("../../templates/README.md.in")),
    ("workloads/{{name}}/manifest.toml", include_str!("../../templates/manifest.toml.in")),
];

const MODEL: &str = include_str!("../../templates/model.rs.in");

/// How each crate's file goes on after the workload's name.
const HOW: [(&str, &str); 5] = [
    ("cc-threads", "on free threads"),
    ("cc-actors", "by actors"),
    ("cc-async", "on async/await"),
    ("cc-procs", "in worker processes"),
    ("cc-distributed", "on a cluster"),
];

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
    for (of, how) in HOW {
        let text = fill(MODEL).replace("{{how}}", how);
        changes.push(made(root, &format!("crates/{of}/src/{name}.rs"), text)?);
        changes.push(edited(root, &format!("crates/{of}/src/lib.rs"), |text| table(text, name))?);
    }
    changes.push(edited(root, "crates/cc-workloads/src/lib.rs", |text| table(text, name))?);
    changes.push(edited(root, "crates/cc-workloads/src/contract.rs", |text| contract(text, name))?);
    changes.push(edited(root, "crates/cc-workloads/src/cli/mod.rs", |text| command_line(text, name))?);
    changes.push(edited(root, "tests/conformance.rs", |text| suites(text, name, &kind))?);
    let row = row(root, name)?;
    changes.push(edited(root, "README.md", |text| after_last(text, "| [", "(workloads/", &row))?);
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
    let contract = fs::read_to_string(root.join("crates/cc-workloads/src/contract.rs"))?;
    ensure!(!contract.contains(&format!("    pub {name}: ")), "a Model has a field called {name} already");
    for of in HOW.map(|(of, _)| of).into_iter().chain([models::SPEC]) {
        let src = format!("crates/{of}/src");
        ensure!(!is_there(&src), "{src} has a folder called {name} already");
        let lib = fs::read_to_string(root.join(&src).join("lib.rs"))?;
        ensure!(!lib.contains(&format!("mod {name};")), "{of} has a module called {name} already");
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

/// In a crate's `lib.rs`: the module, and an entry in each model's table.
fn table(text: &str, name: &str) -> Result<String> {
    let text = after_last(text, "pub mod ", ";", &format!("pub mod {name};"))?;
    let entry = format!("{name}: Entry::Declined(\"not written yet\")");
    let mut done = String::new();
    let mut left = text.as_str();
    while let Some(at) = left.find("Model {\n") {
        let indent = left[..at].lines().last().unwrap_or_default();
        let indent = " ".repeat(indent.len() - indent.trim_start().len());
        let (model, rest) = append(left, "Model {\n", &format!("\n{indent}}}"), &entry)?;
        done += &model;
        left = rest;
    }
    ensure!(!done.is_empty(), "there is no table of models");
    Ok(done + left)
}

/// In `contract.rs`: the field of `Model`.
fn contract(text: &str, name: &str) -> Result<String> {
    let (before, after) = text.split_once("use crate::{").context("there is no `use crate::{`")?;
    let text = format!("{before}use crate::{{{name},{after}");
    let field = format!("\n    /// TODO: what it is, in a few words.\n    pub {name}: Entry<{name}::Run>");
    whole(append(&text, "pub struct Model {\n", "\n}", &field)?)
}

/// In `cli/mod.rs`: the subcommand, and a line of the list.
fn command_line(text: &str, name: &str) -> Result<String> {
    let text = after_last(text, "mod ", ";", &format!("mod {name};"))?;
    let row = format!("(\"{name}\", {name}::command, {name}::main)");
    let text = whole(append(&text, "const WORKLOADS: ", "];", &row)?)?;
    let text = whole(append(&text, "let Model {", ".. } = model", name)?)?;
    let row = format!("(\"{name}\", {name}.declined())");
    whole(append(&text, "let entries =", "];", &row)?)
}

/// In `conformance.rs`: the workload's tests.
fn suites(text: &str, name: &str, kind: &str) -> Result<String> {
    let text = after_last(text, "mod ", ";", &format!("mod {name};"))?;
    whole(append(&text, "const SUITES: ", "];", &format!("Suite::of::<{name}::{kind}>()"))?)
}

/// In `README.md`: the row of the grid, with a link to each model that has a file.
fn row(root: &Path, name: &str) -> Result<String> {
    let cell = |model: &models::Model| match model.kind {
        Kind::Variant => "–".to_owned(),
        Kind::Reference | Kind::Own => format!("[file]({})", model.file(name).display()),
    };
    let cells: Vec<String> = models::all(root)?.iter().map(cell).collect();
    Ok(format!("| [{name}](workloads/{name}/README.md) | {} |", cells.join(" | ")))
}

/// The text with a line more, behind the last that begins so and contains that.
fn after_last(text: &str, begins: &str, contains: &str, line: &str) -> Result<String> {
    let is_place = |line: &&str| line.starts_with(begins) && line.contains(contains);
    let count = text.lines().count();
    let place = text.lines().rev().position(|line| is_place(&line));
    let Some(back) = place else { bail!("there is no line that begins with {begins:?}") };
    let mut lines: Vec<&str> = text.lines().collect();
    lines.insert(count - back, line);
    Ok(lines.join("\n") + "\n")
}

/// Adds an item to the list between `begin` and `end`. Returns the text to its end, and the text
/// behind it.
fn append<'a>(text: &'a str, begin: &str, end: &str, item: &str) -> Result<(String, &'a str)> {
    let from = text.find(begin).with_context(|| format!("there is no {begin:?}"))? + begin.len();
    let to = text[from..].find(end).with_context(|| format!("there is no {end:?} behind {begin:?}"))? + from;
    let before = text[..to].trim_end().trim_end_matches(',');
    let comma = if before.ends_with(['{', '[']) { "" } else { "," };
    Ok((format!("{before}{comma} {item},{end}"), &text[to + end.len()..]))
}

fn whole((text, rest): (String, &str)) -> Result<String> {
    Ok(text + rest)
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
        let contract = &files["crates/cc-workloads/src/contract.rs"];
        assert!(contract.contains("    pub to_and_fro: Entry<to_and_fro::Run>,\n}\n"));
        assert!(contract.contains(", to_and_fro") || contract.contains(" to_and_fro,"));
        let entries = |file: &str| {
            let lines = files[file].lines().map(str::trim);
            lines.filter(|line| *line == "to_and_fro: Entry::Declined(\"not written yet\"),").count()
        };
        for (of, models) in [("cc-workloads", 1), ("cc-threads", 2), ("cc-async", 2), ("cc-procs", 1)] {
            let file = format!("crates/{of}/src/lib.rs");
            assert_eq!(entries(&file), models, "{file}");
            assert!(files[&file].contains("\npub mod to_and_fro;\n"));
        }
        // Whether a list fits on a line depends on the name.
        let list =
            files["crates/cc-workloads/src/cli/mod.rs"].split_whitespace().collect::<Vec<_>>().join(" ");
        for text in [
            " mod to_and_fro; ",
            "(\"to_and_fro\", to_and_fro::command, to_and_fro::main),",
            "to_and_fro, .. } = model",
            "(\"to_and_fro\", to_and_fro.declined())",
        ] {
            assert!(list.contains(text), "{text}");
        }
        let tests = &files["tests/conformance.rs"];
        assert!(
            tests.contains("\nmod to_and_fro;\n") && tests.contains("Suite::of::<to_and_fro::ToAndFro>()")
        );
        let link = "| [to_and_fro](workloads/to_and_fro/README.md) | [file](crates/cc-workloads/src/to_and_fro/sequential.rs) | \
                    [file](crates/cc-threads/src/to_and_fro.rs) | – |";
        assert!(files["README.md"].contains(link));
        assert!(files.values().all(|text| !text.contains("{{")), "a place was not filled in");
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
        assert!(contract("pub struct Other {\n}\n", "sum").is_err());
        assert!(table("pub mod a;\n", "sum").is_err());
        assert!(suites("mod a;\n", "sum", "Sum").unwrap_err().to_string().contains("SUITES"));
        assert!(after_last("a\nb\n", "c", "", "d").is_err());
    }

    #[test]
    fn lists_grow_at_their_end() {
        let appended = |text| whole(append(text, "[", "]", "c").unwrap()).unwrap();
        assert_eq!(appended("x[a, b] y"), "x[a, b, c,] y");
        assert_eq!(appended("[\n    a,\n    b,\n];"), "[\n    a,\n    b, c,];");
        assert_eq!(appended("[]"), "[ c,]");
        assert_eq!(after_last("a 1\na 2\nb\n", "a", "", "a 3").unwrap(), "a 1\na 2\na 3\nb\n");
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
