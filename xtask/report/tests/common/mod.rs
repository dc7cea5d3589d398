//! A small report from the files in `tests/fixture`.

use std::path::{Path, PathBuf};

use cc_report::{
    Report,
    sources::{SourceFile, WorkloadSources},
};
use xtask::show::source::Source;

pub(crate) fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixture")
}

pub(crate) fn report() -> Report {
    let mut report = Report::results(&fixture(), &[]).unwrap();
    report.sources = ["fetch", "grep", "kv", "mandelbrot"].map(sources).into();
    report
}

/// The same two files for every workload and model.
fn sources(workload: &str) -> WorkloadSources {
    let models = ["sequential", "threads", "async", "procs", "distributed"];
    let file = |model: &str| {
        let path = if model == "async" { "async.rs" } else { "threads.rs" };
        let source = Source::read(&fixture(), Path::new(path), model, "grep").unwrap();
        SourceFile {
            model: model.to_owned(),
            path: format!("crates/{path}"),
            source,
            has_changed: model == "procs",
        }
    };
    WorkloadSources { workload: workload.to_owned(), files: models.map(file).into() }
}

pub(crate) fn page() -> String {
    cc_report::page::html(&report(), "../../")
}
