//! Which model suits which kind of program. Every sentence has a measured figure, or a link to a
//! test.

use std::fmt::Write as _;

use maud::{Markup, html};

use crate::{
    Report,
    figures::{count, kilobytes, list, memory, ratio, time},
    granularity::metg,
    results::by_time,
    table::{cell, slug},
    verdict::{times, took},
    words,
};
use xtask::compare::result::{
    Comparison, Row,
    granularity::{self, Metg},
};

/// The advice for one trait of a program.
pub struct Advice {
    /// The trait.
    pub title: &'static str,
    /// A description of programs that have the trait.
    pub question: &'static str,
    /// What the measurements and the tests show, one fact each.
    pub sentences: Vec<String>,
}

/// A test that a model passes: the workload, the file, the case, and what the case checks.
type Proof = (&'static str, &'static str, &'static str, &'static str);

/// Tests that kill workers.
const DEATHS: [Proof; 3] = [
    (
        "grep",
        "tests/src/laws.rs",
        "killed_many_times",
        "workers are killed nine times, and the output is the same",
    ),
    (
        "resize",
        "tests/src/laws.rs",
        "killed_many_times",
        "workers are killed nine times, and every image is made",
    ),
    (
        "mandelbrot",
        "tests/src/laws.rs",
        "killed_many_times",
        "workers are killed nine times, and the picture is the same",
    ),
];
/// Tests that suspend a worker.
const HANGS: [Proof; 1] = [(
    "grep",
    "tests/src/laws.rs",
    "suspended_worker_is_replaced",
    "a worker that hangs is detected and replaced",
)];
/// Tests that let a task panic.
const PANICS: [Proof; 2] = [
    (
        "grep",
        "tests/grep/fails.rs",
        "panic_in_a_small_file",
        "the file is reported as failed, all others are searched",
    ),
    (
        "resize",
        "tests/resize/fails.rs",
        "panic_in_every_image",
        "every image is reported as failed, and the run ends",
    ),
];
/// Tests that request a stop while the output is blocked.
const STOPS: [Proof; 2] = [
    (
        "grep",
        "tests/grep/laws.rs",
        "stop_while_the_reader_stalls",
        "the run ends although nothing reads its output",
    ),
    (
        "mandelbrot",
        "tests/src/laws.rs",
        "stop_while_the_sink_stalls",
        "the run ends although nothing receives the picture",
    ),
];

/// Workloads with few, large tasks.
const LARGE: [&str; 1] = ["resize"];
/// Workloads whose tasks contribute to shared state.
const SHARING: [&str; 2] = ["wordcount", "sort"];

const NOTHING: &str = "Not measured yet; run cargo xtask compare.";

/// A warning if results come from the smoke input.
fn caution(report: &Report) -> Option<String> {
    let smoke = report.comparisons.iter().filter(|found| found.is_smoke());
    let smoke: Vec<String> =
        smoke.map(|found| format!("{} ({})", found.workload, count(found.rounds, "round"))).collect();
    let caution = format!(
        "Measured on the smoke input, which shows whether the programs agree, not how fast they are: {}.",
        list(&smoke)
    );
    (!smoke.is_empty()).then_some(caution)
}

/// The advice for every trait.
#[must_use]
pub fn advice(report: &Report) -> Vec<Advice> {
    vec![
        Advice {
            title: "CPU-bound",
            question: "Every core has something to compute all the time.",
            sentences: computing(report),
        },
        Advice {
            title: "I/O-bound",
            question: "Thousands of connections, timers or outgoing requests, and little to compute.",
            sentences: waiting(report),
        },
        Advice {
            title: "Few large tasks",
            question: "Each task takes milliseconds or more, and their sizes differ.",
            sentences: large(report),
        },
        Advice {
            title: "Many small tasks",
            question: "Each task takes microseconds.",
            sentences: small(report),
        },
        Advice {
            title: "Shared state",
            question: "A task's result changes what other tasks work on, or all results are combined into one.",
            sentences: sharing(report),
        },
        Advice {
            title: "Must survive a crash",
            question: "A task may kill its process: unsafe foreign code, too little memory, a bad disk.",
            sentences: crashes(report),
        },
        Advice {
            title: "Must scale beyond one machine",
            question: "The cores or the memory of one machine are not enough.",
            sentences: outgrow(report),
        },
        Advice {
            title: "Latency of the first result",
            question: "A user watches, or the next program of a pipeline waits.",
            sentences: latency(report),
        },
        Advice {
            title: "Little memory",
            question: "The machine is small, or runs other programs as well.",
            sentences: least_memory(report),
        },
        Advice {
            title: "Stops immediately",
            question: "A deadline or Ctrl-C ends the program, and no process may be left behind.",
            sentences: stops(report),
        },
        Advice {
            title: "Little code",
            question: "The program is read and changed often.",
            sentences: code(report),
        },
    ]
}

