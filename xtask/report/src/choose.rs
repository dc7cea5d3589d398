//! What to choose, by what a program is like. Every sentence has a figure of the run, or leads to a test.

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

/// What is said of one trait of a program.
pub struct Advice {
    /// The trait.
    pub title: &'static str,
    /// What a program with it is like.
    pub question: &'static str,
    /// What the measurements say, one thing each.
    pub sentences: Vec<String>,
}

/// A test that a model passes: the workload, the file, the case, what holds.
type Proof = (&'static str, &'static str, &'static str, &'static str);

/// The death of a worker.
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
        "workers are killed again and again, and every image is made",
    ),
    (
        "mandelbrot",
        "tests/src/laws.rs",
        "killed_many_times",
        "workers are killed again and again, and the picture is the same",
    ),
];
/// A worker that says nothing more.
const SILENCE: [Proof; 1] = [(
    "grep",
    "tests/src/laws.rs",
    "suspended_worker_is_replaced",
    "a worker that hangs is noticed and replaced",
)];
/// A panic within a task.
const PANICS: [Proof; 2] = [
    (
        "grep",
        "tests/grep/fails.rs",
        "panic_in_a_small_file",
        "the file is named, its neighbours are searched",
    ),
    ("resize", "tests/resize/fails.rs", "panic_in_every_image", "every image is named, and the run ends"),
];
/// A stop at an awkward moment.
const STOPS: [Proof; 2] = [
    ("grep", "tests/grep/laws.rs", "stop_while_the_reader_stalls", "it ends though nobody reads its output"),
    (
        "mandelbrot",
        "tests/src/laws.rs",
        "stop_while_the_sink_stalls",
        "it ends though nothing takes the picture",
    ),
];

/// The workloads whose tasks are few and large, and whose tasks share something.
const LARGE: [&str; 1] = ["resize"];
const SHARING: [&str; 2] = ["wordcount", "sort"];

const NOTHING: &str = "Nothing was measured of it; cargo xtask compare does.";

/// What is to be read first where little was measured.
fn caution(report: &Report) -> Option<String> {
    let smoke = report.comparisons.iter().filter(|found| found.is_smoke());
    let smoke: Vec<String> =
        smoke.map(|found| format!("{} ({})", found.workload, count(found.rounds, "round"))).collect();
    let said = format!(
        "Measured on the smoke input, which says whether the programs agree and not how fast they are: {}.",
        list(&smoke)
    );
    (!smoke.is_empty()).then_some(said)
}

/// What is said of each trait.
#[must_use]
pub fn advice(report: &Report) -> Vec<Advice> {
    vec![
        Advice {
            title: "Bound by the processor",
            question: "Every core has something to compute all the time.",
            sentences: computing(report),
        },
        Advice {
            title: "Waiting",
            question: "Thousands of connections, timers or requests to others, and little to compute.",
            sentences: waiting(report),
        },
        Advice {
            title: "Few large tasks",
            question: "Each takes milliseconds or more, and they are of different sizes.",
            sentences: large(report),
        },
        Advice { title: "Many small tasks", question: "Each takes microseconds.", sentences: small(report) },
        Advice {
            title: "Shared state",
            question: "What one task finds changes what others work on, or goes into one result.",
            sentences: sharing(report),
        },
        Advice {
            title: "Must survive a crash",
            question: "A task may bring down its process: foreign code, too little memory, a bad disk.",
            sentences: crashes(report),
        },
        Advice {
            title: "Must outgrow a machine",
            question: "One machine’s cores or memory will not do.",
            sentences: outgrow(report),
        },
        Advice {
            title: "Latency of the first result",
            question: "Somebody watches, or the next program of a pipe waits.",
            sentences: latency(report),
        },
        Advice {
            title: "Little memory",
            question: "The machine is small, or has other things to do.",
            sentences: least_memory(report),
        },
        Advice {
            title: "Stops at once",
            question: "A deadline or a Ctrl-C ends it, and nothing may be left behind.",
            sentences: stops(report),
        },
        Advice {
            title: "Little code",
            question: "It will be read and changed more often than it is run.",
            sentences: code(report),
        },
    ]
}

/// A figure with a link to its cell.
fn linked(found: &Comparison, row: &Row, column: &str, shown: &str) -> String {
    format!("[{shown}](#{})", cell(&found.workload, row.shown(), column))
}

/// The models with a time, fastest first.
fn ranked(found: &Comparison) -> Vec<&Row> {
    by_time(found.models().filter(|row| row.speedup.is_some()))
}

