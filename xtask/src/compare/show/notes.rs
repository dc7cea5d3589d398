//! What stands above and below the table: what was measured, how to read it, what disturbed it,
//! what went wrong.

use std::{fmt::Write, path::Path};

use cc_core::report::Totals;

use crate::compare::{
    measure::clients::LATE_S,
    result::{Against, Comparison, Kind, Outlier, Row, Timeline, Verdict, Waiting},
    stats::{paired, scaling},
    words::{number, percent, plural},
};

/// From this number of rounds on, the range from the least to the most has the true median in it in
/// 95 of 100 cases.
const ENOUGH: usize = 6;
const FEW: &str = " (of so few rounds no more than the range of all, which is less sure)";
/// The width of a note's title.
pub(crate) const TITLE: usize = 9;

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

pub(crate) fn heading(comparison: &Comparison) -> String {
    let Comparison { workload, query, input, caption, workers, rounds, .. } = comparison;
    format!(
        "{workload} {query}  ·  {}: {caption}  ·  {}  ·  {}",
        input.name,
        scaling::counts(&comparison.scaling).unwrap_or_else(|| plural(workers.get(), "worker")),
        plural(*rounds, "round"),
    )
}

/// What is to be said below the table, each with its title. `left_out` are the columns that there
/// was no room for.
pub(crate) fn notes(comparison: &Comparison, left_out: &[&str]) -> Vec<String> {
    let mut notes = Vec::new();
    let scaled = &comparison.scaling;
    if comparison.partial {
        notes.push("PARTIAL  interrupted: this is what had been measured by then".to_owned());
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
        let what = format!("{} (no room; all are in --markdown and --csv)", left_out.join(", "));
        notes.push(note("left out", &what));
    }
    notes.extend(clients(comparison));
    notes.extend(comparison.absent.iter().map(|absent| note("absent", absent)));
    notes
}

fn note(title: &str, text: &str) -> String {
    format!("{title:<TITLE$}{text}")
}

/// Whether the machine was the same in all rounds, and which rounds were not like the others.
fn steadiness(Comparison { drift, rows, .. }: &Comparison) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(drift) = drift {
        let p = format!("p = {:.3}", drift.p);
        let way = if drift.change > 0.0 { "longer" } else { "less time" };
        let change = percent(drift.change.abs());
        notes.push(note("drift", &if drift.found {
            format!(
                "the last round took {change} {way} than the first ({p}). It is in the times; the speed-ups, paired in \
                 rounds, are free of it"
            )
        } else {
            format!("none seen from the first round to the last ({p})")
        }));
    }
    let named = rows.iter().filter(|row| !row.outliers.is_empty()).map(outliers);
    let named: Vec<String> = named.collect();
    if !named.is_empty() {
        notes.push(note("outliers", &format!("{}. They count like all rounds", named.join("; "))));
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

/// How it was measured, and what the columns say.
fn legend(comparison: &Comparison) -> Vec<String> {
    let Comparison { machine, command, prints_at_end, input, .. } = comparison;
    let first = if *prints_at_end { "n/a, it prints at the end" } else { "until the first byte of output" };
    let alike = alike(comparison);
    let few = if comparison.rounds < ENOUGH { FEW } else { "" };
    let rate = format!(
        "reference / row of the load's time in the same round: median, and its 95 % interval by bootstrap{few}. {alike}"
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
                "after the load, from the signal until the last process is gone; empty: from the start until it serves",
            ),
            note(
                "code",
                "lines of the workload's file + of the mechanism it uses, without comments and tests",
            ),
            note("columns", "are explained one by one by cargo xtask compare --explain"),
        ];
    }
    let ratio = match &comparison.waiting {
        Some(waiting) => note("ideal", &format!("{}. {alike}", ideal(waiting))),
        None => note(
            "speed-up",
            &format!(
                "reference / row in the same round: median, and its 95 % interval by bootstrap. {alike}"
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
                "{first}; stop: from SIGINT at half the time until the last process is gone (n/a below 200 ms); empty: \
                 the same job {}",
                input.empty.shown()
            ),
        ),
        note("code", "lines of the workload's file + of the mechanism it uses, without comments and tests"),
        note("columns", "are explained one by one by cargo xtask compare --explain"),
    ]
}

