//! The table of a workload: the figures of the terminal's table, with all columns.

use maud::{Markup, html};

use crate::{
    figures::{mb, ms, ratio},
    theme,
};
use xtask::compare::result::{Comparison, Estimate, Kind, Row, Served, Verdict};

/// The columns: a short name for links, the heading, the unit, and an explanation.
const COLUMNS: [(&str, &str, &str, &str); 25] = [
    ("output", "output", "", "compared with the reference’s byte for byte, for all queries; ~ in any order"),
    ("wall", "time", "ms", "from start to end, median of the rounds"),
    ("interval", "95\u{202f}%", "ms", "confidence interval of the median, by bootstrap"),
    (
        "speed-up",
        "speed-up",
        "×",
        "the reference’s time / the row’s time in the same round, with its 95\u{202f}% interval",
    ),
    (
        "ideal",
        "ideal",
        "×",
        "for a workload that only waits: the time / the time of a run that does nothing but wait",
    ),
    (
        "alike",
        "alike",
        "",
        "models that share a letter cannot be told apart; a model without a letter differs from all others; tools are not tested",
    ),
    (
        "pipelined",
        "-P\u{202f}16",
        "k\u{202f}req/s",
        "for a service: requests per second in the timed load, with a pipeline of 16 on each of 50 connections",
    ),
    (
        "single",
        "-P\u{202f}1",
        "k\u{202f}req/s",
        "requests per second with one request at a time on each connection",
    ),
    (
        "p50",
        "p50",
        "ms",
        "latency at a fixed rate, from when a request was due: 50\u{202f}% of the requests take at most this long",
    ),
    ("p99", "p99", "ms", "99\u{202f}% of the requests take at most this long"),
    ("p999", "p99.9", "ms", "99.9\u{202f}% of the requests take at most this long"),
    ("request", "CPU", "µs/req", "processor time of the server per request of the load"),
    ("idle", "idle", "kB each", "memory per idle connection"),
    ("waiting", "waiting", "kB each", "all memory divided by the maximum number of requests in flight"),
    ("cpu", "CPU", "ms", "processor time of all its processes"),
    ("cores", "cores", "used", "processor time / time: how many cores were busy on average"),
    (
        "memory",
        "memory",
        "MB",
        "peak of all its processes together; ≤ if the run was too short to sample: then the largest process’s peak",
    ),
    ("first", "first", "ms", "until the first byte of output"),
    ("stop", "stop", "ms", "from Ctrl-C at half of the run time until the last process is gone"),
    ("empty", "empty", "ms", "the same job with an empty input"),
    (
        "switches",
        "switches",
        "",
        "context switches: because the thread had to wait + because another thread’s turn had come",
    ),
    (
        "threads",
        "threads",
        "peak",
        "peak number of threads of all its processes; every model has two for signals and for the output",
    ),
    ("processes", "procs", "peak", "peak number of processes"),
    (
        "code",
        "code",
        "lines",
        "the workload’s file + the model’s own mechanism that it uses, without comments, tests and libraries",
    ),
    ("failed", "failed", "runs", "number of failed runs"),
];

/// The cells of a row, in the order of the columns.
type Cells = [String; COLUMNS.len()];

/// The cell of a figure that was not measured.
const NONE: &str = "–";

/// The id of a cell.
#[must_use]
pub fn cell(workload: &str, row: &str, column: &str) -> String {
    format!("{workload}-{}-{column}", slug(row))
}