/// The fastest of a workload, and who is like it.
fn fastest(found: &Comparison) -> Option<String> {
    let order = ranked(found);
    let (first, rest) = order.split_first()?;
    let like = rest.iter().filter(|row| row.is_like(first));
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

/// What those say that wait, or else what the fastest models do with the cores.
fn waiting(report: &Report) -> Vec<String> {
    let said: Vec<String> = report.comparisons.iter().flat_map(patience).collect();
    if said.is_empty() { nobody_waits(report) } else { said }
}

/// What a workload says that waits, for its clients or for others.
fn patience(found: &Comparison) -> Vec<String> {
    let ideal = |row: &Row| row.of_ideal;
    let idle = |row: &Row| row.service.as_ref()?.idle_bytes;
    [
        each(found, "ideal", ideal, ratio, "time by that of a run that does nothing but wait"),
        each(found, "waiting", |row| row.waiting_bytes, kilobytes, "memory for each request that waits"),
        each(found, "idle", idle, kilobytes, "memory for each connection that says nothing"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// All models by one figure, the least first.
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

fn nobody_waits(report: &Report) -> Vec<String> {
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
        "**No workload was measured that waits.** These compute: the fastest model uses {}.",
        list(&busy)
    )]
}

fn large(report: &Report) -> Vec<String> {
    of(report, &LARGE).filter_map(fastest).chain(starting(report)).collect()
}

/// What it costs to start, which large tasks make small.
fn starting(report: &Report) -> Option<String> {
    let found = of(report, &LARGE).next()?;
    let empty =
        |row: &Row| Some(format!("{} {}", row.shown(), linked(found, row, "empty", &time(row.empty_s?))));
    let all: Vec<String> = found.models().filter_map(empty).collect();
    (!all.is_empty()).then(|| format!("What starting costs, with nothing to do: {}.", list(&all)))
}

fn small(report: &Report) -> Vec<String> {
    let mut said: Vec<String> = report.granularity.iter().flat_map(|swept| {
        let bound = |metg: Option<Metg>| metg.map_or(f64::MAX, |metg| metg.work_s);
        let mut rows: Vec<&granularity::Row> = swept.rows.iter().filter(|row| row.single.metg.is_some()).collect();
        rows.sort_by(|one, other| bound(one.single.metg).total_cmp(&bound(other.single.metg)));
        let figure = |row: &&granularity::Row, value| format!("{} [{}](#granularity-{}-{})", row.name, metg(value), swept.workload, slug(&row.name));
        let single: Vec<String> = rows.iter().map(|row| figure(row, row.single.metg)).collect();
        let joined: Vec<String> = rows.iter().map(|row| figure(row, row.joined.metg)).collect();
        [
            format!("The smallest task at which a model still works at half of its best rate, handing over one at a time: {}.", list(&single)),
            format!("The same, as the models join tasks into one message: {}.", list(&joined)),
        ]
    }).collect();
    if said.is_empty() {
        let mandelbrot = of(report, &["mandelbrot"]).next().and_then(fastest);
        said.extend(mandelbrot.map(|mandelbrot| format!("{mandelbrot} How small its tiles may become is measured by cargo xtask compare mandelbrot --granularity.")));
    }
    said
}

fn sharing(report: &Report) -> Vec<String> {
    of(report, &SHARING).flat_map(|found| fastest(found).into_iter().chain(spread(found))).collect()
}

/// What lies between the least memory and the most.
fn spread(found: &Comparison) -> Option<String> {
    let bytes = |row: &Row| Some(linked(found, row, "memory", &memory(row.memory_bytes?)));
    let rows = || found.models().filter(|row| row.memory_bytes.is_some());
    let least = rows().min_by_key(|row| row.memory_bytes)?;
    let most = rows().max_by_key(|row| row.memory_bytes)?;
    Some(format!(
        "{}: in memory, **{}** takes least with {}, {} most with {}.",
        found.workload,
        least.shown(),
        bytes(least)?,
        most.shown(),
        bytes(most)?
    ))
}

fn crashes(report: &Report) -> Vec<String> {
    let mut said = proven(report, &DEATHS, "procs and distributed", "procs");
    said.extend(proven(report, &SILENCE, "distributed", "distributed"));
    said.extend(proven(report, &PANICS, "all models, for a panic alone", "threads"));
    said.extend(report.comparisons.iter().filter_map(|found| prices(found, &["procs", "distributed"])));
    said
}

/// What these models take beside the fastest.
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
            "The price in {}, beside {} with {}: {}.",
            found.workload,
            first.shown(),
            took(found, first),
            list(&prices)
        )
    })
}

