//! `cargo xtask report`, `cargo xtask choose` and `compare --html`: the results as a page, or as
//! advice.
//!
//! `cc-report` does the work. It is built only when one of these commands needs it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::{cargo::cargo, compare::plan::build::Workspace, models};

/// Write the HTML page of the last results, without measuring
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The file to write [default: target/compare/report.html]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    from: From,
}

/// Print advice which model suits which program, based on the last results
#[derive(clap::Args)]
pub(crate) struct Choose {
    #[command(flatten)]
    from: From,
}

#[derive(clap::Args)]
struct From {
    /// The directory with the results [default: target/compare]
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
}

/// The option `--html` of `compare`.
#[derive(clap::Args)]
pub(crate) struct Html {
    /// Also write an HTML page with all results [default: target/compare/report.html]
    // The value needs an equals sign: in `--html grep`, grep is a workload.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    html: Option<Option<PathBuf>>,
}

impl Html {
    /// Writes the page of these workloads, if `--html` was given.
    pub(crate) fn write(&self, target: &Path, workloads: &[String]) -> Result<()> {
        let Some(file) = self.html.as_ref().filter(|_| !workloads.is_empty()) else { return Ok(()) };
        let names = workloads.iter().flat_map(|name| ["--workload".into(), name.into()]);
        page(&target.join("compare"), file.as_deref(), names.collect())
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    page(&args.from.folder()?, args.file.as_deref(), Vec::new())
}

pub(crate) fn choose(args: &Choose) -> Result<()> {
    cc_report(&args.from.folder()?, Vec::new())
}

impl From {
    fn folder(&self) -> Result<PathBuf> {
        self.results.clone().map_or_else(|| Ok(Workspace::find()?.results()), Ok)
    }
}

fn page(results: &Path, file: Option<&Path>, mut args: Vec<OsString>) -> Result<()> {
    let file = file.map_or_else(|| results.join("report.html"), Path::to_owned);
    args.extend(["--html".into(), file.into()]);
    cc_report(results, args)
}

/// Builds and runs `cc-report` in the current directory, so that relative paths keep their meaning.
fn cc_report(results: &Path, args: Vec<OsString>) -> Result<()> {
    let mut command = cargo();
    command.args(["run", "--release", "--package", "cc-report", "--manifest-path"]);
    command.arg(models::root().join("Cargo.toml")).arg("--").arg("--results").arg(results).args(args);
    let status = command.status().context("cargo run --package cc-report")?;
    ensure!(status.success(), "cc-report: {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        workloads: Vec<String>,
        #[command(flatten)]
        html: Html,
    }

    #[test]
    fn a_word_after_html_is_a_workload() {
        let line = |args: &[&str]| Line::parse_from([&["xtask"], args].concat());
        let html = |args: &[&str]| line(args).html.html;
        assert_eq!(html(&["grep"]), None);
        assert_eq!(html(&["--html", "grep"]), Some(None));
        assert_eq!(line(&["--html", "grep"]).workloads, ["grep"]);
        assert_eq!(html(&["--html=a.html"]), Some(Some("a.html".into())));
    }
}
