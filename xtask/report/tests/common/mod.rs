//! A small report, always the same.

use std::path::{Path, PathBuf};

use cc_report::{
    Report,
    sources::{File, Shelf},
};
use xtask::show::source::Source;

pub(crate) fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixture")
}

pub(crate) fn report() -> Report {
    let mut report = Report::results(&fixture(), &[]).unwrap();
    report.shelves = ["fetch", "grep", "kv", "mandelbrot"].map(shelf).into();
    report
}

/// Two files, whatever the workload, and others that nobody reads.
fn shelf(workload: &str) -> Shelf {
    let models = ["sequential", "threads", "async", "procs", "distributed"];
    let file = |model: &str| {
        let path = if model == "async" { "async.rs" } else { "threads.rs" };
        let source = Source::read(&fixture(), Path::new(path), model, "grep").unwrap();
        File {
            model: model.to_owned(),
            path: format!("crates/{path}"),
            source,
            has_changed: model == "procs",
        }
    };
    Shelf { workload: workload.to_owned(), files: models.map(file).into() }
}

pub(crate) fn page() -> String {
    cc_report::page::html(&report(), "../../")
}
