//! The columns of the table, the most important first: the table omits columns on the right if
//! there is no room.

use crate::compare::{
    result::{Comparison, Estimate, Kind, Row, Served, Verdict},
    words::number,
};

/// A column: its heading in two lines, title and unit, and its cell for a row.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    pub title: &'static str,
    pub unit: &'static str,
    pub cell: fn(&Row) -> String,
}

const MODEL: Column = Column { title: "model", unit: "", cell: label };
const OUTPUT: Column = Column { title: "output", unit: "", cell: verdict };
const WALL: Column = Column { title: "wall", unit: "ms", cell: |row| ms(row.wall_s.map(|wall| wall.median)) };
const WALL_INTERVAL: Column = Column { title: "95 %", unit: "ms", cell: interval };
const SPEEDUP: Column =
    Column { title: "speed-up", unit: "×", cell: |row| fixed(row.speedup.map(|speedup| speedup.median), 2) };
const SPEEDUP_INTERVAL: Column = Column { title: "95 %", unit: "×", cell: speedup };
const ALIKE: Column = Column { title: "alike", unit: "", cell: |row| row.letters.clone() };
const MEMORY: Column = Column { title: "memory", unit: "MB", cell: memory };
const CPU: Column = Column { title: "CPU", unit: "ms", cell: |row| ms(row.cpu_s) };
const CORES: Column = Column { title: "cores", unit: "used", cell: |row| fixed(row.cores, 2) };
const FIRST: Column = Column { title: "first", unit: "ms", cell: |row| ms(row.first_s) };
const STOP: Column = Column { title: "stop", unit: "ms", cell: |row| ms(row.stop_s) };
const EMPTY: Column = Column { title: "empty", unit: "ms", cell: |row| ms(row.empty_s) };
const CODE: Column = Column { title: "code", unit: "lines", cell: code };
const FAILED: Column = Column { title: "failed", unit: "runs", cell: |row| row.failures.len().to_string() };
const OUTLIERS: Column =
    Column { title: "outliers", unit: "rounds", cell: |row| row.outliers.len().to_string() };
const PROCS: Column = Column { title: "procs", unit: "peak", cell: |row| integer(row.processes) };
const THREADS: Column = Column { title: "threads", unit: "peak", cell: |row| integer(row.threads) };
const SWITCHES: Column = Column { title: "switches", unit: "own+forced", cell: switches };

/// The last columns of every table.
const LAST: &[Column] = &[EMPTY, CODE, FAILED, OUTLIERS, PROCS, THREADS, SWITCHES];

/// The first columns for a program that ends by itself.
const JOB: &[Column] =
    &[MODEL, OUTPUT, WALL, WALL_INTERVAL, SPEEDUP, SPEEDUP_INTERVAL, ALIKE, MEMORY, CPU, CORES, FIRST, STOP];

/// The first columns for a program that only waits: how close its time is to the ideal, and how
/// much memory a waiting request costs.
const WAITING: &[Column] = &[
    MODEL,
    OUTPUT,
    WALL,
    WALL_INTERVAL,
    Column { title: "ideal", unit: "×", cell: |row| fixed(row.of_ideal, 2) },
    ALIKE,
    FIRST,
    MEMORY,
    Column { title: "waiting", unit: "kB each", cell: |row| thousands(row.waiting_bytes) },
    STOP,
    CPU,
    CORES,
];

/// The first columns for a service: rates instead of times.
const SERVICE: &[Column] = &[
    MODEL,
    OUTPUT,
    Column { title: "-P 16", unit: "k req/s", cell: |row| thousands(served(row, |it| it.pipelined_per_s)) },
    SPEEDUP,
    SPEEDUP_INTERVAL,
    ALIKE,
    Column { title: "-P 1", unit: "k req/s", cell: |row| thousands(served(row, |it| it.single_per_s)) },
    Column { title: "p99", unit: "ms", cell: |row| ms(served(row, |it| it.p99_s)) },
    MEMORY,
    Column { title: "idle", unit: "kB each", cell: |row| thousands(served(row, |it| it.idle_bytes)) },
    Column { title: "CPU", unit: "µs/req", cell: |row| micro(served(row, |it| it.pipelined_cpu_s)) },
    Column { title: "-P 1", unit: "µs/req", cell: |row| micro(served(row, |it| it.single_cpu_s)) },
    Column { title: "p50", unit: "ms", cell: |row| ms(served(row, |it| it.p50_s)) },
    Column { title: "p99.9", unit: "ms", cell: |row| ms(served(row, |it| it.p999_s)) },
    CORES,
    STOP,
];

