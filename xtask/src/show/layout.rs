//! The layout of sources on a terminal: side by side, or one after the other.

use std::{fmt::Write as _, iter, slice};

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthChar;

use super::{
    align::{Piece, pieces, sections},
    source::{Line, Source},
};

/// A line in pieces, each with one style.
type Spans = Vec<(Style, String)>;

/// The separator of two columns.
const GAP: &str = " │ ";
/// Minimum width of a column. A narrower column would cut off too much, so the sources are shown
/// one after the other.
const NARROWEST: usize = 58;
/// Width of a line's number.
const NUMBER: usize = 4;

const TITLE: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const OLD: Style = AnsiColor::Red.on_default().bold();
const NEW: Style = AnsiColor::Green.on_default().bold();

/// The settings of the layout.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// The width of the terminal; `None` if the output is not a terminal.
    pub width: Option<usize>,
    /// Whether lines have numbers.
    pub numbers: bool,
}

/// A row of the output.
enum Row<'a> {
    /// A line of each source, or an empty cell.
    Lines(Vec<Option<Cell<'a>>>),
    /// A note across all columns.
    Note(String),
}

/// A line, and its mark in a difference.
#[derive(Clone, Copy)]
struct Cell<'a> {
    line: &'a Line,
    mark: Option<Mark>,
}

#[derive(Clone, Copy)]
enum Mark {
    Same,
    Old,
    New,
}

impl Mark {
    fn span(self) -> (Style, String) {
        let (style, sign) = match self {
            Self::Same => (FAINT, " "),
            Self::Old => (OLD, "-"),
            Self::New => (NEW, "+"),
        };
        (style, sign.to_owned())
    }
}

impl Layout {
    /// All lines of the sources.
    pub(super) fn full(&self, sources: &[Source]) -> String {
        let sections = sections(sources);
        if let Some(width) = self.column(sources.len()) {
            let rows = sections.iter().flat_map(|section| side_by_side(&section.lines, [None; 2]));
            return self.table(&titles(sources), Some(width), rows);
        }
        let one = |source: &Source| {
            let rows = source.lines.iter().map(|line| Row::Lines(vec![Some(Cell { line, mark: None })]));
            self.table(slice::from_ref(&source.title), None, rows)
        };
        sources.iter().map(one).collect::<Vec<_>>().join("\n")
    }

    /// The differences between two sources.
    pub(super) fn difference(&self, sources: &[Source; 2]) -> String {
        let width = self.column(2);
        let mut rows = Vec::new();
        for section in sections(sources) {
            let pieces = pieces(section.lines[0], section.lines[1]);
            if pieces.iter().any(|piece| matches!(piece, Piece::Changed(_))) {
                rows.extend(section.part.map(|part| Row::Note(format!("── {part}"))));
                rows.extend(pieces.iter().flat_map(|piece| changes(piece, width.is_some())));
            }
        }
        if rows.is_empty() {
            return "The sources are the same.\n".to_owned();
        }
        match (width, titles(sources)) {
            (Some(_), titles) => self.table(&titles, width, rows),
            (None, titles) => {
                self.table(&[format!("- {}", titles[0]), format!("+ {}", titles[1])], None, rows)
            }
        }
    }

    /// The width of a column, if there is room for this many side by side.
    fn column(&self, columns: usize) -> Option<usize> {
        let gaps = width(GAP) * (columns - 1);
        let share = self.width?.saturating_sub(gaps) / columns;
        (columns > 1 && share >= NARROWEST).then_some(share)
    }

    /// A table: titles, a rule, and rows. With a width, each column has its title; without one, the
    /// titles are below each other.
    fn table<'a>(
        &self,
        titles: &[String],
        width: Option<usize>,
        rows: impl IntoIterator<Item = Row<'a>>,
    ) -> String {
        let mut text = String::new();
        let title = |title: &String| cut(&vec![(TITLE, title.clone())], width);
        let rule = match width {
            Some(width) => iter::repeat_n("─".repeat(width), titles.len()).collect::<Vec<_>>().join("─┼─"),
            None => "─".repeat(titles.iter().map(|title| self::width(title)).max().unwrap_or(0)),
        };
        let between = if width.is_some() { GAP } else { "\n" };
        text += titles.iter().map(title).collect::<Vec<_>>().join(between).trim_end();
        let _ = write!(text, "\n{FAINT}{rule}{FAINT:#}\n");
        for row in rows {
            text += match row {
                Row::Note(note) => format!("{FAINT}{note}{FAINT:#}"),
                Row::Lines(cells) => {
                    let cells = cells.iter().map(|cell| self.cell(cell.as_ref(), width));
                    cells.collect::<Vec<_>>().join(GAP)
                }
            }
            .trim_end();
            text.push('\n');
        }
        text
    }

    /// A line with its number and its mark.
    fn cell(&self, cell: Option<&Cell>, width: Option<usize>) -> String {
        let mut spans = Spans::new();
        if let Some(Cell { line, mark }) = cell {
            if self.numbers {
                spans.push((FAINT, format!("{:>NUMBER$} ", line.number)));
            }
            spans.extend(mark.iter().flat_map(|mark| [mark.span(), (Style::new(), " ".to_owned())]));
            spans.extend(line.spans.iter().map(|(class, text)| (class.style(), text.clone())));
        }
        cut(&spans, width)
    }
}

fn titles(sources: &[Source]) -> Vec<String> {
    sources.iter().map(|source| source.title.clone()).collect()
}

