//! The models' source files of a workload, from which the measured programs were built.

use std::{fs, path::Path, time::SystemTime};

use anyhow::Result;
use xtask::{
    models::{self, Model},
    show::source::Source,
};

/// The source files of one workload.
pub struct WorkloadSources {
    /// The workload's name, such as `grep`.
    pub workload: String,
    /// The files in the order of the table.
    pub files: Vec<SourceFile>,
}

/// A model's source file.
pub struct SourceFile {
    /// The model's name.
    pub model: String,
    /// The path, relative to the root of the workspace.
    pub path: String,
    /// Its lines.
    pub source: Source,
    /// Whether it was modified after the measurement.
    pub has_changed: bool,
}

impl WorkloadSources {
    /// Reads the file of every model that has the workload. `measured` is the time of the
    /// measurement.
    pub(crate) fn read(root: &Path, workload: &str, measured: SystemTime) -> Result<Self> {
        let mut files = Vec::new();
        for model in models::all(root)? {
            if root.join(model.file(workload)).exists() {
                files.push(SourceFile::read(root, &model, workload, measured)?);
            }
        }
        Ok(Self { workload: workload.to_owned(), files })
    }
}

impl SourceFile {
    fn read(root: &Path, model: &Model, workload: &str, measured: SystemTime) -> Result<Self> {
        let path = model.file(workload);
        let source = Source::read(root, &path, &model.name, workload)?;
        let has_changed = fs::metadata(root.join(&path))?.modified()? > measured;
        Ok(Self { model: model.name.clone(), path: path.display().to_string(), source, has_changed })
    }
}
