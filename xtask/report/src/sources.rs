//! The models' files of a workload, from which the programs were built.

use std::{fs, path::Path, time::SystemTime};

use anyhow::Result;
use xtask::{
    models::{self, Model},
    show::source::Source,
};

/// One workload's files.
pub struct Shelf {
    /// `grep`
    pub workload: String,
    /// In the order of the table.
    pub files: Vec<File>,
}

/// A model's file.
pub struct File {
    /// The model.
    pub model: String,
    /// From the root of the workspace.
    pub path: String,
    /// What is in it.
    pub source: Source,
    /// Whether it is another file than the one that was measured.
    pub has_changed: bool,
}

impl Shelf {
    /// Reads the files of every model that has the workload, which was measured then.
    pub(crate) fn read(root: &Path, workload: &str, measured: SystemTime) -> Result<Self> {
        let mut files = Vec::new();
        for model in models::all(root)? {
            if root.join(model.file(workload)).exists() {
                files.push(File::read(root, &model, workload, measured)?);
            }
        }
        Ok(Self { workload: workload.to_owned(), files })
    }
}

impl File {
    fn read(root: &Path, model: &Model, workload: &str, measured: SystemTime) -> Result<Self> {
        let path = model.file(workload);
        let source = Source::read(root, &path, &model.name, workload)?;
        let has_changed = fs::metadata(root.join(&path))?.modified()? > measured;
        Ok(Self { model: model.name.clone(), path: path.display().to_string(), source, has_changed })
    }
}