/// A name in the form of an HTML id.
#[must_use]
pub fn slug(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

/// The table of a workload.
#[must_use]
pub fn article(found: &Comparison) -> Markup {
    let best = Best::of(found);
    let rows: Vec<Cells> = found.rows.iter().map(cells).collect();
    // A column without any measurement is omitted.
    let shown: Vec<usize> =
        (0..COLUMNS.len()).filter(|at| rows.iter().any(|cells| cells[*at] != NONE)).collect();
    let title = format!("table-{}", found.workload);
    html! {
        article data-workload=(found.workload) {
            h3 id=(title) { (found.workload) }
            div class="wide" role="region" aria-label={ "Table of " (found.workload) } tabindex="0" {
                table {
                    caption { span { (found.query) " · " (found.input.name) ": " (found.caption) } }
                    thead { (head(&shown)) }
                    tbody { @for (row, cells) in found.rows.iter().zip(&rows) { (line(found, row, cells, &shown, &best)) } }
                }
            }
            @for absent in &found.absent { p class="quiet" { "Absent: " (absent) } }
            @if let Some(asked) = &found.asked { p class="quiet" { "Load: " (asked) } }
            @if let Some(note) = &found.tool_note { p class="quiet" { "Tools: not ranked; " (note) } }
        }
    }
}

fn head(shown: &[usize]) -> Markup {
    html! {
        tr {
            th scope="col" { "model" }
            @for (column, heading, unit, what) in shown.iter().map(|at| COLUMNS[*at]) {
                th scope="col" class=(column) title=(what) { (heading) @if !unit.is_empty() { br; small { (unit) } } }
            }
        }
    }
}

/// The explanations of all columns.
#[must_use]
pub fn legend() -> Markup {
    html! {
        details class="legend" {
            summary { "What the columns mean" }
            dl {
                @for (_, heading, unit, what) in COLUMNS {
                    dt { (heading) @if !unit.is_empty() { " (" (unit) ")" } }
                    dd { (what) }
                }
            }
            p { "Bold: the best of the models, not counting the plain loop." }
        }
    }
}

/// The smallest value of these columns among the models.
struct Best {
    wall: Option<f64>,
    cpu: Option<f64>,
    memory: Option<u64>,
    first: Option<f64>,
}

impl Best {
    fn of(found: &Comparison) -> Self {
        let least = |value: fn(&Row) -> Option<f64>| found.models().filter_map(value).min_by(f64::total_cmp);
        Self {
            wall: least(Row::median),
            cpu: least(|row| row.cpu_s),
            memory: found.models().filter_map(|row| row.memory_bytes).min(),
            first: least(|row| row.first_s),
        }
    }
}

fn line(found: &Comparison, row: &Row, cells: &Cells, shown: &[usize], best: &Best) -> Markup {
    let is_best = |column: &str| {
        row.kind == Kind::Model
            && match column {
                "wall" => row.median().is_some() && row.median() == best.wall,
                "cpu" => row.cpu_s.is_some() && row.cpu_s == best.cpu,
                "memory" => row.memory_bytes.is_some() && row.memory_bytes == best.memory,
                "first" => row.first_s.is_some() && row.first_s == best.first,
                _ => false,
            }
    };
    html! {
        tr class=(if row.kind == Kind::Tool { "tool" } else { "model" }) {
            th scope="row" title=(row.mechanism) { (name(found, row)) }
            @for (column, text) in shown.iter().map(|at| (COLUMNS[*at].0, &cells[*at])) {
                td id=(cell(&found.workload, row.shown(), column)) class=(column) {
                    @if is_best(column) { strong { (text) } } @else { (text) }
                }
            }
        }
    }
}

/// The row's name, with a link to its code.
fn name(found: &Comparison, row: &Row) -> Markup {
    let name = row.shown();
    let detail = row.label.strip_prefix(name).unwrap_or_default().trim();
    html! {
        (theme::key(&row.name, row.kind))
        @if row.code.is_some() {
            a href={ "#code-" (found.workload) "-" (slug(&row.name)) } { (name) }
        } @else { (name) }
        @if !detail.is_empty() { br; small { (detail) } }
    }
}

/// The texts of the cells, in the order of the columns.
fn cells(row: &Row) -> Cells {
    let shown = |value: Option<f64>, format: fn(f64) -> String| value.map_or_else(dash, format);
    let bound = if row.memory_is_max_rss { "≤ " } else { "" };
    [
        output(row),
        shown(row.median(), ms),
        row.wall_s
            .filter(has_interval)
            .map_or_else(dash, |wall| format!("{}–{}", ms(wall.low), ms(wall.high))),
        row.speedup.map_or_else(dash, |speedup| match has_interval(&speedup) {
            true => format!("{} ({}–{})", ratio(speedup.median), ratio(speedup.low), ratio(speedup.high)),
            false => ratio(speedup.median),
        }),
        shown(row.of_ideal, ratio),
        row.letters.clone(),
        shown(served(row, |it| it.pipelined_per_s), thousands),
        shown(served(row, |it| it.single_per_s), thousands),
        shown(served(row, |it| it.p50_s), ms),
        shown(served(row, |it| it.p99_s), ms),
        shown(served(row, |it| it.p999_s), ms),
        shown(served(row, |it| it.pipelined_cpu_s), |seconds| ratio(seconds * 1e6)),
        shown(served(row, |it| it.idle_bytes), |bytes| ratio(bytes / 1e3)),
        shown(row.waiting_bytes, |bytes| ratio(bytes / 1e3)),
        shown(row.cpu_s, ms),
        shown(row.cores, ratio),
        row.memory_bytes.map_or_else(dash, |bytes| format!("{bound}{}", mb(bytes))),
        shown(row.first_s, ms),
        shown(row.stop_s, ms),
        shown(row.empty_s, ms),
        switches(row),
        row.threads.map_or_else(dash, |threads| threads.to_string()),
        row.processes.map_or_else(dash, |processes| processes.to_string()),
        row.code.map_or_else(dash, |code| match code.mechanism {
            0 => code.workload.to_string(),
            more => format!("{}+{more}", code.workload),
        }),
        row.failures.len().to_string(),
    ]
}

fn served(row: &Row, what: fn(&Served) -> Option<f64>) -> Option<f64> {
    row.service.as_ref().and_then(what)
}

fn thousands(rate: f64) -> String {
    format!("{:.1}", rate / 1e3)
}

/// Whether there is an interval: a single round has none, and the reference's speed-up is always 1.
fn has_interval(estimate: &Estimate) -> bool {
    estimate.low < estimate.high
}

fn switches(row: &Row) -> String {
    let both = row.voluntary_switches.zip(row.involuntary_switches);
    both.map_or_else(dash, |(waited, lost)| format!("{waited:.0}+{lost:.0}"))
}

fn output(row: &Row) -> String {
    let verdict = match &row.verdict {
        Verdict::Reference => "reference",
        Verdict::Same => "same",
        Verdict::Own => "its own",
        Verdict::Differs { what, .. } => return format!("differs: {what}"),
        Verdict::Failed => "failed",
    };
    if row.any_order && row.kind == Kind::Tool { format!("{verdict} ~") } else { verdict.to_owned() }
}

fn dash() -> String {
    NONE.to_owned()
}
