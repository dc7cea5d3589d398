//! The text above and below the table: what was measured, how to read it, what disturbed the
//! measurement, and what went wrong.

use std::{fmt::Write, path::Path};

use cc_core::report::Totals;

use crate::compare::{
    measure::clients::LATE_S,
    result::{Against, Comparison, Kind, Outlier, Row, Timeline, Verdict, Waiting},
    stats::{paired, scaling},
    words::{number, percent, plural},
};

/// Minimum number of rounds for a 95 % interval: with six samples, the range from the smallest to
/// the largest contains the true median in more than 95 of 100 cases, with five it does not.
const ENOUGH: usize = 6;
const FEW: &str = " (with fewer than six rounds only the range of all, which is less certain)";
/// Width of a note's title.
pub(crate) const TITLE: usize = 9;

/// Differences and failures, one paragraph each.
pub(crate) fn failures(comparison: &Comparison) -> Vec<String> {
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
            let _ = write!(text, "\n  outputs: {}\n       and {}", kept[0], kept[1]);
            all.push(text);
        }
        all.extend(row.failures.iter().map(|failure| format!("{} failed: {failure}", row.name)));
    }
    all
}

pub(crate) fn heading(comparison: &Comparison) -> String {
    let Comparison { workload, query, input, caption, workers, rounds, .. } = comparison;
    format!(
        "{workload} {query}  ·  {}: {caption}  ·  {}  ·  {}",
        input.name,
        scaling::counts(&comparison.scaling).unwrap_or_else(|| plural(workers.get(), "worker")),
        plural(*rounds, "round"),
    )
}

/// The notes below the table, each with its title. `left_out` are the columns for which there was
/// no room.
pub(crate) fn notes(comparison: &Comparison, left_out: &[&str]) -> Vec<String> {
    let mut notes = Vec::new();
    let scaled = &comparison.scaling;
    if comparison.partial {
        notes.push("PARTIAL  interrupted: only what was measured before the interruption".to_owned());
    }
    notes.extend(comparison.summary.iter().map(|sentence| note("result", sentence)));
    notes.extend(comparison.warnings.iter().map(|warning| note("warning", warning)));
    notes.extend(steadiness(comparison));
    notes.extend(scaling::legend(scaled).map(|legend| note("workers", &legend)));
    notes.extend(scaling::laws(scaled, comparison.machine.cores).iter().map(|law| note("law", law)));
    let against = comparison.baseline.iter().flat_map(Against::notes);
    notes.extend(against.map(|against| note("since", &against)));
    notes.extend(timelines(comparison));
    let is_left_out = |note: &String| left_out.iter().any(|title| note.split(' ').next() == Some(title));
    notes.extend(legend(comparison).into_iter().filter(|note| !is_left_out(note)));
    notes.extend(marks(comparison));
    notes.extend(traces(comparison));
    if !left_out.is_empty() {
        let what = format!("{} (no room; --markdown and --csv have all columns)", left_out.join(", "));
        notes.push(note("omitted", &what));
    }
    notes.extend(clients(comparison));
    notes.extend(comparison.absent.iter().map(|absent| note("absent", absent)));
    notes
}

fn note(title: &str, text: &str) -> String {
    format!("{title:<TITLE$}{text}")
}

/// Whether the machine's speed drifted over the rounds, and which rounds are outliers.
fn steadiness(Comparison { drift, rows, .. }: &Comparison) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(drift) = drift {
        let p = format!("p = {:.3}", drift.p);
        let comparative = if drift.change > 0.0 { "longer" } else { "less time" };
        let change = percent(drift.change.abs());
        notes.push(note("drift", &if drift.found {
            format!(
                "the last round took {change} {comparative} than the first ({p}). The times include this; the \
                 speed-ups are ratios within a round and hardly depend on it"
            )
        } else {
            format!("none found from the first round to the last ({p})")
        }));
    }
    let named = rows.iter().filter(|row| !row.outliers.is_empty()).map(outliers);
    let named: Vec<String> = named.collect();
    if !named.is_empty() {
        notes.push(note("outliers", &format!("{}. They are included in the figures", named.join("; "))));
    }
    notes
}

fn outliers(row: &Row) -> String {
    let one = |outlier: &Outlier| {
        let far = if outlier.far { ", far" } else { "" };
        format!("{} ms in round {}{far}", number(outlier.wall_s * 1e3), outlier.round + 1)
    };
    let all: Vec<String> = row.outliers.iter().map(one).collect();
    format!("{} {}", row.shown(), all.join(", "))
}