/// The columns of a comparison.
pub(crate) fn columns(comparison: &Comparison) -> Vec<Column> {
    let own = match comparison {
        it if it.is_service() => SERVICE,
        Comparison { waiting: Some(_), .. } => WAITING,
        _ => JOB,
    };
    [own, LAST].concat()
}

/// Number of text columns at the left; the others are numbers.
pub(crate) const TEXT: usize = 2;

pub(crate) fn cells(columns: &[Column], row: &Row) -> Vec<String> {
    columns.iter().map(|column| (column.cell)(row)).collect()
}

/// The part of a label in parentheses goes on a second line.
fn label(row: &Row) -> String {
    let mark = if row.oversubscribed { " †" } else { "" };
    match row.label.split_once(" (") {
        Some((name, detail)) => format!("{name}{mark}\n  ({detail}"),
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
    let wall = row.wall_s.filter(Estimate::has_interval);
    wall.map_or_else(missing, |wall| format!("{}–{}", number(wall.low * 1e3), number(wall.high * 1e3)))
}

fn speedup(row: &Row) -> String {
    let speedup = row.speedup.filter(Estimate::has_interval);
    speedup.map_or_else(missing, |speedup| format!("{:.2}–{:.2}", speedup.low, speedup.high))
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

fn switches(row: &Row) -> String {
    let both = row.voluntary_switches.zip(row.involuntary_switches);
    both.map_or_else(missing, |(voluntary, involuntary)| format!("{voluntary:.0}+{involuntary:.0}"))
}

fn served(row: &Row, what: fn(&Served) -> Option<f64>) -> Option<f64> {
    row.service.as_ref().and_then(what)
}

fn thousands(value: Option<f64>) -> String {
    value.map_or_else(missing, |value| number(value / 1e3))
}

fn micro(seconds: Option<f64>) -> String {
    seconds.map_or_else(missing, |seconds| number(seconds * 1e6))
}

fn ms(seconds: Option<f64>) -> String {
    seconds.map_or_else(missing, |seconds| number(seconds * 1e3))
}

fn fixed(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(missing, |value| format!("{value:.digits$}"))
}

fn integer(value: Option<u64>) -> String {
    value.map_or_else(missing, |value| value.to_string())
}

fn missing() -> String {
    "–".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            [0.004, 9.994, 9.996, 12.34, 99.96, 1234.5].map(number),
            ["0.00", "9.99", "10.0", "12.3", "100", "1234"]
        );
    }

    #[test]
    fn the_explanation_names_all_columns_in_order_and_fits_a_terminal() {
        let page = include_str!("explain.txt");
        let named: Vec<&str> = page.lines().filter_map(|line| line.get(..11)).map(str::trim_end).collect();
        let mut remaining = named.as_slice();
        for column in JOB.iter().chain(LAST) {
            let at = remaining.iter().position(|title| *title == column.title);
            remaining = &remaining[at.unwrap_or_else(|| panic!("{} is not explained", column.title)) + 1..];
        }
        let unexplained =
            [SERVICE, WAITING].concat().into_iter().find(|column| !named.contains(&column.title));
        assert!(unexplained.is_none(), "{:?} is not explained", unexplained.map(|column| column.title));
        assert!(page.lines().all(|line| line.chars().count() <= 80));
        assert!(page.lines().count() <= 94, "it should fit two screens of 47 lines");
    }
}
