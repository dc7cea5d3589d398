//! Results that are kept: `target/compare/history/` has a file for each, named by its time, with
//! the commit in it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use anyhow::Result;

use crate::compare::{result::Comparison, show::json};

/// Now, UTC: `2026-01-31T12:00:00Z`.
pub(crate) fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// The commit that is checked out, with a `+` if something is changed.
pub(crate) fn commit(root: &Path) -> Option<String> {
    let git = |args: &[&str]| {
        let said = Command::new("git").arg("-C").arg(root).args(args).output().ok()?;
        said.status.success().then(|| String::from_utf8_lossy(&said.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
    Some(if changed { commit + "+" } else { commit })
}

/// Adds a result to those that are kept.
pub(crate) fn keep(comparison: &Comparison, folder: &Path) -> Result<PathBuf> {
    // A colon is no part of a file's name everywhere.
    let time = comparison.time.replace(':', "");
    let name = |nth: usize| match nth {
        0 => format!("{time}-{}.json", comparison.workload),
        nth => format!("{time}-{}-{nth}.json", comparison.workload),
    };
    fs::create_dir_all(folder)?;
    let free = (0..).map(|nth| folder.join(name(nth))).find(|path| !path.exists());
    let path = free.unwrap_or_else(|| folder.join(name(0)));
    json::write(comparison, &path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{compare::result::example, process::family::alone};

    #[test]
    fn no_result_takes_the_place_of_another() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("history");
        let paths = [(); 3].map(|()| keep(&example::comparison(), &folder).unwrap());
        let names = paths.map(|path| path.file_name().unwrap().to_string_lossy().into_owned());
        let expected = [
            "2026-01-31T120000Z-grep.json",
            "2026-01-31T120000Z-grep-1.json",
            "2026-01-31T120000Z-grep-2.json",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_time_is_what_everybody_writes() {
        assert_eq!(now().len(), "2026-01-31T12:00:00Z".len());
    }

    #[test]
    fn where_there_is_no_repository_there_is_no_commit() {
        let _alone = alone();
        assert_eq!(commit(tempfile::tempdir().unwrap().path()), None);
    }
}
