//! Counts lines of code.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use crate::compare::result::Code;

/// Counts the lines of a model's workload file, `src/<workload>.rs` or
/// `src/<variant>/<workload>.rs`, and of the mechanism: the other files in the same folder, and
/// those in `cluster`.
pub(crate) fn count(crate_dir: &Path, model: &str, workload: &str, workloads: &[String]) -> io::Result<Code> {
    let src = crate_dir.join("src");
    let reference = crate_dir.join(workload).join("src/sequential.rs");
    if reference.exists() {
        return Ok(Code { workload: lines(&fs::read_to_string(reference)?), mechanism: 0 });
    }
    let file = format!("{workload}.rs");
    let variant = variant(&src, model).filter(|folder| folder.join(&file).exists());
    let folder = variant.as_deref().unwrap_or(&src);
    let mut code = Code { workload: lines(&fs::read_to_string(folder.join(&file))?), mechanism: 0 };
    let mut mechanism = sources(folder)?;
    if variant.is_none() {
        mechanism.extend(sources(&src.join("cluster"))?);
    }
    for path in mechanism {
        let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        if !["lib", "main", "mod"].contains(&stem) && !workloads.iter().any(|workload| workload == stem) {
            code.mechanism += lines(&fs::read_to_string(path)?);
        }
    }
    Ok(code)
}

/// The folder of a variant: `rayon`, or `single` for `async-single`.
fn variant(src: &Path, model: &str) -> Option<PathBuf> {
    let short = model.split_once('-').map_or(model, |(_, short)| short);
    [model, short].into_iter().map(|name| src.join(name)).find(|folder| folder.is_dir())
}

fn sources(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let paths = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let is_source = |path: &io::Result<PathBuf>| {
        path.as_ref().map_or(true, |path| path.extension().is_some_and(|extension| extension == "rs"))
    };
    paths.filter(is_source).collect()
}

/// The number of lines of code in a Rust source, without blank lines, comments and tests. Tests are
/// at the end of a file, or the whole file.
fn lines(source: &str) -> usize {
    let is_code =
        |line: &&str| !["#[cfg(test)]", "#![cfg(test)]"].iter().any(|tests| line.starts_with(tests));
    let code = source.lines().take_while(is_code);
    code.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_blank_lines_and_tests_do_not_count() {
        let source =
            "//! Why.\n\nfn a() {\n    // Because.\n    b(); // so\n}\n\n#[cfg(test)]\nmod tests {}\n";
        assert_eq!(lines(source), 3);
        assert_eq!(lines("//! Fixtures.\n\n#![cfg(test)]\n\nfn a() {}\n"), 0);
    }

    #[test]
    fn a_variant_has_its_own_folder_and_mechanism() {
        let scratch = tempfile::tempdir().unwrap();
        let write = |path: &str, lines: usize| {
            let path = scratch.path().join("src").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x();\n".repeat(lines)).unwrap();
        };
        for (path, lines) in [("lib.rs", 1), ("main.rs", 1), ("grep.rs", 5), ("sort.rs", 3), ("pool.rs", 20)]
        {
            write(path, lines);
        }
        for (path, lines) in [("cluster/queue.rs", 100), ("single/grep.rs", 7), ("single/mod.rs", 1)] {
            write(path, lines);
        }
        let code =
            |model| count(scratch.path(), model, "grep", &["grep", "sort"].map(str::to_owned)).unwrap();
        assert_eq!(code("async"), Code { workload: 5, mechanism: 120 });
        assert_eq!(code("async-single"), Code { workload: 7, mechanism: 0 });
    }
}
