//! The results of `cargo xtask compare` as an HTML page in one file, and advice which model to
//! choose.
//!
//! In reading order: the [`results`] and the [`sources`] that were measured; [`figures`], which
//! formats numbers; the [`theme`], which gives each model the same look in every chart; [`words`],
//! sentences with links. Then the parts of the page: the [`verdict`] of a workload, its [`table`],
//! its [`samples`], the efficiency by number of [`workers`], their [`timeline`], memory and time to
//! first output ([`costs`]), the [`granularity`] curves, the [`code`], the [`method`], and what to
//! [`choose`]. Last the [`page`] that contains all parts. [`chart`] has the elements that all
//! charts share.

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
use xtask::compare::result::{Comparison, granularity::GranularityResult};

use anyhow::Result;

use results::Raw;
use sources::WorkloadSources;

/// The input of the page.
#[derive(Default)]
pub struct Report {
    /// One comparison per workload, in the order of the page.
    pub comparisons: Vec<Comparison>,
    /// Granularity sweeps, for the workloads that have one.
    pub granularity: Vec<GranularityResult>,
    /// The models' source files, per workload.
    pub sources: Vec<WorkloadSources>,
    /// The result files as they were read.
    pub raw: Vec<Raw>,
}

impl Report {
    /// Reads the results of these workloads (all if none is named), and the models' source files.
    ///
    /// # Errors
    /// If there is no result, or one that cannot be read.
    pub fn read(folder: &Path, workloads: &[String], root: &Path) -> Result<Self> {
        let mut report = Self::results(folder, workloads)?;
        for found in &report.comparisons {
            let measured = fs::metadata(folder.join(format!("{}.json", found.workload)))?.modified()?;
            report.sources.push(WorkloadSources::read(root, &found.workload, measured)?);
        }
        Ok(report)
    }

    /// Reads the results only, without source files.
    ///
    /// # Errors
    /// If there is none, or one that cannot be read.
    pub fn results(folder: &Path, workloads: &[String]) -> Result<Self> {
        results::read(folder, workloads)
    }
}
