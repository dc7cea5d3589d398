//! `cc-report`: `cargo xtask report`, `choose` and `compare --html` build and run it.

// `println!` would panic if standard output is closed; the functions used here return the error.
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

/// Show what a comparison found: as an HTML page, or as advice which model to choose
#[derive(Parser)]
struct Args {
    /// The directory with the results
    #[arg(long, value_name = "DIR")]
    results: PathBuf,
    /// Only this workload; may be given several times
    #[arg(long = "workload", value_name = "NAME")]
    workloads: Vec<String>,
    /// Write the page to FILE, instead of printing the advice
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

/// Prints the text. A closed pipe is not an error: the reader, such as `head`, needs no more.
fn print(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn write(file: &Path, report: &Report) -> Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let page = page::html(report, &path_to_root(folder));
    fs::write(file, &page).with_context(|| file.display().to_string())?;
    // On standard error, because standard output may carry the results.
    xtask::out::say(format_args!("{}  ({} kB)", file.display(), page.len().div_ceil(1000)));
    Ok(())
}

/// The path from a page's folder to the workspace: relative if the folder lies within it, otherwise
/// a `file:` URL.
fn path_to_root(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    match folder.strip_prefix(models::root()) {
        Ok(inside) => "../".repeat(inside.components().count()),
        Err(_) => format!("file://{}/", models::root().display()),
    }
}
