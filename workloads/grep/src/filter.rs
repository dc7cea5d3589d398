//! `--include`, `--exclude` and `--exclude-dir`: which files and directories are left out.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{MAIN_SEPARATOR, Path},
};

use cc_core::error::{Error, Result};
use globset::{GlobBuilder, GlobMatcher};

/// The files and directories to leave out.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    files: Rules,
    directories: Rules,
}

/// Rules for names, in the order of the command line.
#[derive(Clone, Debug, Default)]
struct Rules(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    glob: GlobMatcher,
    /// Whether names that match are included; otherwise they are excluded.
    is_include: bool,
}

impl Filter {
    /// `--include`: searches files whose names match, and no others unless a later rule says so.
    ///
    /// # Errors
    ///
    /// The glob is not UTF-8.
    pub fn include_files(&mut self, glob: &OsStr) -> Result<()> {
        self.files.add(glob, true)
    }

    /// `--exclude`: skips files whose names match.
    ///
    /// # Errors
    ///
    /// The glob is not UTF-8.
    pub fn exclude_files(&mut self, glob: &OsStr) -> Result<()> {
        self.files.add(glob, false)
    }

    /// `--exclude-dir`: skips directories whose names match.
    ///
    /// # Errors
    ///
    /// The glob is not UTF-8.
    pub fn exclude_directories(&mut self, glob: &OsStr) -> Result<()> {
        let bytes = glob.as_bytes();
        let end = bytes.iter().rposition(|byte| *byte != b'/').map_or(bytes.len().min(1), |last| last + 1);
        self.directories.add(OsStr::from_bytes(&bytes[..end]), false)
    }

    /// Whether an entry of a directory is left out.
    pub(super) fn excludes(&self, name: &OsStr, is_dir: bool) -> bool {
        self.rules(is_dir).exclude(|glob| glob.is_match(name))
    }

    /// Whether an operand is left out. A rule matches if it matches the whole name, or what follows
    /// a slash in it.
    pub(super) fn excludes_operand(&self, operand: &Path, is_dir: bool) -> bool {
        let rules = self.rules(is_dir);
        if rules.0.is_empty() {
            return false;
        }
        let name = operand.as_os_str().as_bytes();
        let follows_slash = |at: &usize| {
            *at == 0 || (name[at - 1] == MAIN_SEPARATOR as u8 && name[*at] != MAIN_SEPARATOR as u8)
        };
        let starts: Vec<usize> = (0..name.len()).filter(follows_slash).collect();
        rules.exclude(|glob| starts.iter().any(|start| glob.is_match(OsStr::from_bytes(&name[*start..]))))
    }

    fn rules(&self, is_dir: bool) -> &Rules {
        if is_dir { &self.directories } else { &self.files }
    }
}

impl Rules {
    fn add(&mut self, glob: &OsStr, is_include: bool) -> Result<()> {
        let text = glob.to_str().ok_or_else(|| invalid(glob, "it is not UTF-8"))?;
        let built = GlobBuilder::new(&translated(text)).literal_separator(false).build();
        let glob = built.map_err(|error| invalid(glob, &error.kind().to_string()))?.compile_matcher();
        self.0.push(Rule { glob, is_include });
        Ok(())
    }

    /// The last rule that matches decides. If there is none, a name is left out if the first rule
    /// includes others.
    fn exclude(&self, matches: impl Fn(&GlobMatcher) -> bool) -> bool {
        match self.0.iter().rev().find(|rule| matches(&rule.glob)) {
            Some(rule) => !rule.is_include,
            None => self.0.first().is_some_and(|rule| rule.is_include),
        }
    }
}

fn invalid(glob: &OsStr, why: &str) -> Error {
    Error::Usage(format!("the glob {} is invalid: {why}", glob.display()))
}

/// A glob of a shell in the syntax of the library, where braces are alternatives, two asterisks
/// stand for directories, and a bracket that is not closed is an error.
fn translated(glob: &str) -> String {
    let mut text = String::with_capacity(glob.len());
    let mut chars = glob.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '*' if text.ends_with('*') && !text.ends_with(r"\*") => {}
            '\\' => {
                text.push(char);
                text.push(chars.next().map_or('\\', |(_, escaped)| escaped));
            }
            '[' => match class_length(&glob[at..]) {
                Some(length) => {
                    text += &glob[at..at + length];
                    chars = glob[at + length..].char_indices();
                    return text + &translated(chars.as_str());
                }
                None => text += r"\[",
            },
            '{' | '}' => text.extend(['\\', char]),
            _ => text.push(char),
        }
    }
    text
}

/// The length of a class in brackets at the beginning, if it is closed. A bracket that is its first
/// member does not close it.
fn class_length(glob: &str) -> Option<usize> {
    let negated = usize::from(glob[1..].starts_with(['!', '^']));
    let first = 1 + negated;
    let after_first = first + glob[first..].chars().next()?.len_utf8();
    glob[after_first..].find(']').map(|at| after_first + at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(glob: &str, name: &str) -> bool {
        let mut filter = Filter::default();
        filter.exclude_files(OsStr::new(glob)).unwrap();
        filter.excludes(OsStr::new(name), false)
    }

    #[test]
    fn a_glob_is_that_of_a_shell() {
        for (glob, name, expected) in [
            ("*.c", "a.c", true),
            ("*.c", ".c", true),
            ("*.c", "a.cc", false),
            ("**.c", "a.c", true),
            ("?", "ab", false),
            ("[a-c]", "b", true),
            ("[!a-c]x", "bx", false),
            ("[]x]", "]", true),
            ("[x", "[x", true),
            ("{a,b}", "a", false),
            ("{a,b}", "{a,b}", true),
            (r"\*", "a", false),
            (r"\*", "*", true),
            (r"a\", r"a\", true),
            ("[{]*", "{x", true),
            ("", "", true),
        ] {
            assert_eq!(matches(glob, name), expected, "{glob} {name}");
        }
    }

    #[test]
    fn the_last_rule_that_matches_decides_and_otherwise_the_first_one() {
        let mut filter = Filter::default();
        filter.include_files(OsStr::new("*.rs")).unwrap();
        filter.exclude_files(OsStr::new("a*")).unwrap();
        let excludes = |filter: &Filter, name: &str| filter.excludes(OsStr::new(name), false);
        assert_eq!(["b.rs", "a.rs", "c"].map(|name| excludes(&filter, name)), [false, true, true]);
        filter.include_files(OsStr::new("ab*")).unwrap();
        assert_eq!(["ab.rs", "a.rs", "c"].map(|name| excludes(&filter, name)), [false, true, true]);
        assert!(!filter.excludes(OsStr::new("c"), true));
    }

    #[test]
    fn an_operand_matches_from_its_beginning_or_after_a_slash() {
        let mut filter = Filter::default();
        filter.exclude_files(OsStr::new("b/c")).unwrap();
        filter.exclude_directories(OsStr::new("d//")).unwrap();
        for (operand, is_dir, expected) in
            [("a/b/c", false, true), ("b/c", false, true), ("ab/c", false, false), ("a/d", true, true)]
        {
            assert_eq!(filter.excludes_operand(Path::new(operand), is_dir), expected, "{operand}");
        }
    }
}
