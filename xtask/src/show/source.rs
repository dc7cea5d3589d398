//! A source file as `show` displays it: its lines, and the parts that its anchors mark.

use std::{fs, path::Path, rc::Rc};

use anyhow::{Context, Result};
use unicode_width::UnicodeWidthChar;

use super::highlight::{Tokens, highlight};

/// Width of a tab.
const TAB: usize = 4;

/// A source file.
pub struct Source {
    /// The model and the path.
    pub title: String,
    /// The lines, without those of the anchors.
    pub lines: Vec<Line>,
}

/// A line of a source file.
#[derive(Clone, Debug)]
pub struct Line {
    /// The number in the file, from 1.
    pub number: usize,
    /// The part that the line belongs to, such as `work`.
    pub part: Option<Rc<str>>,
    /// The text, for comparisons.
    pub text: String,
    /// The text in tokens, for highlighting.
    pub spans: Tokens,
}

impl Source {
    /// Reads a model's file for a workload.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(root: &Path, path: &Path, model: &str, workload: &str) -> Result<Self> {
        let text = fs::read_to_string(root.join(path)).with_context(|| path.display().to_string())?;
        Ok(Self { title: format!("{model}  {}", path.display()), lines: lines(&text, workload) })
    }

    /// The names of the parts, in the order of the file.
    pub(super) fn parts(&self) -> Vec<Rc<str>> {
        let mut parts: Vec<_> = self.lines.iter().filter_map(|line| line.part.clone()).collect();
        parts.dedup();
        parts
    }

    /// Removes all lines outside of these parts, and inserts a blank line between two parts.
    pub(super) fn retain_parts(&mut self, parts: &[String]) {
        let mut retained: Vec<Line> = Vec::new();
        for line in self.lines.drain(..) {
            if !line.part.as_deref().is_some_and(|part| parts.iter().any(|wanted| wanted == part)) {
                continue;
            }
            if retained.last().is_some_and(|last| last.part != line.part) {
                let number = line.number - 1; // the line of the anchor
                retained.push(Line { number, part: None, text: String::new(), spans: Vec::new() });
            }
            retained.push(line);
        }
        self.lines = retained;
    }
}

/// The lines of a text, without those of the anchors.
fn lines(text: &str, workload: &str) -> Vec<Line> {
    let plain: Vec<String> = text.lines().map(printable).collect();
    let spans = highlight(&plain.join("\n"));
    let mut part: Option<Rc<str>> = None;
    let mut lines = Vec::new();
    for (at, (text, spans)) in plain.into_iter().zip(spans).enumerate() {
        if let Some(name) = text.trim().strip_prefix("// ANCHOR: ") {
            let short = name.strip_prefix(workload).and_then(|name| name.strip_prefix('-'));
            part = Some(short.unwrap_or(name).into());
        } else if text.trim().starts_with("// ANCHOR_END: ") {
            part = None;
        } else {
            lines.push(Line { number: at + 1, part: part.clone(), text, spans });
        }
    }
    lines
}

/// Replaces tabs by spaces, and control characters by a visible character, so that a terminal does
/// not interpret them.
fn printable(line: &str) -> String {
    let mut text = String::new();
    let mut column = 0;
    for c in line.chars() {
        match c {
            '\t' => {
                let spaces = TAB - column % TAB;
                text.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            c if c.is_control() => {
                text.push(char::REPLACEMENT_CHARACTER);
                column += 1;
            }
            c => {
                text.push(c);
                column += c.width().unwrap_or(0);
            }
        }
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn source(text: &str) -> Source {
        Source { title: "model  path".to_owned(), lines: lines(text, "sum") }
    }

    const TEXT: &str = "use x;\n// ANCHOR: sum-run\nfn run() {}\n// ANCHOR_END: sum-run\n\n\
                        // ANCHOR: sum-work\nfn work() {}\n// ANCHOR_END: sum-work\n";

    fn shown(source: &Source) -> Vec<(usize, &str)> {
        source.lines.iter().map(|line| (line.number, line.text.as_str())).collect()
    }

    #[test]
    fn anchors_name_the_parts_and_are_not_shown() {
        let mut source = source(TEXT);
        assert_eq!(source.parts().iter().map(|part| &**part).collect::<Vec<_>>(), ["run", "work"]);
        assert_eq!(shown(&source), [(1, "use x;"), (3, "fn run() {}"), (5, ""), (7, "fn work() {}")]);
        source.retain_parts(&["run".to_owned(), "work".to_owned()]);
        assert_eq!(shown(&source), [(3, "fn run() {}"), (6, ""), (7, "fn work() {}")]);
        source.retain_parts(&["work".to_owned()]);
        assert_eq!(shown(&source).last(), Some(&(7, "fn work() {}")));
    }

    #[test]
    fn tabs_become_spaces_and_control_characters_visible() {
        assert_eq!(printable("a\tb\t\tc"), "a   b       c");
        assert_eq!(printable("日\t|"), "日  |");
        assert_eq!(printable("\u{1b}[2J"), "\u{fffd}[2J");
    }
}
