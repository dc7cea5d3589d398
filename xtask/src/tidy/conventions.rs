//! The conventions for words, line widths, the order of parts, and the READMEs of the crates.
//!
//! Words and widths are checked in all Rust, Markdown and TOML files, and in the templates for
//! them.

use std::{fs, ops::Range, path::Path};

use anyhow::{Context, Result};
use unicode_width::UnicodeWidthStr;

use super::all_files;
use crate::models::folders;

/// Words that are never used, with the reason and with what to write instead.
struct Banned {
    words: &'static [&'static str],
    reason: &'static str,
    instead: &'static str,
}

const BANNED: [Banned; 6] = [
    Banned {
        words: &["nobody", "somebody", "anyone", "whoever"],
        reason: "is a person, and the subject is a thread, a process or a socket",
        instead: "the noun: no thread, a client, any worker that",
    },
    Banned { words: &["he", "his", "him"], reason: "is a person", instead: "it, its, or the noun" },
    Banned { words: &["anew"], reason: "is old-fashioned", instead: "again, or for each one" },
    Banned { words: &["dear"], reason: "is old-fashioned for costly", instead: "expensive" },
    Banned {
        words: &["so many", "in vain"],
        reason: "is translated word by word",
        instead: "the maximum or the number of something; without effect",
    },
    Banned {
        words: &["whatever"],
        reason: "hides which cases are meant",
        instead: "the cases, or any, regardless of",
    },
];

/// Files in which these words may occur: the list itself, and texts that are data.
const EXEMPT: [&str; 4] = ["tidy/conventions.rs", "/inputs.rs", "/corpus.rs", "/corpus/"];

/// The folder of expected outputs in tests, which are not checked at all.
const SNAPSHOTS: &str = "/snapshots/";

/// Maximum width of a line of a comment or a page.
const WIDTH: usize = 100;

/// The parts of a workload's file that have a fixed order.
const ORDER: [&str; 4] = ["run", "feed", "work", "gather"];

/// Words that are never used, and lines that are too long.
pub(super) fn language(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for path in all_files(root)? {
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let name_without_in = name.strip_suffix(".in").unwrap_or(&name);
        let Some((_, kind @ ("rs" | "md" | "toml"))) = name_without_in.rsplit_once('.') else { continue };
        if name.contains(SNAPSHOTS) {
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| name.clone())?;
        if !EXEMPT.iter().any(|exempt| name.contains(exempt)) {
            let found = banned(&text).into_iter().map(|problem| format!("{name}:{problem}"));
            problems.extend(found);
        }
        let too_long = match kind {
            "rs" => long_comments(&text),
            "md" => long_prose(&text),
            _ => Vec::new(),
        };
        problems.extend(too_long.iter().map(|line| format!("{name}:{line}: ends after column {WIDTH}")));
    }
    Ok(problems)
}

/// The banned words of a text: `LINE: "WORD" REASON: write INSTEAD`.
fn banned(text: &str) -> Vec<String> {
    let words = words(text);
    let mut found = Vec::new();
    for Banned { words: banned, reason, instead } in BANNED {
        for phrase in banned {
            let parts: Vec<&str> = phrase.split(' ').collect();
            for window in words.windows(parts.len()) {
                let is_phrase = window.iter().zip(&parts).all(|(word, part)| word.is(text, part));
                if is_phrase && is_unbroken(text, window) {
                    let message = format!("{}: \"{phrase}\" {reason}: write {instead}", window[0].line);
                    found.push((window[0].line, message));
                }
            }
        }
    }
    found.sort();
    found.into_iter().map(|(_, message)| message).collect()
}

/// A word of a text.
struct Word {
    /// The number of its line, from 1.
    line: usize,
    bytes: Range<usize>,
}

impl Word {
    fn is(&self, text: &str, other: &str) -> bool {
        text[self.bytes.clone()].eq_ignore_ascii_case(other)
    }
}

/// The words of a text. A name with underscores, such as `he_said`, is one word.
fn words(text: &str) -> Vec<Word> {
    let is_letter = |c: char| c.is_alphanumeric() || c == '_';
    let (mut words, mut line, mut start) = (Vec::new(), 1, None);
    for (at, c) in text.char_indices() {
        if is_letter(c) {
            start.get_or_insert(at);
        } else if let Some(start) = start.take() {
            words.push(Word { line, bytes: start..at });
        }
        line += usize::from(c == '\n');
    }
    words.extend(start.map(|start| Word { line, bytes: start..text.len() }));
    words
}