/// A figure with a link to its table cell.
fn linked(found: &Comparison, row: &Row, column: &str, shown: &str) -> String {
    format!("[{shown}](#{})", cell(&found.workload, row.shown(), column))
}

/// The models that have a time, fastest first.
fn ranked(found: &Comparison) -> Vec<&Row> {
    by_time(found.models().filter(|row| row.speedup.is_some()))
}

/// The fastest model of a workload, and the models that cannot be told apart from it.
fn fastest(found: &Comparison) -> Option<String> {
    let order = ranked(found);
    let (first, others) = order.split_first()?;
    let like = others.iter().filter(|row| row.is_like(first));
    let like: Vec<String> = like.map(|row| format!("{} ({})", row.shown(), took(found, row))).collect();
    let cores = first.cores.map_or_else(String::new, |cores| {
        format!(
            ", and keeps {} of {} busy",
            linked(found, first, "cores", &ratio(cores)),
            count(found.machine.cores.get(), "core")
        )
    });
    let like = if like.is_empty() {
        String::new()
    } else {
        format!("; {} cannot be told apart from it", list(&like))
    };
    let plain = found.reference().filter(|plain| first.is_like(plain));
    let plain = plain.map_or("", |_| "; it cannot be told apart from the plain loop");
    Some(format!(
        "{}: **{}** is {} times as fast as the plain loop{cores}{like}{plain}.",
        found.workload,
        first.shown(),
        times(found, first)
    ))
}

fn of<'a>(report: &'a Report, workloads: &'a [&str]) -> impl Iterator<Item = &'a Comparison> {
    report.comparisons.iter().filter(|found| workloads.contains(&found.workload.as_str()))
}

fn computing(report: &Report) -> Vec<String> {
    let computes = |found: &&Comparison| found.asked.is_none() && found.waiting.is_none();
    report.comparisons.iter().filter(computes).filter_map(fastest).collect()
}

/// The figures of the workloads that wait; if none was measured, how many cores the others use.
fn waiting(report: &Report) -> Vec<String> {
    let figures: Vec<String> = report.comparisons.iter().flat_map(waiting_figures).collect();
    if figures.is_empty() { only_computing(report) } else { figures }
}

