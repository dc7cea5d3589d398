//! The history of results: `target/compare/history/` has one file per result, named by its time,
//! with the commit inside.

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

/// The commit that is checked out, with a `+` if tracked files have been modified.
pub(crate) fn commit(root: &Path) -> Option<String> {
    let git = |args: &[&str]| {
        let output = Command::new("git").arg("-C").arg(root).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
    Some(if changed { commit + "+" } else { commit })
}

/// Adds a result to the history.
pub(crate) fn append(comparison: &Comparison, folder: &Path) -> Result<PathBuf> {
    // Some file systems do not allow a colon in a file name.
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
    use crate::{compare::result::example, process::guard::exclusive};

    #[test]
    fn no_result_replaces_another() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("history");
        let paths = [(); 3].map(|()| append(&example::comparison(), &folder).unwrap());
        let names = paths.map(|path| path.file_name().unwrap().to_string_lossy().into_owned());
        let expected = [
            "2026-01-31T120000Z-grep.json",
            "2026-01-31T120000Z-grep-1.json",
            "2026-01-31T120000Z-grep-2.json",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_time_is_written_as_rfc_3339() {
        assert_eq!(now().len(), "2026-01-31T12:00:00Z".len());
    }

    #[test]
    fn without_a_repository_there_is_no_commit() {
        let _exclusive = exclusive();
        assert_eq!(commit(tempfile::tempdir().unwrap().path()), None);
    }
}