/// Rows in which the lines of all columns are next to each other.
fn side_by_side<'a>(columns: &[&'a [Line]], marks: [Option<Mark>; 2]) -> Vec<Row<'a>> {
    let height = columns.iter().map(|lines| lines.len()).max().unwrap_or(0);
    let marks = || marks.into_iter().chain(iter::repeat(None));
    let cell =
        |at: usize| move |(lines, mark): (&&'a [Line], _)| lines.get(at).map(|line| Cell { line, mark });
    (0..height).map(|at| Row::Lines(columns.iter().zip(marks()).map(cell(at)).collect())).collect()
}

/// Rows with the lines of the first column, followed by those of the second.
fn one_after_the_other<'a>(columns: &[&'a [Line]; 2], marks: [Option<Mark>; 2]) -> Vec<Row<'a>> {
    columns.iter().zip(marks).flat_map(|(lines, mark)| side_by_side(&[lines], [mark, None])).collect()
}

/// The rows of a piece. Several lines that are the same are replaced by a note with their number.
fn changes<'a>(piece: &Piece<'a>, wide: bool) -> Vec<Row<'a>> {
    const DIFFERENT: [Option<Mark>; 2] = [Some(Mark::Old), Some(Mark::New)];
    match piece {
        Piece::Same([lines, _]) if lines.len() > 1 => {
            vec![Row::Note(format!("⋮ {} lines are the same", lines.len()))]
        }
        Piece::Same(columns) if wide => side_by_side(columns, [Some(Mark::Same); 2]),
        Piece::Same(columns) => side_by_side(&columns[..1], [Some(Mark::Same), None]),
        Piece::Changed(columns) if wide => side_by_side(columns, DIFFERENT),
        Piece::Changed(columns) => one_after_the_other(columns, DIFFERENT),
    }
}

/// The spans with their styles. With a width, the text is padded, or cut off with an ellipsis.
fn cut(spans: &Spans, width: Option<usize>) -> String {
    let needed: usize = spans.iter().map(|(_, text)| self::width(text)).sum();
    let limit = match width {
        Some(width) if needed > width => width - 1,
        _ => needed,
    };
    let (mut text, mut used) = (String::new(), 0);
    for (style, span) in spans {
        let shown = beginning(span, limit - used);
        used += self::width(shown);
        let _ = write!(text, "{style}{shown}{style:#}");
        if shown.len() < span.len() {
            break;
        }
    }
    if limit < needed {
        text.push('…');
        used += 1;
    }
    text + &" ".repeat(width.unwrap_or(0).saturating_sub(used))
}

/// The width of the text on the screen.
fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// The longest beginning of the text that is not wider than `width`.
fn beginning(text: &str, width: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += c.width().unwrap_or(0);
        used > width
    });
    &text[..end.map_or(text.len(), |(at, _)| at)]
}

#[cfg(test)]
mod tests {
    use super::{super::source::tests::source, *};

    const WIDE: Layout = Layout { width: Some(120), numbers: false };
    const NARROW: Layout = Layout { width: Some(80), numbers: false };

    fn plain(styled: &str) -> String {
        anstream::adapter::strip_str(styled).to_string()
    }

    fn two() -> [Source; 2] {
        [source("same\nsame\nold\nend\n"), source("same\nsame\nnew\nmore\nend\n")]
    }

    #[test]
    fn two_sources_are_side_by_side_if_there_is_room() {
        let text = plain(&WIDE.full(&two()));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("{:58} │ model  path", "model  path"));
        assert_eq!(lines[4], format!("{:58} │ new", "old"));
        assert_eq!(lines[6], format!("{:58} │ end", ""));
        assert_eq!(plain(&NARROW.full(&two())).matches("model  path\n").count(), 2);
        assert_eq!(NARROW.column(1), None);
        assert_eq!(Layout { width: None, numbers: false }.column(2), None);
    }

    #[test]
    fn a_difference_counts_the_lines_that_are_the_same() {
        let text = plain(&WIDE.difference(&two()));
        let body: Vec<&str> = text.lines().skip(2).collect();
        let row = |old: &str, new: &str| format!("{old:58} │ {new}");
        assert_eq!(body[0], "⋮ 2 lines are the same");
        assert_eq!(body[1..3], [row("- old", "+ new"), row("", "+ more")]);
        assert_eq!(body[3], row("  end", "  end"));
        let text = plain(&NARROW.difference(&two()));
        let body: Vec<&str> = text.lines().skip(3).collect();
        assert_eq!(body, ["⋮ 2 lines are the same", "- old", "+ new", "+ more", "  end"]);
        let [one, _] = two();
        let [other, _] = two();
        assert_eq!(NARROW.difference(&[one, other]), "The sources are the same.\n");
    }

    #[test]
    fn a_long_line_is_cut_off_at_its_width_on_the_screen() {
        let cut = |text: &str, width| plain(&cut(&vec![(Style::new(), text.to_owned())], width));
        assert_eq!(cut("abcdef", Some(6)), "abcdef");
        assert_eq!(cut("abcdefg", Some(6)), "abcde…");
        assert_eq!(cut("日本語", Some(6)), "日本語");
        assert_eq!(cut("日本語字", Some(6)), "日本… ");
        assert_eq!(cut("ab", Some(4)), "ab  ");
        assert_eq!(cut("❤\u{fe0f}❤\u{fe0f}", Some(1)), "…");
        assert_eq!(cut(&"x".repeat(500), None).len(), 500);
    }

    #[test]
    fn nothing_follows_the_ellipsis() {
        let spans = vec![(Style::new(), "日本".to_owned()), (FAINT, "abc".to_owned())];
        assert_eq!(plain(&cut(&spans, Some(4))), "日… ");
    }

    #[test]
    fn lines_have_their_numbers_in_the_file() {
        let layout = Layout { numbers: true, ..NARROW };
        let text = plain(&layout.full(&[source("// ANCHOR: sum-run\nx\n// ANCHOR_END: sum-run\n")]));
        assert!(text.ends_with("   2 x\n"), "{text}");
    }
}