/// Whether there is nothing but space between these words. They may be on two lines of a comment.
fn is_unbroken(text: &str, words: &[Word]) -> bool {
    words.windows(2).all(|pair| {
        let gap = &text[pair[0].bytes.end..pair[1].bytes.start];
        let is_comment = |c: char| gap.contains('\n') && "/!#".contains(c);
        gap.chars().all(|c| c.is_whitespace() || is_comment(c))
    })
}

/// The numbers of the comment lines of a Rust source that are too long.
fn long_comments(text: &str) -> Vec<usize> {
    let is_long = |line: &str| {
        line.trim_start().starts_with("//") && line.width() > WIDTH && !is_link(comment_text(line))
    };
    numbered(text).filter(|(_, line)| is_long(line)).map(|(number, _)| number).collect()
}

/// A comment line without its marker.
fn comment_text(line: &str) -> &str {
    line.trim_start().trim_start_matches(['/', '!']).trim()
}

/// The numbers of the lines of a page that are too long, without tables, code and links.
fn long_prose(text: &str) -> Vec<usize> {
    let (mut long, mut is_code) = (Vec::new(), false);
    for (number, line) in numbered(text) {
        let content = line.trim();
        if content.starts_with("```") {
            is_code = !is_code;
        }
        let is_exempt = is_code || line.starts_with("    ") || content.starts_with('|') || is_link(content);
        if line.width() > WIDTH && !is_exempt {
            long.push(number);
        }
    }
    long
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(at, line)| (at + 1, line))
}

/// Whether a line has nothing but a link, which cannot be broken.
fn is_link(line: &str) -> bool {
    let line = line.trim_start_matches(['-', '*']).trim();
    let is_markdown = line.starts_with('[') && (line.contains("]: ") || line.matches("](").count() == 1);
    let is_url = line.contains("://") && !line.contains(' ');
    is_url || is_markdown && line.trim_end_matches(['.', ',', ';', ':']).ends_with(')')
}

/// What is wrong with the order of the parts that a workload's file shows.
pub(super) fn order(source: &str, workload: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut last: Option<usize> = None;
    let mut types: Vec<String> = Vec::new();
    for line in source.lines() {
        let part = line.strip_prefix("// ANCHOR: ").and_then(|name| part(name, workload));
        if let Some(part) = part {
            if let Some(last) = last {
                if part < last {
                    problems.push(format!("{} comes after {}", ORDER[part], ORDER[last]));
                }
                let between = types.drain(..).map(|name| {
                    format!("{name} is between {} and {}; types come last", ORDER[last], ORDER[part])
                });
                problems.extend(between);
            }
            last = Some(part);
        }
        let is_end =
            line.strip_prefix("// ANCHOR_END: ").and_then(|name| self::part(name, workload)).is_some();
        if is_end {
            types.clear();
        }
        types.extend(type_name(line));
    }
    problems
}

/// The index in [`ORDER`] of the part that an anchor marks.
fn part(anchor: &str, workload: &str) -> Option<usize> {
    let part = anchor.strip_prefix(workload)?.strip_prefix('-')?;
    ORDER.iter().position(|name| *name == part)
}

/// The type that a line at the top level defines.
fn type_name(line: &str) -> Option<String> {
    let line = match line.strip_prefix("pub") {
        Some(line) if line.starts_with('(') => line.split_once(") ")?.1,
        Some(line) => line.trim_start(),
        None => line,
    };
    let (keyword, definition) = line.split_once(' ')?;
    let is_type = ["struct", "enum", "type", "trait"].contains(&keyword);
    let name = || definition.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    is_type.then(name)
}

/// READMEs of crates without a link to the contract, or without a glossary.
pub(super) fn readmes(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for name in folders(&root.join("crates"))? {
        let page = format!("crates/{name}/README.md");
        // `links` reports a page that does not exist.
        let Ok(text) = fs::read_to_string(root.join(&page)) else { continue };
        if !text.contains(&format!("]({CONTRACT})")) {
            problems.push(format!("{page}: there is no link to {CONTRACT}"));
        }
        if !text.lines().any(|line| line == GLOSSARY) {
            problems.push(format!("{page}: there is no {GLOSSARY:?}"));
        }
    }
    Ok(problems)
}

