//! Derived content: the README's grid, and the format of files that `cargo fmt` does not find.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::models::{self, Kind, Model};

/// The beginning of the grid in the README.
const GRID: &str = "| | sequential |";

/// The path of the README, its text, and its text with an up-to-date grid.
pub(super) fn readme(root: &Path) -> Result<(PathBuf, String, String)> {
    let path = root.join("README.md");
    let before = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let after = with_grid(&before, &grid(root)?).context("README.md has no grid")?;
    Ok((path, before, after))
}

/// The grid: one row per workload, with a link to each model's file.
fn grid(root: &Path) -> Result<String> {
    let models = models::all(root)?;
    let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
    let mut grid = format!("| | {} |\n|{}\n", names.join(" | "), "---|".repeat(names.len() + 1));
    for workload in models::workloads(root)? {
        let page = format!("workloads/{workload}/README.md");
        let cells: Vec<String> = models.iter().map(|model| cell(root, model, &workload, &page)).collect();
        grid += &format!("| [{workload}]({page}) | {} |\n", cells.join(" | "));
    }
    Ok(grid)
}

/// A cell of the grid. A variant without a file has declined the workload; the workload's page
/// explains why.
fn cell(root: &Path, model: &Model, workload: &str, page: &str) -> String {
    let file = model.file(workload);
    if model.kind != Kind::Variant || root.join(&file).exists() {
        format!("[file]({})", file.display())
    } else {
        format!("[declined]({page})")
    }
}

/// The page with its grid replaced by this one; `None` if it has no grid.
fn with_grid(page: &str, grid: &str) -> Option<String> {
    let begin = page.find(GRID)?;
    let length: usize =
        page[begin..].split_inclusive('\n').take_while(|line| line.starts_with('|')).map(str::len).sum();
    Some([&page[..begin], grid, &page[begin + length..]].concat())
}

/// Formats the workloads' files with rustfmt, or only checks them. A macro declares their modules,
/// so `cargo fmt` does not find them. Returns the files that were not formatted.
pub(super) fn format(root: &Path, write: bool) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for workload in models::workloads(root)? {
        let of_models = models::CRATES.map(|name| root.join("crates").join(name).join("src"));
        files.extend(of_models.map(|src| src.join(&workload).with_extension("rs")));
        files.push(root.join("tests").join(&workload).join("mod.rs"));
    }
    files.retain(|file| file.exists());
    let mut rustfmt = Command::new("rustfmt");
    rustfmt.args(["--edition", "2024", "--files-with-diff"]).args(&files);
    if !write {
        rustfmt.arg("--check");
    }
    let done = rustfmt.current_dir(root).output().context("rustfmt")?;
    ensure!(done.stderr.is_empty(), "rustfmt: {}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8_lossy(&done.stdout);
    let name = |path: &str| {
        Path::new(path).strip_prefix(root).map_or(path, |path| path.to_str().unwrap_or_default()).to_owned()
    };
    Ok(text.lines().filter(|line| line.ends_with(".rs")).map(name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_is_replaced() {
        let page = "# A\n\n| | sequential | b |\n|---|---|---|\n| old |\n\n| | other |\nend\n";
        let done = with_grid(page, "| new |\n").unwrap();
        assert_eq!(done, "# A\n\n| new |\n\n| | other |\nend\n");
        assert_eq!(with_grid("no grid", ""), None);
    }

    #[test]
    fn the_grid_has_a_row_for_each_workload_and_a_link_for_each_model() {
        let grid = grid(models::root()).unwrap();
        assert!(grid.starts_with(GRID));
        assert!(grid.contains("\n| [mandelbrot](workloads/mandelbrot/README.md) | [file](workloads/mandelbrot/src/sequential.rs) | [file](crates/cc-threads/src/mandelbrot.rs) |"));
        assert!(grid.contains("| [declined](workloads/kv/README.md) |"));
    }
}