/// What tests show, with the command that runs one.
fn proven(report: &Report, proofs: &[Proof], who: &str, model: &str) -> Vec<String> {
    let is_here = |proof: &&Proof| report.comparisons.iter().any(|found| found.workload == proof.0);
    let proofs = proofs.iter().filter(is_here);
    proofs
        .map(|(workload, file, case, what)| {
            format!("{workload}, **{who}**: {what} ([{workload}::{model}::{case}]({file})).")
        })
        .collect()
}

fn outgrow(report: &Report) -> Vec<String> {
    let said = |found: &Comparison| {
        let rows = ranked(found);
        let (first, row) = (rows.first()?, rows.iter().find(|row| row.name == "distributed")?);
        let times = ratio(row.median()? / first.median()?);
        Some(format!(
            "{}: on this one machine **{}** takes {} times as long as {}, and {}: more machines have that to make up for.",
            found.workload,
            row.label,
            linked(found, row, "wall", &times),
            first.shown(),
            linked(found, row, "memory", &row.memory_bytes.map_or_else(|| "–".to_owned(), memory)),
        ))
    };
    report.comparisons.iter().filter_map(said).collect()
}

/// The least and the greatest of a column.
fn extremes(report: &Report, column: &str, value: fn(&Row) -> Option<f64>, what: &str) -> Vec<String> {
    let said = |found: &Comparison| {
        let mut rows: Vec<(&Row, f64)> = found.models().filter_map(|row| Some((row, value(row)?))).collect();
        rows.sort_by(|one, other| one.1.total_cmp(&other.1));
        let shown = |(row, value): &(&Row, f64)| {
            format!("**{}** {what} {}", row.shown(), linked(found, row, column, &time(*value)))
        };
        let [first, .., last] = &rows[..] else { return None };
        Some(format!("{}: {}, {}.", found.workload, shown(first), shown(last).replace("**", "")))
    };
    report.comparisons.iter().filter_map(said).collect()
}

fn latency(report: &Report) -> Vec<String> {
    let printing = report.comparisons.iter().filter(|found| !found.prints_at_end).cloned().collect();
    let printing = Report { comparisons: printing, ..Report::default() };
    let mut said = extremes(&printing, "first", |row| row.first_s, "prints after");
    said.extend(extremes(
        report,
        "p99",
        |row| row.service.as_ref()?.p99_s,
        "answers 99 of 100 requests within",
    ));
    let silent = report.comparisons.iter().filter(|found| found.prints_at_end && found.asked.is_none());
    said.extend(silent.filter_map(|found| {
        let first = *ranked(found).first()?;
        Some(format!(
            "{} prints at its end: **{}** after {}.",
            found.workload,
            first.shown(),
            took(found, first)
        ))
    }));
    said
}

fn least_memory(report: &Report) -> Vec<String> {
    report.comparisons.iter().filter_map(spread).collect()
}

fn stops(report: &Report) -> Vec<String> {
    let mut said = extremes(report, "stop", |row| row.stop_s, "is gone after");
    said.extend(proven(report, &STOPS, "all models", "threads"));
    said
}

fn code(report: &Report) -> Vec<String> {
    let said = |found: &Comparison| {
        let lines = |row: &Row| row.code.map(|code| code.workload + code.mechanism);
        let rows = || found.models().filter(|row| row.code.is_some() && row.wall_s.is_some());
        let (least, most) = (rows().min_by_key(|row| lines(row))?, rows().max_by_key(|row| lines(row))?);
        let shown = |row| Some(linked(found, row, "code", &count(lines(row)?, "line")));
        Some(format!(
            "{}: **{}** needs {}, its mechanism included, {} {}.",
            found.workload,
            least.shown(),
            shown(least)?,
            most.shown(),
            shown(most)?
        ))
    };
    report.comparisons.iter().filter_map(said).collect()
}

/// On the page.
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

/// In a terminal.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut text = caution(report).map_or_else(String::new, |said| words::wrapped(&said, 98, "") + "\n\n");
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
    fn the_tests_that_are_named_are_there() {
        for (_, file, case, _) in DEATHS.iter().chain(&SILENCE).chain(&PANICS).chain(&STOPS) {
            let source = std::fs::read_to_string(xtask::models::root().join(file)).unwrap();
            let is_there = source.contains(&format!("\"{case}\""))
                || case.split_once('_').is_some_and(|(_, end)| source.contains(&format!("{{name}}_{end}\"")));
            assert!(is_there, "{case} in {file}");
        }
    }
}
