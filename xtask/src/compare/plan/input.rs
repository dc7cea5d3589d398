//! The inputs: generated files, arguments, or a user's own files.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use cc_core::report::MAKE_INPUT;
use serde::Deserialize;

use crate::compare::{
    plan::{build::output, resources::Resources},
    result::{Input, Subject},
};

/// The source of an input, as the manifest defines it.
#[derive(Deserialize)]
#[serde(try_from = "toml::Table")]
pub(crate) enum Source {
    Plain(Plain),
    /// Generated from a seed by the spec's program, which interprets the table.
    Generated(toml::Table),
}

/// A source that does not depend on the workload.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Plain {
    /// The list of an origin's resources.
    Resources(Resources),
    EmptyFile,
    EmptyFolder,
    /// Arguments only, without a file.
    Args {
        args: Vec<String>,
        /// The expected output of the first query.
        output: Option<String>,
    },
}

impl TryFrom<toml::Table> for Source {
    type Error = toml::de::Error;

    fn try_from(table: toml::Table) -> Result<Self, toml::de::Error> {
        match table.get("kind").and_then(toml::Value::as_str) {
            Some("resources" | "empty-file" | "empty-folder" | "args") => table.try_into().map(Self::Plain),
            _ => Ok(Self::Generated(table)),
        }
    }
}

impl Source {
    /// Creates the input at `path`, unless it exists already or needs no file. `generator` is the
    /// spec's program.
    pub(crate) fn make(&self, path: &Path, generator: &Path) -> Result<Subject> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let path = match self {
            Self::Plain(Plain::Resources(resources)) => return Ok(resources.subject(path)),
            Self::Plain(Plain::Args { args, .. }) => {
                return Ok(Subject { args: args.clone(), ..Subject::default() });
            }
            Self::Plain(Plain::EmptyFile) => {
                fs::write(path, b"").with_context(|| path.display().to_string())?;
                path.to_owned()
            }
            Self::Plain(Plain::EmptyFolder) => {
                fs::create_dir_all(path).with_context(|| path.display().to_string())?;
                path.to_owned()
            }
            Self::Generated(table) => generate(table, path, generator)?,
        };
        Ok(Subject { path: Some(path), ..Subject::default() })
    }

    pub(crate) fn is_on_disk(&self) -> bool {
        !matches!(self, Self::Plain(Plain::Args { .. }))
    }

    pub(crate) fn resources(&self) -> Option<Resources> {
        if let Self::Plain(Plain::Resources(resources)) = self { Some(*resources) } else { None }
    }

    pub(crate) fn output(&self) -> Option<String> {
        match self {
            Self::Plain(Plain::Args { output, .. }) => output.clone(),
            _ => None,
        }
    }
}

/// Lets the spec's program generate the input at `path`. Returns the actual path.
fn generate(table: &toml::Table, path: &Path, generator: &Path) -> Result<PathBuf> {
    let mut command = Command::new(generator);
    command.arg(MAKE_INPUT).arg(serde_json::to_string(table)?).arg(path);
    let printed = output(&mut command)?;
    let path = printed.strip_suffix(b"\n").context("make-input did not print a path")?;
    Ok(PathBuf::from(OsStr::from_bytes(path)))
}

impl Input {
    /// An input that is a user's own file or directory.
    pub(crate) fn given(path: &Path, empty: Subject) -> Self {
        let measured = Subject { path: Some(path.to_owned()), ..Subject::default() };
        Self { name: path.display().to_string(), checked: measured.clone(), measured, empty, output: None }
    }
}

impl Subject {
    /// The arguments of a run with this query. If both have the same option, the query's value is
    /// used; in the empty job, the subject's value, so that the job stays empty.
    pub(crate) fn with(&self, query: &[String]) -> Vec<String> {
        if self.is_empty { overridden(query, &self.args) } else { overridden(&self.args, query) }
    }

    /// A description of the empty job: `on an empty folder`, or its arguments.
    pub(crate) fn shown(&self) -> String {
        match &self.path {
            Some(path) if path.is_dir() => "on an empty folder".to_owned(),
            Some(_) => "on an empty file".to_owned(),
            None => format!("with {}", self.args.join(" ")),
        }
    }

    /// All files below the path, sorted by path.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        let mut folders: Vec<PathBuf> = self.path.iter().cloned().collect();
        while let Some(path) = folders.pop() {
            if path.is_dir() {
                for entry in fs::read_dir(&path).with_context(|| path.display().to_string())? {
                    folders.push(entry?.path());
                }
            } else {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }
}

/// The first arguments followed by the second ones, without options of the first that the second
/// ones repeat.
fn overridden(first: &[String], second: &[String]) -> Vec<String> {
    let name = |arg: &str| arg.starts_with("--").then(|| arg.split('=').next().map(str::to_owned)).flatten();
    let mut all = Vec::new();
    let mut args = first.iter().peekable();
    while let Some(arg) = args.next() {
        let is_repeated =
            name(arg).is_some_and(|own| second.iter().any(|other| name(other).as_ref() == Some(&own)));
        if !is_repeated {
            all.push(arg.clone());
        } else if !arg.contains('=') {
            args.next_if(|value| !value.starts_with("--"));
        }
    }
    all.extend_from_slice(second);
    all
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::process::guard::exclusive;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_query_overrides_the_subject_except_in_an_empty_job() {
        let with = |query: &str, is_empty| {
            let subject = Subject { args: words("--size 1x1 --deep"), path: None, is_empty };
            subject.with(&words(query)).join(" ")
        };
        assert_eq!(with("--max 5", false), "--size 1x1 --deep --max 5");
        assert_eq!(with("--size 8x8 --max 5", false), "--deep --size 8x8 --max 5");
        assert_eq!(with("--size=8x8 --max 5", true), "--max 5 --size 1x1 --deep");
    }

    #[test]
    fn a_generator_gets_the_manifests_table_and_prints_the_path() {
        let _exclusive = exclusive();
        let scratch = tempfile::tempdir().unwrap();
        let generator = scratch.path().join("generator");
        let script = "#!/bin/sh\nprintf '%s' \"$2\" > \"$3\"\necho \"$3\"\n";
        fs::write(&generator, script).unwrap();
        fs::set_permissions(&generator, fs::Permissions::from_mode(0o755)).unwrap();
        let source: Source = toml::from_str("kind = \"tree\"\nseed = 1").unwrap();
        let path = scratch.path().join("inputs").join("small");
        let subject = source.make(&path, &generator).unwrap();
        assert_eq!(subject.path.as_ref(), Some(&path));
        assert_eq!(fs::read_to_string(path).unwrap(), r#"{"kind":"tree","seed":1}"#);
        assert!(source.is_on_disk() && source.resources().is_none() && source.output().is_none());
    }

    #[test]
    fn a_source_of_a_known_kind_must_be_complete() {
        assert!(toml::from_str::<Source>("kind = \"args\"").is_err());
        assert!(toml::from_str::<Source>("kind = \"args\"\nargs = []").is_ok());
    }

    #[test]
    fn the_files_below_a_folder_are_sorted() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("in");
        let subject = Source::Plain(Plain::EmptyFolder).make(&root, Path::new("no generator")).unwrap();
        assert!(subject.files().unwrap().is_empty());
        fs::create_dir(root.join("b")).unwrap();
        for name in ["b/2", "a", "b/1"] {
            fs::write(root.join(name), "").unwrap();
        }
        let expected = ["a", "b/1", "b/2"].map(|name| root.join(name));
        assert_eq!(subject.files().unwrap(), expected);
    }
}