/// How the table was measured, and what its columns mean.
fn legend(comparison: &Comparison) -> Vec<String> {
    let Comparison { machine, command, prints_at_end, input, .. } = comparison;
    let first =
        if *prints_at_end { "n/a, all output comes at the end" } else { "until the first byte of output" };
    let alike = alike(comparison);
    let few = if comparison.rounds < ENOUGH { FEW } else { "" };
    let rate = format!(
        "reference's time / row's time for the load in the same round: median, and its 95 % interval by \
         bootstrap{few}. {alike}"
    );
    if let Some(asked) = &comparison.asked {
        return vec![
            note("machine", &machine.shown()),
            note("command", command),
            output(comparison),
            note("service", asked),
            note("speed-up", &rate),
            note("memory", &format!("during the load; {}", &comparison.memory)),
            note(
                "stop",
                "after the load, from the signal until the last process is gone; empty: from the start until the \
                 server is ready",
            ),
            note(
                "code",
                "lines of the workload's file + of the mechanism it uses, without comments and tests",
            ),
            note("columns", "cargo xtask compare --explain explains each of them"),
        ];
    }
    let ratio = match &comparison.waiting {
        Some(waiting) => note("ideal", &format!("{}. {alike}", ideal(waiting))),
        None => note(
            "speed-up",
            &format!(
                "reference's time / row's time in the same round: median, and its 95 % interval by bootstrap. \
                 {alike}"
            ),
        ),
    };
    vec![
        note("machine", &machine.shown()),
        note("command", command),
        output(comparison),
        note(
            "wall",
            &format!("median, and its 95 % interval by bootstrap{few}; CPU is of the whole process tree"),
        ),
        ratio,
        note("memory", &comparison.memory),
        note(
            "first",
            &format!(
                "{first}; stop: from SIGINT at half the run time until the last process is gone (n/a if the run takes \
                 less than 200 ms); empty: the same job {}",
                input.empty.shown()
            ),
        ),
        note("code", "lines of the workload's file + of the mechanism it uses, without comments and tests"),
        note("columns", "cargo xtask compare --explain explains each of them"),
    ]
}

/// The reference point of a workload that only waits: the ideal time.
fn ideal(Waiting { ideal_s, sequential_s, at_once }: &Waiting) -> String {
    format!(
        "time / time of a run that does nothing but wait, {} ms: latency × requests / {at_once} in flight. One \
         request after the other would take {} s, so the reference is not timed. waiting: memory / {at_once}",
        number(ideal_s * 1e3),
        number(*sequential_s)
    )
}

fn marks(comparison: &Comparison) -> Vec<String> {
    let has = |what: fn(&Row) -> bool| comparison.rows.iter().any(what);
    let mut notes = Vec::new();
    if has(|row| row.kind == Kind::Tool) {
        notes.push(tools(comparison));
    }
    if has(|row| row.oversubscribed) {
        notes.push(note("†", "more workers than cores"));
    }
    if has(|row| row.memory_is_max_rss && row.memory_bytes.is_some()) {
        notes.push(note("‡", "too short to sample: ru_maxrss of the largest process"));
    }
    notes
}

/// The rates that another client measured, and the rows whose latencies are not meaningful: the
/// load generator was late, or the server cannot keep up with the rate.
fn clients(comparison: &Comparison) -> Vec<String> {
    if !comparison.is_service() {
        return Vec::new();
    }
    let served = || comparison.rows.iter().filter_map(|row| Some((row, row.service.as_ref()?)));
    let thousands = |per_s: f64| number(per_s / 1e3);
    let rates = served().filter_map(|(row, it)| {
        let (many, one) = (it.client_pipelined_per_s?, it.client_single_per_s?);
        Some(format!("{} {}/{}", row.shown(), thousands(many), thousands(one)))
    });
    let rates: Vec<String> = rates.collect();
    let late = served().filter(|(_, it)| it.late_p99_s.is_some_and(|late| late > LATE_S));
    let late: Vec<String> = late.map(|(row, _)| row.shown().to_owned()).collect();
    let overloaded = served()
        .filter(|(_, it)| it.single_per_s.zip(it.rate_per_s).is_some_and(|(capacity, rate)| capacity < rate));
    let overloaded: Vec<String> = overloaded.map(|(row, _)| row.shown().to_owned()).collect();
    let mut notes = Vec::new();
    if !rates.is_empty() {
        let what = format!("redis-benchmark, thousands of requests/s with -P 16/-P 1: {}", rates.join(", "));
        notes.push(note("client", &what));
    }
    if !late.is_empty() {
        let what = format!(
            "with {} the load generator itself sent 1 of 100 requests more than a millisecond late: the latencies \
             include its delay",
            late.join(", ")
        );
        notes.push(note("late", &what));
    }
    if !overloaded.is_empty() {
        let what =
            format!("latency was measured at a higher rate than {} can serve", overloaded.join(" or "));
        notes.push(note("rate", &what));
    }
    notes
}

