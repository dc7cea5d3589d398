//! `cc-report`, which `cargo xtask` builds and runs when a report is asked for.

// What prints reports what it could not write; `println!` would panic.
#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use cc_report::{Report, choose, page};
use clap::Parser;
use xtask::models;

/// Say what a comparison found: as a page, or what to choose by it
#[derive(Parser)]
struct Args {
    /// Where the results are
    #[arg(long, value_name = "DIR")]
    results: PathBuf,
    /// Only of this workload; may be given many times
    #[arg(long = "workload", value_name = "NAME")]
    workloads: Vec<String>,
    /// Write the page to FILE, instead of printing what to choose
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let report = Report::read(&args.results, &args.workloads, models::root())?;
    match &args.html {
        Some(file) => write(file, &report),
        None => print(&choose::text(&report)),
    }
}

/// A reader who has seen enough is no error.
fn print(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn write(file: &Path, report: &Report) -> Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let page = page::html(report, &way_back(folder));
    fs::write(file, &page).with_context(|| file.display().to_string())?;
    // Standard output may be carrying the results.
    xtask::out::say(format_args!("{}  ({} kB)", file.display(), page.len().div_ceil(1000)));
    Ok(())
}

/// What leads from a page's folder to the workspace: a relative path where the page lies within it.
fn way_back(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    match folder.strip_prefix(models::root()) {
        Ok(inside) => "../".repeat(inside.components().count()),
        Err(_) => format!("file://{}/", models::root().display()),
    }
}