/// The figures of a workload that waits, for its clients or for its own requests.
fn waiting_figures(found: &Comparison) -> Vec<String> {
    let ideal = |row: &Row| row.of_ideal;
    let idle = |row: &Row| row.service.as_ref()?.idle_bytes;
    [
        each(found, "ideal", ideal, ratio, "time / time of a run that does nothing but wait"),
        each(found, "waiting", |row| row.waiting_bytes, kilobytes, "memory per waiting request"),
        each(found, "idle", idle, kilobytes, "memory per idle connection"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// One figure of all models, in ascending order.
fn each(
    found: &Comparison,
    column: &str,
    value: fn(&Row) -> Option<f64>,
    shown: fn(f64) -> String,
    what: &str,
) -> Option<String> {
    let mut rows: Vec<(&Row, f64)> = found.models().filter_map(|row| Some((row, value(row)?))).collect();
    rows.sort_by(|one, other| one.1.total_cmp(&other.1));
    let all: Vec<String> = rows
        .into_iter()
        .map(|(row, value)| format!("{} {}", row.shown(), linked(found, row, column, &shown(value))))
        .collect();
    (!all.is_empty()).then(|| format!("{}: {what}: {}.", found.workload, list(&all)))
}

fn only_computing(report: &Report) -> Vec<String> {
    let busy = report.comparisons.iter().filter_map(|found| {
        let first = *ranked(found).first()?;
        Some(format!(
            "{} of {} cores in {}",
            linked(found, first, "cores", &ratio(first.cores?)),
            found.machine.cores,
            found.workload
        ))
    });
    let busy: Vec<String> = busy.collect();
    if busy.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "**No workload that waits was measured.** These compute: the fastest model uses {}.",
        list(&busy)
    )]
}

fn large(report: &Report) -> Vec<String> {
    of(report, &LARGE).filter_map(fastest).chain(starting(report)).collect()
}

/// The cost of starting, which hardly matters if the tasks are large.
fn starting(report: &Report) -> Option<String> {
    let found = of(report, &LARGE).next()?;
    let empty =
        |row: &Row| Some(format!("{} {}", row.shown(), linked(found, row, "empty", &time(row.empty_s?))));
    let all: Vec<String> = found.models().filter_map(empty).collect();
    (!all.is_empty()).then(|| format!("Time to start and stop without any work: {}.", list(&all)))
}

fn small(report: &Report) -> Vec<String> {
    let mut sentences: Vec<String> = report.granularity.iter().flat_map(|sweep| {
        let bound = |metg: Option<Metg>| metg.map_or(f64::MAX, |metg| metg.work_s);
        let mut rows: Vec<&granularity::Row> = sweep.rows.iter().filter(|row| row.single.metg.is_some()).collect();
        rows.sort_by(|one, other| bound(one.single.metg).total_cmp(&bound(other.single.metg)));
        let figure = |row: &&granularity::Row, value| format!("{} [{}](#granularity-{}-{})", row.name, metg(value), sweep.workload, slug(&row.name));
        let single: Vec<String> = rows.iter().map(|row| figure(row, row.single.metg)).collect();
        let joined: Vec<String> = rows.iter().map(|row| figure(row, row.joined.metg)).collect();
        [
            format!("The smallest task at which a model still reaches half of its best rate, with one task per message: {}.", list(&single)),
            format!("The same if the model batches tasks into messages: {}.", list(&joined)),
        ]
    }).collect();
    if sentences.is_empty() {
        let mandelbrot = of(report, &["mandelbrot"]).next().and_then(fastest);
        sentences.extend(mandelbrot.map(|mandelbrot| format!("{mandelbrot} To measure how small its tiles may become, run cargo xtask compare mandelbrot --granularity.")));
    }
    sentences
}

fn sharing(report: &Report) -> Vec<String> {
    of(report, &SHARING).flat_map(|found| fastest(found).into_iter().chain(memory_range(found))).collect()
}

/// The models with the lowest and the highest memory use.
fn memory_range(found: &Comparison) -> Option<String> {
    let bytes = |row: &Row| Some(linked(found, row, "memory", &memory(row.memory_bytes?)));
    let rows = || found.models().filter(|row| row.memory_bytes.is_some());
    let least = rows().min_by_key(|row| row.memory_bytes)?;
    let most = rows().max_by_key(|row| row.memory_bytes)?;
    Some(format!(
        "{}: **{}** uses the least memory, {}; {} the most, {}.",
        found.workload,
        least.shown(),
        bytes(least)?,
        most.shown(),
        bytes(most)?
    ))
}

fn crashes(report: &Report) -> Vec<String> {
    let mut sentences = proven(report, &DEATHS, "procs and distributed", "procs");
    sentences.extend(proven(report, &HANGS, "distributed", "distributed"));
    sentences.extend(proven(report, &PANICS, "all models, but only for panics", "threads"));
    let prices = report.comparisons.iter().filter_map(|found| prices(found, &["procs", "distributed"]));
    sentences.extend(prices);
    sentences
}

/// How much longer these models take than the fastest.
fn prices(found: &Comparison, models: &[&str]) -> Option<String> {
    let first = *ranked(found).first()?;
    let price = |name: &&str| {
        let row = ranked(found).into_iter().find(|row| row.name == *name)?;
        let times = ratio(row.median()? / first.median()?);
        Some(format!("{name} takes {} times as long", linked(found, row, "wall", &times)))
    };
    let prices: Vec<String> = models.iter().filter(|name| **name != first.name).filter_map(price).collect();
    (!prices.is_empty()).then(|| {
        format!(
            "The price in {}, compared with {} ({}): {}.",
            found.workload,
            first.shown(),
            took(found, first),
            list(&prices)
        )
    })
}

/// What the tests prove for these models, with a link to each test.
fn proven(report: &Report, proofs: &[Proof], models: &str, model: &str) -> Vec<String> {
    let is_here = |proof: &&Proof| report.comparisons.iter().any(|found| found.workload == proof.0);
    let proofs = proofs.iter().filter(is_here);
    proofs
        .map(|(workload, file, case, what)| {
            format!("{workload}, **{models}**: {what} ([{workload}::{model}::{case}]({file})).")
        })
        .collect()
}

fn outgrow(report: &Report) -> Vec<String> {
    let sentence = |found: &Comparison| {
        let rows = ranked(found);
        let (first, row) = (rows.first()?, rows.iter().find(|row| row.name == "distributed")?);
        let times = ratio(row.median()? / first.median()?);
        Some(format!(
            "{}: on this single machine **{}** takes {} times as long as {} and uses {}. Further machines have to make up for that.",
            found.workload,
            row.label,
            linked(found, row, "wall", &times),
            first.shown(),
            linked(found, row, "memory", &row.memory_bytes.map_or_else(|| "–".to_owned(), memory)),
        ))
    };
    report.comparisons.iter().filter_map(sentence).collect()
}

/// The smallest and the largest value of a column.
fn extremes(report: &Report, column: &str, value: fn(&Row) -> Option<f64>, what: &str) -> Vec<String> {
    let sentence = |found: &Comparison| {
        let mut rows: Vec<(&Row, f64)> = found.models().filter_map(|row| Some((row, value(row)?))).collect();
        rows.sort_by(|one, other| one.1.total_cmp(&other.1));
        let shown = |(row, value): &(&Row, f64)| {
            format!("**{}** {what} {}", row.shown(), linked(found, row, column, &time(*value)))
        };
        let [first, .., last] = &rows[..] else { return None };
        Some(format!("{}: {}, {}.", found.workload, shown(first), shown(last).replace("**", "")))
    };
    report.comparisons.iter().filter_map(sentence).collect()
}

fn latency(report: &Report) -> Vec<String> {
    let printing = report.comparisons.iter().filter(|found| !found.prints_at_end).cloned().collect();
    let printing = Report { comparisons: printing, ..Report::default() };
    let mut sentences = extremes(&printing, "first", |row| row.first_s, "prints after");
    sentences.extend(extremes(
        report,
        "p99",
        |row| row.service.as_ref()?.p99_s,
        "answers 99 of 100 requests within",
    ));
    let silent = report.comparisons.iter().filter(|found| found.prints_at_end && found.asked.is_none());
    sentences.extend(silent.filter_map(|found| {
        let first = *ranked(found).first()?;
        Some(format!(
            "{} prints only at the end: **{}** after {}.",
            found.workload,
            first.shown(),
            took(found, first)
        ))
    }));
    sentences
}

fn least_memory(report: &Report) -> Vec<String> {
    report.comparisons.iter().filter_map(memory_range).collect()
}

fn stops(report: &Report) -> Vec<String> {
    let mut sentences = extremes(report, "stop", |row| row.stop_s, "has ended after");
    sentences.extend(proven(report, &STOPS, "all models", "threads"));
    sentences
}

fn code(report: &Report) -> Vec<String> {
    let sentence = |found: &Comparison| {
        let lines = |row: &Row| row.code.map(|code| code.workload + code.mechanism);
        let rows = || found.models().filter(|row| row.code.is_some() && row.wall_s.is_some());
        let (least, most) = (rows().min_by_key(|row| lines(row))?, rows().max_by_key(|row| lines(row))?);
        let shown = |row| Some(linked(found, row, "code", &count(lines(row)?, "line")));
        Some(format!(
            "{}: **{}** needs {} including its mechanism, {} {}.",
            found.workload,
            least.shown(),
            shown(least)?,
            most.shown(),
            shown(most)?
        ))
    };
    report.comparisons.iter().filter_map(sentence).collect()
}

/// The advice as a section of the page.
#[must_use]
pub fn section(report: &Report, back: &str) -> Markup {
    html! {
        @if let Some(caution) = caution(report) { p class="caution" { (caution) } }
        @for Advice { title, question, sentences } in advice(report) {
            div class="trait" {
                h3 { (title) }
                p class="quiet" { (question) }
                @if sentences.is_empty() { p { (NOTHING) } } @else {
                    ul { @for sentence in &sentences { li { (words::on_page(sentence, back)) } } }
                }
            }
        }
    }
}

/// The advice as text for a terminal.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut text = caution(report).map_or_else(String::new, |text| words::wrapped(&text, 98, "") + "\n\n");
    for Advice { title, question, sentences } in advice(report) {
        let _ = writeln!(text, "{title}\n  {}", words::wrapped(question, 98, "  "));
        if sentences.is_empty() {
            let _ = writeln!(text, "  {NOTHING}");
        }
        for sentence in &sentences {
            let _ = writeln!(
                text,
                "  {}",
                words::wrapped(&format!("- {}", words::in_terminal(sentence)), 98, "    ")
            );
        }
        text.push('\n');
    }
    for found in &report.comparisons {
        let _ = writeln!(text, "{:<12} {} · {}", found.workload, found.command, found.machine.shown());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_tests_exist() {
        for (_, file, case, _) in DEATHS.iter().chain(&HANGS).chain(&PANICS).chain(&STOPS) {
            let source = std::fs::read_to_string(xtask::models::root().join(file)).unwrap();
            let is_there = source.contains(&format!("\"{case}\""))
                || case.split_once('_').is_some_and(|(_, end)| source.contains(&format!("{{name}}_{end}\"")));
            assert!(is_there, "{case} in {file}");
        }
    }
}