/// The contract, from the folder of a crate.
const CONTRACT: &str = "../../workloads/core/src/contract.rs";
/// The heading of a crate's glossary.
const GLOSSARY: &str = "## Glossary";

#[cfg(test)]
mod tests {
    use super::{super::tests::tree, *};

    #[test]
    fn banned_words_are_found_as_whole_words() {
        let lines = |text: &str| -> Vec<String> {
            let lines = banned(text).into_iter();
            lines.map(|line| line.split(" is").next().unwrap().to_owned()).collect()
        };
        assert_eq!(lines("a\nNobody waits\n"), ["2: \"nobody\""]);
        assert_eq!(lines("// So many\n// of him.\n"), ["1: \"so many\"", "2: \"him\""]);
        assert_eq!(lines("/// waits in\n/// vain\n"), ["1: \"in vain\""]);
        assert!(lines("the history of what_he_said, so. Many are here").is_empty());
        let message = banned("It is dear.");
        assert_eq!(message, ["1: \"dear\" is old-fashioned for costly: write expensive"]);
    }

    #[test]
    fn data_and_other_kinds_of_files_may_have_any_words() {
        let files = [
            ("workloads/sum/src/inputs.rs", "const WORD: &str = \"nobody\";"),
            ("tests/sum/corpus.rs", "// nobody"),
            ("LICENSE", "to whoever"),
            ("crates/a/src/lib.rs", "//! nobody"),
            ("xtask/templates/a.rs.in", "//! anew"),
            ("target/a.rs", "// nobody"),
            ("xtask/src/snapshots/a.md", "nobody"),
        ];
        let problems = language(tree(&files).path()).unwrap();
        let places: Vec<&str> = problems.iter().map(|problem| problem.split(": ").next().unwrap()).collect();
        assert_eq!(places, ["crates/a/src/lib.rs:1", "xtask/templates/a.rs.in:1"]);
    }

    #[test]
    fn long_comments_are_found_and_code_and_links_are_not() {
        let long = "x".repeat(100);
        let source =
            format!("// {long}\n    /// a {long}\nlet a = \"{long}\"; // b\n// https://a.org/{long}\n");
        assert_eq!(long_comments(&source), [1, 2]);
        assert!(long_comments(&format!("// {}", "é".repeat(97))).is_empty());
    }

    #[test]
    fn long_prose_is_found_and_tables_code_and_links_are_not() {
        let long = "word ".repeat(25);
        let page = format!(
            "{long}\n| {long} |\n```\n{long}\n```\n    {long}\n[{long}](a.md).\n[a]: {long}b)\n- {long}\n"
        );
        assert_eq!(long_prose(&page), [1, 9]);
    }

    fn anchored(parts: &[&str]) -> String {
        let part = |part: &&str| match part.strip_prefix('+') {
            Some(definition) => format!("{definition}\n"),
            None => format!("// ANCHOR: sum-{part}\nfn {part}() {{}}\n// ANCHOR_END: sum-{part}\n"),
        };
        parts.iter().map(part).collect()
    }

    #[test]
    fn parts_come_in_their_order_and_types_last() {
        let order = |parts: &[&str]| order(&anchored(parts), "sum");
        assert!(order(&["+struct A;", "run", "work", "gather", "+pub(crate) enum B {}"]).is_empty());
        assert!(order(&["run", "+fn a() {}", "plan", "work"]).is_empty());
        assert_eq!(order(&["run", "gather", "feed"]), ["feed comes after gather"]);
        assert_eq!(
            order(&["run", "+pub(crate) struct A {", "feed", "work", "+type B = u8;", "gather"]),
            ["A is between run and feed; types come last", "B is between work and gather; types come last"]
        );
    }

    #[test]
    fn a_readme_links_the_contract_and_has_a_glossary() {
        let complete = format!("[contract]({CONTRACT})\n\n{GLOSSARY}\n");
        let files =
            [("crates/cc-threads/README.md", complete.as_str()), ("crates/cc-procs/README.md", "# p\n")];
        let expected = [
            format!("crates/cc-procs/README.md: there is no link to {CONTRACT}"),
            format!("crates/cc-procs/README.md: there is no {GLOSSARY:?}"),
        ];
        assert_eq!(readmes(tree(&files).path()).unwrap(), expected);
    }
}
