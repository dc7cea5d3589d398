//! Import cycles among the modules of a folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

/// The folders whose modules must not import each other in a cycle, with the modules that are still
/// in one. A module is removed from the list when its cycle has been resolved; none is added.
const FOLDERS: [(&str, &[&str]); 2] = [("xtask/src", &[]), ("crates/cc-distributed/src/cluster", &[])];

/// Cycles that are not allowed, and modules that are listed although they are in no cycle.
pub(super) fn cycles(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for (folder, allowed) in FOLDERS {
        let modules = Modules::read(&root.join(folder), folder)?;
        problems.extend(judge(folder, &modules.in_cycles(), allowed));
    }
    Ok(problems)
}

/// The problems with the cycles of a folder. A cycle is a set of modules.
fn judge(folder: &str, cycles: &[BTreeSet<String>], allowed: &[&str]) -> Vec<String> {
    let is_allowed = |module: &String| allowed.contains(&module.as_str());
    let mut problems = Vec::new();
    for cycle in cycles.iter().filter(|cycle| !cycle.iter().all(is_allowed)) {
        let modules: Vec<&str> = cycle.iter().map(String::as_str).collect();
        problems.push(format!("{folder}: these modules use each other in a cycle: {}", modules.join(", ")));
    }
    for module in allowed {
        if !cycles.iter().flatten().any(|one| one == module) {
            problems.push(format!(
                "{folder}: {module} is in no cycle; remove it from the list in xtask/src/tidy/imports.rs"
            ));
        }
    }
    problems
}

/// The modules below a folder.
struct Modules {
    /// The path of the folder's own module below `crate::`.
    prefix: Vec<String>,
    /// The text of each module, by its path in the folder, such as `plan::build`. The path of the
    /// folder's own module is empty.
    texts: BTreeMap<String, String>,
}

impl Modules {
    fn read(at: &Path, folder: &str) -> Result<Self> {
        let (_, prefix) = folder.split_once("/src").unwrap_or_default();
        let prefix = prefix.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let mut texts = BTreeMap::new();
        let mut folders = vec![(at.to_owned(), Vec::new())];
        while let Some((folder, path)) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let file: PathBuf = entry?.path();
                let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                if file.is_dir() {
                    folders.push((file, [path.clone(), vec![stem]].concat()));
                } else if file.extension().is_some_and(|end| end == "rs") && stem != "tests" {
                    let is_folders_own = ["mod", "lib"].contains(&stem.as_str());
                    let path =
                        if is_folders_own { path.clone() } else { [path.clone(), vec![stem]].concat() };
                    texts.insert(path.join("::"), fs::read_to_string(&file)?);
                }
            }
        }
        Ok(Self { prefix, texts })
    }

    /// The sets of modules that import each other, directly or indirectly.
    fn in_cycles(&self) -> Vec<BTreeSet<String>> {
        let uses: BTreeMap<&str, BTreeSet<String>> =
            self.texts.keys().map(|module| (module.as_str(), self.used(module))).collect();
        let reached = |from: &str| {
            let mut reached = BTreeSet::new();
            let mut next: Vec<&str> = vec![from];
            while let Some(module) = next.pop() {
                for used in &uses[module] {
                    if reached.insert(used.clone()) {
                        next.push(used);
                    }
                }
            }
            reached
        };
        let all: BTreeMap<&str, BTreeSet<String>> =
            uses.keys().map(|module| (*module, reached(module))).collect();
        let mut cycles: Vec<BTreeSet<String>> = Vec::new();
        for (module, reached) in &all {
            let is_mutual = |other: &&String| all[other.as_str()].contains(*module);
            let cycle: BTreeSet<String> = reached.iter().filter(is_mutual).cloned().collect();
            if !cycle.is_empty() && !cycles.contains(&cycle) {
                cycles.push(cycle);
            }
        }
        cycles
    }

    /// The other modules that a module imports, not counting its tests.
    fn used(&self, module: &str) -> BTreeSet<String> {
        let text = &self.texts[module];
        let text = without_tests(text);
        let own: Vec<&str> = module.split("::").filter(|part| !part.is_empty()).collect();
        let mut used = BTreeSet::new();
        let mut is_of_tests = false;
        for statement in text.split_inclusive(';') {
            let Some(at) = start_of_use(statement) else { continue };
            is_of_tests |= statement[..at].trim_end().ends_with("#[cfg(test)]");
            let import: String = statement[at..].trim_start_matches("use ").split_whitespace().collect();
            for path in flattened(import.trim_end_matches(';')) {
                if let Some(target) =
                    self.resolved(&path, &own).filter(|target| *target != module && !is_of_tests)
                {
                    used.insert(target);
                }
            }
            is_of_tests = false;
        }
        used
    }

    /// The module that a path names: the longest prefix that is a module. `None` if there is none
    /// in this folder.
    fn resolved(&self, path: &[String], own: &[&str]) -> Option<String> {
        let mut names: Vec<&str> = path.iter().map(String::as_str).collect();
        let mut at: Vec<&str> = own.to_vec();
        match names.first().copied()? {
            "crate" => {
                at.clear();
                names = names.split_off(1);
                if !self.prefix.iter().zip(&names).all(|(one, other)| one == other)
                    || names.len() < self.prefix.len()
                {
                    return None;
                }
                names = names.split_off(self.prefix.len());
            }
            "self" => {
                names.remove(0);
            }
            "super" => {
                while names.first() == Some(&"super") {
                    at.pop()?;
                    names.remove(0);
                }
            }
            // A child of this module, or another crate.
            _ => {}
        }
        let full = [at.clone(), names].concat();
        let candidates = (at.len()..=full.len()).rev().map(|length| full[..length].join("::"));
        let is_relative = !matches!(path[0].as_str(), "crate" | "super" | "self");
        candidates
            .filter(|module| !is_relative || module.len() > own.join("::").len())
            .find(|module| self.texts.contains_key(module))
    }
}

