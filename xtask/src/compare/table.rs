//! The table, for a terminal and for a README.

use std::fmt::Write;

use cc_workloads::report::Totals;

use super::{
    json::{Comparison, Kind, Row, Verdict},
    paired,
};

/// A column: what stands above it, in two lines, and what it shows of a row.
struct Column {
    title: &'static str,
    unit: &'static str,
    cell: fn(&Row) -> String,
}

const COLUMNS: [Column; 15] = [
    Column { title: "model", unit: "", cell: label },
    Column { title: "output", unit: "", cell: verdict },
    Column { title: "wall", unit: "ms", cell: |row| ms(row.wall_s.map(|wall| wall.median)) },
    Column { title: "95 %", unit: "ms", cell: interval },
    Column { title: "speed-up", unit: "×", cell: |row| fixed(row.speedup.map(|speedup| speedup.median), 2) },
    Column { title: "95 %", unit: "×", cell: speedup },
    Column { title: "alike", unit: "", cell: |row| row.letters.clone() },
    Column { title: "CPU", unit: "ms", cell: |row| ms(row.cpu_s) },
    Column { title: "cores", unit: "used", cell: |row| fixed(row.cores, 2) },
    Column { title: "memory", unit: "MB", cell: memory },
    Column { title: "first", unit: "ms", cell: |row| ms(row.first_s) },
    Column { title: "stop", unit: "ms", cell: |row| ms(row.stop_s) },
    Column { title: "empty", unit: "ms", cell: |row| ms(row.empty_s) },
    Column { title: "code", unit: "lines", cell: code },
    Column { title: "failed", unit: "runs", cell: |row| row.failures.len().to_string() },
];

/// Columns of text; the others are numbers.
const TEXT: usize = 2;
/// The width of a note's title.
const TITLE: usize = 9;
/// Between two columns.
const GAP: &str = "  ";

