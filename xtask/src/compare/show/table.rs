//! The table: as plain text for a terminal, and as Markdown.

use std::fmt::Write;

use terminal_size::terminal_size_of;
use unicode_width::UnicodeWidthStr;

use crate::compare::{
    result::{Against, Comparison, Kind},
    show::{
        columns::{Column, TEXT, cells, columns},
        notes::{TITLE, heading, notes},
    },
    stats::scaling,
};

/// Between two columns.
const GAP: &str = "  ";
/// Minimum width of the table's notes.
const NARROWEST: usize = 40;

/// The width of the terminal, or what `COLUMNS` says; `None` (no limit) if standard output is not a
/// terminal.
pub(crate) fn width() -> Option<usize> {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    columns.or_else(|| terminal_size_of(std::io::stdout()).map(|(width, _)| width.0.into()))
}

/// The table with its notes as plain text, with as many columns as fit into `width`.
pub(crate) fn text(comparison: &Comparison, width: Option<usize>) -> String {
    let columns = columns(comparison);
    let rows: Vec<Vec<String>> = comparison.rows.iter().map(|row| cells(&columns, row)).collect();
    let widths = fitting(widths(&columns, &rows), width);
    let rule = "─".repeat(total(&widths));
    let titles = line(&widths, columns.iter().map(|column| column.title));
    let units = line(&widths, columns.iter().map(|column| column.unit));
    let mut table = format!("{titles}\n{units}\n{rule}\n");
    let mut was_tool = false;
    for (row, cells) in comparison.rows.iter().zip(&rows) {
        if row.kind == Kind::Tool && !was_tool {
            was_tool = true;
            let _ = writeln!(table, "{rule}");
        }
        let mut label = cells[0].lines();
        let mut first: Vec<&str> = cells.iter().map(String::as_str).collect();
        first[0] = label.next().unwrap_or_default();
        let _ = writeln!(table, "{}", line(&widths, first));
        label.for_each(|more| table += &format!("{more}\n"));
    }
    let width = width.unwrap_or_else(|| total(&widths)).max(NARROWEST);
    let left_out: Vec<&str> = columns[widths.len()..].iter().map(|column| column.title).collect();
    let notes: Vec<String> = notes(comparison, &left_out).iter().map(|note| wrapped(note, width)).collect();
    let more: Vec<String> =
        more(comparison).iter().map(|cells| format!("\n{}", aligned(&narrowed(cells, width), 1))).collect();
    let more = more.concat() + if more.is_empty() { "" } else { "\n" };
    format!("{}\n\n{table}{rule}\n{more}{}", wrapped(&heading(comparison), width), notes.join("\n"))
}

/// The optional tables: scaling, and changes since the baseline.
fn more(comparison: &Comparison) -> Vec<Vec<Vec<String>>> {
    let against = comparison.baseline.as_ref().map(Against::cells);
    [scaling::cells(&comparison.scaling), against].into_iter().flatten().collect()
}

/// The cells without the columns on the right that do not fit.
fn narrowed(rows: &[Vec<String>], room: usize) -> Vec<Vec<String>> {
    let mut rows = rows.to_vec();
    let widest = |rows: &[Vec<String>], at: usize| rows.iter().map(|row| row[at].width()).max().unwrap_or(0);
    let width =
        |rows: &[Vec<String>]| total(&(0..rows[0].len()).map(|at| widest(rows, at)).collect::<Vec<_>>());
    while rows[0].len() > 2 && width(&rows) > room {
        rows.iter_mut().for_each(|row| row.truncate(row.len() - 1));
    }
    rows
}

/// The width that each column needs. The second line of a label may run across all columns.
fn widths(columns: &[Column], rows: &[Vec<String>]) -> Vec<usize> {
    let first = |cell: &str| cell.lines().next().map_or(0, UnicodeWidthStr::width);
    let width = |(at, column): (usize, &Column)| {
        let cells = rows.iter().map(|row| first(&row[at]));
        cells.chain([column.title.width(), column.unit.width()]).max().unwrap_or(0)
    };
    columns.iter().enumerate().map(width).collect()
}

/// The widths of the columns that fit; the text columns and one more always stay.
fn fitting(mut widths: Vec<usize>, room: Option<usize>) -> Vec<usize> {
    while room.is_some_and(|room| total(&widths) > room) && widths.len() > TEXT + 1 {
        widths.pop();
    }
    widths
}

fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP.len() * widths.len().saturating_sub(1)
}

/// A line of padded cells, as many as there are widths.
fn line<'a>(widths: &[usize], cells: impl IntoIterator<Item = &'a str>) -> String {
    let padded = cells.into_iter().zip(widths).enumerate().map(|(at, (cell, width))| match at {
        at if at < TEXT => format!("{cell:<width$}"),
        _ => format!("{cell:>width$}"),
    });
    padded.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
}

