//! What `cargo xtask compare` found, as a page that is one file, and what to choose by it.
//!
//! In reading order: the [`results`] and the [`sources`] that were measured; [`figures`] as people
//! read them; the [`theme`] of a model, the same in every chart; [`words`] with links; then what is
//! said: the [`verdict`] of a workload, its [`table`], its [`samples`], the efficiency by
//! [`workers`], their [`timeline`], memory and time to first output ([`costs`]), the curve of
//! [`granularity`], the [`code`], the [`method`], and what to [`choose`]; last the [`page`] around
//! all of it. [`chart`] holds what the pictures have in common.

pub mod chart;
pub mod choose;
pub mod code;
pub mod costs;
pub mod figures;
pub mod granularity;
pub mod method;
pub mod page;
pub mod results;
pub mod samples;
pub mod sources;
pub mod table;
pub mod theme;
pub mod timeline;
pub mod verdict;
pub mod words;
pub mod workers;

use std::{fs, path::Path};
use xtask::compare::result::{Comparison, granularity::Swept};

use anyhow::Result;

use results::Raw;
use sources::Shelf;

/// All that the page is made from.
#[derive(Default)]
pub struct Report {
    /// In the order of the page.
    pub comparisons: Vec<Comparison>,
    /// How finely the work may be cut, where that was asked.
    pub granularity: Vec<Swept>,
    /// The models' files.
    pub shelves: Vec<Shelf>,
    /// The results as they were read.
    pub raw: Vec<Raw>,
}

impl Report {
    /// Reads the results of these workloads, or of all there are, and the files of their models.
    ///
    /// # Errors
    /// If there is no result, or one that cannot be read.
    pub fn read(folder: &Path, workloads: &[String], root: &Path) -> Result<Self> {
        let mut report = Self::results(folder, workloads)?;
        for found in &report.comparisons {
            let measured = fs::metadata(folder.join(format!("{}.json", found.workload)))?.modified()?;
            report.shelves.push(Shelf::read(root, &found.workload, measured)?);
        }
        Ok(report)
    }

    /// Reads the results alone.
    ///
    /// # Errors
    /// If there is none, or one that cannot be read.
    pub fn results(folder: &Path, workloads: &[String]) -> Result<Self> {
        results::read(folder, workloads)
    }
}