/// The table with what there is to know about it, as plain text.
pub(crate) fn text(comparison: &Comparison) -> String {
    let rows: Vec<Vec<String>> = comparison.rows.iter().map(cells).collect();
    let width = |at: usize| {
        let heads = [COLUMNS[at].title, COLUMNS[at].unit].map(|text| text.chars().count());
        let cells = rows.iter().flat_map(|row| row[at].lines()).map(|line| line.chars().count());
        heads.into_iter().chain(cells).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    let rule = "─".repeat(widths.iter().sum::<usize>() + GAP.len() * (COLUMNS.len() - 1));
    let line = |cells: &[&str]| {
        let padded = cells.iter().zip(&widths).enumerate().map(|(at, (cell, width))| match at {
            at if at < TEXT => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        padded.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    };

    let mut table = format!("{}\n\n", heading(comparison));
    table += &format!("{}\n", line(&COLUMNS.map(|column| column.title)));
    table += &format!("{}\n{rule}\n", line(&COLUMNS.map(|column| column.unit)));
    let mut was_tool = false;
    for (row, cells) in comparison.rows.iter().zip(&rows) {
        if row.kind == Kind::Tool && !was_tool {
            was_tool = true;
            let _ = writeln!(table, "{rule}");
        }
        let mut label = cells[0].lines();
        let mut first: Vec<&str> = cells.iter().map(String::as_str).collect();
        first[0] = label.next().unwrap_or_default();
        let _ = writeln!(table, "{}", line(&first));
        label.for_each(|more| table += &format!("{more}\n"));
    }
    let width = rule.chars().count();
    let notes: Vec<String> = notes(comparison).iter().map(|note| wrapped(note, width)).collect();
    format!("{table}{rule}\n{}", notes.join("\n"))
}

/// Breaks a note between words; what follows stands below the text, not below its title.
fn wrapped(note: &str, width: usize) -> String {
    let mut text = String::new();
    let mut at = 0;
    for word in note.split_inclusive(' ') {
        let length = word.chars().count();
        if at + word.trim_end().chars().count() > width && at > 0 {
            text.truncate(text.trim_end().len());
            let _ = write!(text, "\n{:TITLE$}", "");
            at = TITLE;
        }
        text += word;
        at += length;
    }
    text
}

/// Rows of cells one below the other, with a rule after so many of them.
pub(crate) fn aligned(rows: &[Vec<String>], heads: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &Vec<String>, at: usize| row.get(at).map_or(0, |cell| cell.chars().count());
    let widths: Vec<usize> =
        (0..columns).map(|at| rows.iter().map(|row| cell(row, at)).max().unwrap_or(0)).collect();
    let rule = "─".repeat(widths.iter().sum::<usize>() + GAP.len() * columns.saturating_sub(1));
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

/// The same as Markdown.
pub(crate) fn markdown(comparison: &Comparison) -> String {
    let head = COLUMNS.map(|column| match column.unit {
        "" => column.title.to_owned(),
        unit => format!("{}, {unit}", column.title),
    });
    let align = (0..COLUMNS.len()).map(|at| if at < TEXT { "---" } else { "--:" });
    let mut table = format!("{}\n\n| {} |\n", heading(comparison), head.join(" | "));
    table += &format!("|{}|\n", align.collect::<Vec<_>>().join("|"));
    for row in &comparison.rows {
        let cells = cells(row).into_iter().map(|cell| cell.replace("\n ", ""));
        table += &format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
    }
    let notes = notes(comparison).into_iter().map(|note| format!("- {}", note.trim_start()));
    format!("{table}\n{}", notes.collect::<Vec<_>>().join("\n"))
}

/// What has gone wrong, each in a paragraph of its own.
pub(crate) fn troubles(comparison: &Comparison) -> Vec<String> {
    let mut all = Vec::new();
    for row in &comparison.rows {
        if let Verdict::Differs { what, difference, kept } = &row.verdict {
            let mut text = format!("{} DIFFERS in {what}", row.name);
            if let Some(first) = difference {
                let shown = |line: &Option<String>| line.clone().unwrap_or_else(|| "(no line)".to_owned());
                let _ = write!(text, ", first in line {}:", first.line);
                let _ = write!(text, "\n  expected {}", shown(&first.expected));
                let _ = write!(text, "\n  found    {}", shown(&first.found));
            }
            let _ = write!(text, "\n  kept in {}\n      and {}", kept[0], kept[1]);
            all.push(text);
        }
        all.extend(row.failures.iter().map(|failure| format!("{} failed: {failure}", row.name)));
    }
    all
}

fn heading(comparison: &Comparison) -> String {
    let Comparison { workload, query, input, caption, workers, rounds, .. } = comparison;
    format!(
        "{workload} {query}  ·  {}: {caption}  ·  {}  ·  {}",
        input.name,
        plural(workers.get(), "worker"),
        plural(*rounds, "round"),
    )
}

fn notes(comparison: &Comparison) -> Vec<String> {
    let Comparison { machine, command, rows, .. } = comparison;
    let mut notes = vec![
        format!("machine  {}", machine.shown()),
        format!("command  {command}"),
        output(comparison),
        "wall     median, and its 95 % interval by bootstrap; CPU is of the whole process tree".to_owned(),
        format!(
            "speed-up reference / row in the same round: median, and its 95 % interval. {}",
            alike(comparison)
        ),
        format!("memory   {}", comparison.memory),
        format!(
            "first    {}; stop: from SIGINT at half the time until the last process is gone (n/a below 200 ms); \
             empty: the same job {}",
            if comparison.prints_at_end {
                "n/a, it prints at the end"
            } else {
                "until the first byte of output"
            },
            comparison.input.empty.shown()
        ),
        "code     lines of the workload's file + of the mechanism it uses, without comments and tests"
            .to_owned(),
    ];
    if rows.iter().any(|row| row.kind == Kind::Tool) {
        notes.push(tools(comparison));
    }
    if rows.iter().any(|row| row.oversubscribed) {
        notes.push("†        more workers than cores".to_owned());
    }
    if rows.iter().any(|row| row.memory_is_max_rss && row.memory_bytes.is_some()) {
        notes.push("‡        ru_maxrss".to_owned());
    }
    notes.extend(comparison.absent.iter().map(|absent| format!("absent   {absent}")));
    notes
}

/// What can be told apart, and what it would take.
fn alike(Comparison { rounds_to_tell, .. }: &Comparison) -> String {
    let difference = (paired::WORTH * 100.0).round();
    let rounds = rounds_to_tell.map_or_else(
        || "more rounds than these are needed to say how many".to_owned(),
        |rounds| plural(rounds, "round"),
    );
    format!(
        "Models with a letter in common (alike) cannot be told apart: no difference, as far as was measured. For any two \
         that differ by {difference} %, it takes {rounds}"
    )
}

/// What was compared.
fn output(Comparison { checked, input, any_order, .. }: &Comparison) -> String {
    let how = if *any_order { "line by line, in any order" } else { "byte for byte" };
    let mut note = format!("output   compared with the reference's {how}");
    if let [_, more @ ..] = &checked[..]
        && !more.is_empty()
    {
        let on = if input.checked == input.measured { "" } else { " on the smoke input" };
        let _ = write!(note, ", and{on} for {}", more.join(" | "));
    }
    note
}

fn tools(Comparison { rows, tool_note, .. }: &Comparison) -> String {
    let has = |verdict: fn(&Row) -> bool| rows.iter().any(|row| row.kind == Kind::Tool && verdict(row));
    let mut note = "tools    not ranked".to_owned();
    if has(|row| row.verdict != Verdict::Own) {
        note += "; lines compared (~ in any order)";
    }
    if has(|row| row.verdict == Verdict::Own) {
        note += "; own output: not compared";
    }
    if let Some(more) = tool_note {
        let _ = write!(note, "; {more}");
    }
    note
}

/// What a run has done: a template's `{name}` is that total, `{name / 1e6}` so many millions of it.
pub(crate) fn caption(template: &str, totals: &Totals) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, (name, after))) =
        rest.split_once('{').and_then(|(before, after)| Some((before, after.split_once('}')?)))
    {
        let (name, unit) = name.split_once('/').unwrap_or((name, "1"));
        let unit = unit.trim().parse::<f64>().map_or(1, |unit| unit as u64).max(1);
        let total = totals.get(name.trim()).copied().unwrap_or_default();
        text += before;
        text += &grouped((total + unit / 2) / unit);
        rest = after;
    }
    text + rest
}

fn cells(row: &Row) -> Vec<String> {
    COLUMNS.iter().map(|column| (column.cell)(row)).collect()
}

/// What a label has in parentheses goes on a line of its own.
fn label(row: &Row) -> String {
    let mark = if row.oversubscribed { " †" } else { "" };
    match row.label.split_once(" (") {
        Some((name, rest)) => format!("{name}{mark}\n  ({rest}"),
        None => format!("{}{mark}", row.label),
    }
}

fn verdict(row: &Row) -> String {
    match row.verdict {
        Verdict::Reference => "reference",
        Verdict::Same if row.kind == Kind::Tool && row.any_order => "same ~",
        Verdict::Same => "same",
        Verdict::Own => "own output",
        Verdict::Differs { .. } => "DIFFERS",
        Verdict::Failed => "FAILED",
    }
    .to_owned()
}

fn interval(row: &Row) -> String {
    row.wall_s.map_or_else(missing, |wall| format!("{}–{}", number(wall.low * 1e3), number(wall.high * 1e3)))
}

fn speedup(row: &Row) -> String {
    row.speedup.map_or_else(missing, |speedup| format!("{:.2}–{:.2}", speedup.low, speedup.high))
}

fn memory(row: &Row) -> String {
    let mark = if row.memory_is_max_rss { "‡" } else { "" };
    row.memory_bytes.map_or_else(missing, |bytes| format!("{:.1}{mark}", bytes as f64 / 1e6))
}

fn code(row: &Row) -> String {
    row.code.map_or_else(missing, |code| match code.mechanism {
        0 => code.workload.to_string(),
        mechanism => format!("{}+{mechanism}", code.workload),
    })
}

fn ms(seconds: Option<f64>) -> String {
    seconds.map_or_else(missing, |seconds| number(seconds * 1e3))
}

fn fixed(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(missing, |value| format!("{value:.digits$}"))
}

fn missing() -> String {
    "–".to_owned()
}

/// Three digits, or all of those before the point.
pub(crate) fn number(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

pub(crate) fn plural(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// `1,234,567`.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_note_goes_on_below_its_text() {
        assert_eq!(wrapped("title    one two three", 18), "title    one two\n         three");
        assert_eq!(wrapped("title    one", 12), "title    one");
    }

    #[test]
    fn a_caption_says_the_totals_that_its_template_names() {
        let totals = [("files", 6000), ("bytes", 293_400_001)].map(|(name, n)| (name.to_owned(), n)).into();
        assert_eq!(caption("{files} files, {bytes / 1e6} MB", &totals), "6,000 files, 293 MB");
        assert_eq!(caption("{bytes / 1e8} hundred", &totals), "3 hundred");
        assert_eq!(caption("{lines} lines", &totals), "0 lines");
        assert_eq!(caption("nothing", &totals), "nothing");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.04, 9.94, 12.3, 1234.5].map(number), ["0.0", "9.9", "12", "1234"]);
    }
}