/// Breaks a note between words; further lines are indented to the note's text, not to its title.
fn wrapped(note: &str, width: usize) -> String {
    let mut text = String::new();
    let mut at = 0;
    for word in note.split_inclusive(' ') {
        if at + word.trim_end().width() > width && at > TITLE {
            text.truncate(text.trim_end().len());
            let _ = write!(text, "\n{:TITLE$}", "");
            at = TITLE;
        }
        text += word;
        at += word.width();
    }
    text.trim_end().to_owned()
}

/// Aligned rows of cells, with a rule after the first `heads` rows and at the end.
pub(crate) fn aligned(rows: &[Vec<String>], heads: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &Vec<String>, at: usize| row.get(at).map_or(0, |cell| cell.width());
    let widths: Vec<usize> =
        (0..columns).map(|at| rows.iter().map(|row| cell(row, at)).max().unwrap_or(0)).collect();
    let rule = "─".repeat(total(&widths));
    let mut text = String::new();
    for (nth, row) in rows.iter().enumerate() {
        let padded = row.iter().zip(&widths).enumerate().map(|(at, (cell, width))| match at {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        let _ = writeln!(text, "{}", padded.collect::<Vec<_>>().join(GAP).trim_end());
        if nth + 1 == heads || nth + 1 == rows.len() {
            let _ = writeln!(text, "{rule}");
        }
    }
    text
}

/// The table with its notes as Markdown, with all columns.
pub(crate) fn markdown(comparison: &Comparison) -> String {
    let columns = columns(comparison);
    let head = columns.iter().map(|column| match column.unit {
        "" => column.title.to_owned(),
        unit => format!("{}, {unit}", column.title),
    });
    let head: Vec<String> = head.collect();
    let align = (0..columns.len()).map(|at| if at < TEXT { "---" } else { "--:" });
    let mut table = format!("{}\n\n| {} |\n", heading(comparison), head.join(" | "));
    table += &format!("|{}|\n", align.collect::<Vec<_>>().join("|"));
    for row in &comparison.rows {
        let cells = cells(&columns, row).into_iter().map(|cell| cell.replace("\n ", ""));
        table += &format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
    }
    more(comparison).iter().for_each(|cells| table += &format!("\n{}", piped(cells)));
    let notes = notes(comparison, &[]).into_iter().map(|note| format!("- {}", note.trim_start()));
    format!("{table}\n{}", notes.collect::<Vec<_>>().join("\n"))
}

/// Rows of cells as a Markdown table; the first row is the head.
fn piped(rows: &[Vec<String>]) -> String {
    let mut table = String::new();
    for (nth, row) in rows.iter().enumerate() {
        let _ = writeln!(table, "| {} |", row.join(" | "));
        if nth == 0 {
            let _ = writeln!(table, "|---|{}", "--:|".repeat(row.len() - 1));
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use snapbox::{assert_data_eq, file};

    use super::*;
    use crate::compare::result::example;

    #[test]
    fn a_long_note_continues_below_its_text() {
        assert_eq!(wrapped("title    one two three", 18), "title    one two\n         three");
        assert_eq!(wrapped("title    one", 12), "title    one");
        assert_eq!(wrapped("title    farther-than-that", 12), "title    farther-than-that");
    }

    #[test]
    fn the_table_of_a_narrow_terminal_of_a_wide_one_and_of_a_page() {
        let mut comparison = example::comparison();
        comparison.partial = true;
        assert_data_eq!(text(&comparison, Some(80)), file!["snapshots/narrow.txt"].raw());
        let comparison = example::comparison();
        assert_data_eq!(text(&comparison, None), file!["snapshots/wide.txt"].raw());
        assert_data_eq!(markdown(&comparison), file!["snapshots/table.md"].raw());
        assert_data_eq!(text(&example::service(), Some(80)), file!["snapshots/service.txt"].raw());
        assert_data_eq!(text(&example::waiting(), Some(80)), file!["snapshots/waiting.txt"].raw());
    }

    #[test]
    fn the_table_is_as_wide_as_there_is_room() {
        for room in [40, 60, 80, 100, 120, 160] {
            let text = text(&example::comparison(), Some(room));
            let widest = text.lines().max_by_key(|line| line.width()).unwrap();
            assert!(widest.width() <= room, "{} > {room}: {widest}", widest.width());
        }
        assert!(text(&example::comparison(), Some(80)).contains("memory"));
        assert!(text(&example::comparison(), None).contains("switches"));
    }
}