/// What a run is measured by that only waits.
fn ideal(Waiting { ideal_s, sequential_s, at_once }: &Waiting) -> String {
    format!(
        "time / that of a run that does nothing but wait, {} ms: latency × requests / {at_once} at once. One after the other \
         they would take {} s, and so the reference is not timed. waiting: memory / {at_once}",
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
        notes.push(note("‡", "ru_maxrss"));
    }
    notes
}

/// What another client made of a service, and of which servers or of whose generator latencies say
/// little.
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
    let behind =
        served().filter(|(_, it)| it.single_per_s.zip(it.rate_per_s).is_some_and(|(can, rate)| can < rate));
    let behind: Vec<String> = behind.map(|(row, _)| row.shown().to_owned()).collect();
    let mut notes = Vec::new();
    if !rates.is_empty() {
        let what = format!("with redis-benchmark, k req/s with -P 16/-P 1: {}", rates.join(", "));
        notes.push(note("client", &what));
    }
    if !late.is_empty() {
        let what = format!(
            "with {} the generator itself came later than a millisecond to 1 of 100 requests: the latencies are its, too",
            late.join(", ")
        );
        notes.push(note("late", &what));
    }
    if !behind.is_empty() {
        let what =
            format!("the rate at which latency is measured is more than {} can do", behind.join(" or "));
        notes.push(note("rate", &what));
    }
    notes
}

/// How busy the workers of each model were that was traced.
fn timelines(comparison: &Comparison) -> Vec<String> {
    let traced = comparison.rows.iter().filter_map(|row| Some((row, row.timeline.as_ref()?)));
    traced.map(|(row, timeline)| note("timeline", &busy(row, timeline))).collect()
}

/// How to read that, and where all of it is.
fn traces(Comparison { workload, rows, .. }: &Comparison) -> Option<String> {
    let file = rows.iter().find_map(|row| Some(&row.timeline.as_ref()?.file))?;
    let folder = Path::new(file).parent().unwrap_or(Path::new("")).display();
    let tools = rows.iter().filter(|row| row.kind == Kind::Tool);
    let tools: Vec<&str> = tools.map(|row| row.name.as_str()).collect();
    let without = match &tools[..] {
        [] => String::new(),
        tools => format!(". Left out, since tools write no spans: {}", tools.join(", ")),
    };
    Some(note(
        "traces",
        &format!(
            "one run each, untimed. Busy: of the workers' time, what they spent in kernels; serial tail: from the last \
             moment at which two of them were, until the end. {workload}-*.json is for ui.perfetto.dev or \
             chrome://tracing, in {folder}{without}"
        ),
    ))
}

fn busy(row: &Row, Timeline { wall_s, busy, tail_s, .. }: &Timeline) -> String {
    let ms = |seconds: f64| number(seconds * 1e3);
    let who = if row.workers.get() == 1 { "worker" } else { "workers" };
    let tail = if tail_s < wall_s {
        let part = percent(tail_s / wall_s);
        format!("serial tail {} of {} ms ({part})", ms(*tail_s), ms(*wall_s))
    } else {
        "never two at once".to_owned()
    };
    format!("{}: {who} {} busy, {tail}", row.shown(), percent(*busy))
}

/// What can be told apart, and what it would take.
fn alike(Comparison { rounds_to_tell, .. }: &Comparison) -> String {
    let difference = (paired::WORTH * 100.0).round();
    let rounds = rounds_to_tell.map_or_else(
        || {
            format!(
                "How many rounds it takes to find a difference of {difference} % cannot be said from these"
            )
        },
        |rounds| format!("A difference of {difference} % is found in {}", plural(rounds, "round")),
    );
    format!(
        "Models with a letter in common (alike) cannot be told apart: no difference, as far as was measured. {rounds}"
    )
}

/// What was compared.
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

/// What a run has done: a template's `{name}` is that total, `{name / 1e6}` its millions.
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
    fn a_caption_says_the_totals_that_its_template_names() {
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