/// The text before its module of tests.
fn without_tests(text: &str) -> &str {
    let is_tests = |at: &usize| {
        let after = text[at + TESTS.len()..].lines().next().unwrap_or_default();
        after.ends_with("mod tests {") || after.ends_with("mod tests;")
    };
    let tests = text.match_indices(TESTS).map(|(at, _)| at).find(is_tests);
    &text[..tests.unwrap_or(text.len())]
}

/// The line before a module of tests.
const TESTS: &str = "#[cfg(test)]\n";

/// The position of the `use` with which the last statement of the text begins.
fn start_of_use(statement: &str) -> Option<usize> {
    let starts = statement.match_indices("use ").map(|(at, _)| at);
    let is_keyword = |at: &usize| {
        let before = statement[..*at].rsplit('\n').next().unwrap_or_default().trim_start();
        before.is_empty() || (before.starts_with("pub") && !before.contains("//"))
    };
    starts.filter(is_keyword).last()
}

/// The paths of an import: `a::b` and `a::c::d` for `a::{b, c::d}`.
fn flattened(import: &str) -> Vec<Vec<String>> {
    let (prefix, group) = match import.split_once('{') {
        Some((prefix, group)) => (prefix, group.strip_suffix('}').unwrap_or(group)),
        None => return vec![import.split("::").map(str::to_owned).collect()],
    };
    let prefix: Vec<String> = prefix.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let (mut depth, mut from, mut parts) = (0, 0, Vec::new());
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&group[from..]);
    let parts = parts.into_iter().filter(|part| !part.is_empty());
    parts.flat_map(flattened).map(|path| [prefix.clone(), path].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(texts: &[(&str, &str)]) -> Modules {
        let text = |&(module, text): &(&str, &str)| (module.to_owned(), text.to_owned());
        Modules { prefix: Vec::new(), texts: texts.iter().map(text).collect() }
    }

    #[test]
    fn a_cycle_is_found_through_groups_and_relative_and_absolute_paths() {
        let all = modules(&[
            ("", "mod a;\nmod b;\nmod c;\nuse a::b::{self, C};\nfn f() {}"),
            ("a", "//! Doc: use it.\nuse std::fs;\n\nuse crate::{b::{x, Y}, c};\n"),
            ("b", "use super::{\n    c::{Z},\n};\n"),
            ("c", "fn f() {}\npub(crate) use crate::a::F;\n"),
            ("d", "use super::a;\n\n#[cfg(test)]\npub(super) mod tests {\n    use super::super::e;\n}\n"),
            ("e", "use super::d;\n"),
        ]);
        let cycle: BTreeSet<String> = ["a", "b", "c"].map(str::to_owned).into();
        assert_eq!(all.in_cycles(), [cycle]);
    }

    #[test]
    fn a_listed_module_must_be_in_a_cycle() {
        let cycle: BTreeSet<String> = ["a", "b"].map(str::to_owned).into();
        let judged = |allowed: &[&str]| judge("f", std::slice::from_ref(&cycle), allowed);
        assert!(judged(&["a", "b"]).is_empty());
        assert_eq!(judged(&["a"]), ["f: these modules use each other in a cycle: a, b"]);
        assert_eq!(
            judged(&["a", "b", "c"]),
            ["f: c is in no cycle; remove it from the list in xtask/src/tidy/imports.rs"]
        );
    }

    #[test]
    fn a_folder_of_a_crate_resolves_absolute_paths() {
        let texts = [("", ""), ("a", "use crate::cluster::b::X;\nuse crate::a;"), ("b", "use crate::kv::a;")];
        let all = Modules { prefix: vec!["cluster".to_owned()], ..modules(&texts) };
        assert_eq!((all.used("a"), all.used("b")), (BTreeSet::from(["b".to_owned()]), BTreeSet::new()));
    }

    #[test]
    fn an_item_of_a_parent_is_an_import_of_the_parent() {
        let all = modules(&[
            ("", ""),
            ("a", "pub struct S;"),
            ("a::b", "use super::S;\nuse super::c::T;"),
            ("a::c", ""),
        ]);
        let expected: BTreeSet<String> = ["a", "a::c"].map(str::to_owned).into();
        assert_eq!(all.used("a::b"), expected);
    }
}