/// How busy the workers of each traced model were.
fn timelines(comparison: &Comparison) -> Vec<String> {
    let traced = comparison.rows.iter().filter_map(|row| Some((row, row.timeline.as_ref()?)));
    traced.map(|(row, timeline)| note("timeline", &busy(row, timeline))).collect()
}

/// How to read the timelines, and where the trace files are.
fn traces(Comparison { workload, rows, .. }: &Comparison) -> Option<String> {
    let file = rows.iter().find_map(|row| Some(&row.timeline.as_ref()?.file))?;
    let folder = Path::new(file).parent().unwrap_or(Path::new("")).display();
    let tools = rows.iter().filter(|row| row.kind == Kind::Tool);
    let tools: Vec<&str> = tools.map(|row| row.name.as_str()).collect();
    let without = match &tools[..] {
        [] => String::new(),
        tools => format!(". Not traced, because tools write no spans: {}", tools.join(", ")),
    };
    Some(note(
        "traces",
        &format!(
            "one run each, untimed. Busy: the share of the workers' time spent in kernels; serial tail: from the last \
             moment at which two workers were busy until the end. {workload}-*.json in {folder} is for \
             ui.perfetto.dev or chrome://tracing{without}"
        ),
    ))
}

fn busy(row: &Row, Timeline { wall_s, busy, tail_s, .. }: &Timeline) -> String {
    let ms = |seconds: f64| number(seconds * 1e3);
    let workers = if row.workers.get() == 1 { "worker" } else { "workers" };
    let tail = if tail_s < wall_s {
        let part = percent(tail_s / wall_s);
        format!("serial tail {} of {} ms ({part})", ms(*tail_s), ms(*wall_s))
    } else {
        "never two workers busy at once".to_owned()
    };
    format!("{}: {workers} {} busy, {tail}", row.shown(), percent(*busy))
}

/// Which models can be told apart, and how many rounds that takes.
fn alike(Comparison { rounds_to_tell, .. }: &Comparison) -> String {
    let difference = (paired::MIN_DIFFERENCE * 100.0).round();
    let rounds = rounds_to_tell.map_or_else(
        || format!("There are too few rounds to tell how many would find a difference of {difference} %"),
        |rounds| format!("A difference of {difference} % is found in {}", plural(rounds, "round")),
    );
    format!("Models that share a letter (alike) cannot be told apart: no difference was found. {rounds}")
}

/// How the outputs were compared.
fn output(Comparison { checked, input, any_order, asked, .. }: &Comparison) -> String {
    if asked.is_some() {
        return note(
            "output",
            "the replies to a seeded conversation, compared with the reference's to the byte",
        );
    }
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
        note += "; outputs compared line by line (~ in any order)";
    }
    if has(|row| row.verdict == Verdict::Own) {
        note += "; own output: not compared";
    }
    if let Some(more) = tool_note {
        let _ = write!(note, "; {more}");
    }
    note
}

/// Fills the totals of a run into a template: `{name}` is that total, `{name / 1e6}` its millions.
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
    fn a_caption_has_the_totals_that_its_template_names() {
        let totals = [("files", 6000), ("bytes", 293_400_001)].map(|(name, n)| (name.to_owned(), n)).into();
        assert_eq!(caption("{files} files, {bytes / 1e6} MB", &totals), "6,000 files, 293 MB");
        assert_eq!(caption("{bytes / 1e8} hundred", &totals), "3 hundred");
        assert_eq!(caption("{lines} lines", &totals), "0 lines");
        assert_eq!(caption("nothing", &totals), "nothing");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
