//! The verdict of a workload in sentences. Each sentence has its figure.

use maud::{Markup, html};

use crate::{
    figures::{count, list, memory, percent, ratio, time},
    results::{by_time, workers},
    table::cell,
    words,
};
use xtask::compare::result::{Against, Change, Comparison, Drift, Kind, Row, Verdict};

/// The verdict of a workload.
#[derive(Debug)]
pub struct Summary {
    /// The most important result.
    pub headline: String,
    /// Further results, one fact each.
    pub sentences: Vec<String>,
}

/// Summarizes a comparison.
#[must_use]
pub fn summarize(found: &Comparison) -> Summary {
    let order = by_time(found.rows.iter().filter(|row| row.kind != Kind::Tool));
    let Some(first) = order.first() else {
        let headline = format!("0 of {} gave a time", count(found.rows.len(), "row"));
        return Summary { headline, sentences: failures(found) };
    };
    let parts = [
        caution(found),
        alike(found, first, &order),
        slower(found),
        sequential_wait(found),
        memory_range(found, first),
        first_output(found, first),
        tail_latency(found),
        tools(found, first),
        certainty(found),
        drift(found),
        baseline(found),
    ];
    let warnings = found.warnings.iter().map(|warning| format!("**Warning:** {warning}."));
    let sentences = parts.into_iter().flatten().chain(warnings).chain(failures(found)).collect();
    Summary { headline: headline(found, first), sentences }
}

/// The row's median time, with a link to its table cell.
pub(crate) fn took(found: &Comparison, row: &Row) -> String {
    let wall = row.median().map_or_else(|| "–".to_owned(), time);
    format!("[{wall}](#{})", cell(&found.workload, row.shown(), "wall"))
}

/// The row's speed-up over the reference, with its interval.
pub(crate) fn times(found: &Comparison, row: &Row) -> String {
    let Some(speedup) = row.speedup else { return "–".to_owned() };
    let [median, low, high] = [speedup.median, speedup.low, speedup.high].map(ratio);
    format!("[{median}](#{}) ({low}–{high})", cell(&found.workload, row.shown(), "speed-up"))
}

fn headline(found: &Comparison, first: &Row) -> String {
    if let Some((waiting, times)) = found.waiting.zip(first.of_ideal) {
        return format!(
            "{} takes {}, which is [{}](#{}) times the {} of a run that does nothing but wait",
            first.shown(),
            took(found, first),
            ratio(times),
            cell(&found.workload, first.shown(), "ideal"),
            time(waiting.ideal_s)
        );
    }
    let Some(reference) = found.reference().filter(|reference| reference.shown() != first.shown()) else {
        return format!("No model is faster than the plain loop, which takes {}", took(found, first));
    };
    let plain = took(found, reference);
    if first.is_like(reference) {
        return format!(
            "{} has the lowest time, {}, but cannot be told apart from the plain loop, which takes {plain}",
            first.shown(),
            took(found, first),
        );
    }
    format!(
        "{} is {} times as fast as the plain loop; their medians are {} and {plain}",
        first.shown(),
        times(found, first),
        took(found, first)
    )
}

/// The models that cannot be told apart from the fastest.
fn alike(found: &Comparison, first: &Row, order: &[&Row]) -> Option<String> {
    let rounds = count(found.rounds, "round");
    let like = order[1..].iter().filter(|row| row.kind == Kind::Model && row.is_like(first));
    let names: Vec<String> = like.map(|row| format!("**{}** ({})", row.shown(), took(found, row))).collect();
    if !names.is_empty() {
        return Some(format!("After {rounds}, {} cannot be told apart from it.", list(&names)));
    }
    let next = order.get(1)?;
    Some(format!(
        "After {rounds}, it can be told apart from all others; next is **{}** with {}.",
        next.shown(),
        took(found, next)
    ))
}

/// The models that are slower than the plain loop.
fn slower(found: &Comparison) -> Option<String> {
    let plain = found.reference()?;
    let is_slower = |row: &&Row| row.speedup.is_some_and(|speedup| speedup.high < 1.0) && !row.is_like(plain);
    let slower = found.models().filter(is_slower);
    let names: Vec<String> =
        slower.map(|row| format!("**{}**, {} times as fast", row.shown(), times(found, row))).collect();
    (!names.is_empty()).then(|| format!("Slower than the plain loop: {}.", list(&names)))
}

/// How long the plain loop would wait, which sends one request after the other.
fn sequential_wait(found: &Comparison) -> Option<String> {
    let wait = time(found.waiting?.sequential_s);
    Some(format!("The plain loop sends one request after the other and would wait {wait}; it is not timed."))
}

fn memory_range(found: &Comparison, first: &Row) -> Option<String> {
    let bytes = |row: &Row| {
        Some(format!("[{}](#{})", memory(row.memory_bytes?), cell(&found.workload, row.shown(), "memory")))
    };
    let least = found.models().filter(|row| row.memory_bytes.is_some()).min_by_key(|row| row.memory_bytes)?;
    let most = found.models().max_by_key(|row| row.memory_bytes)?;
    let mut text = format!("**{}** uses the least memory, {}", least.shown(), bytes(least)?);
    if first.shown() != least.shown() {
        text += &format!("; {} uses {}", first.shown(), bytes(first)?);
    }
    if most.shown() != least.shown() && most.shown() != first.shown() {
        text += &format!("; {} the most, {}", most.shown(), bytes(most)?);
    }
    Some(text + ".")
}

fn first_output(found: &Comparison, first: &Row) -> Option<String> {
    let shown = |row: &Row| {
        Some(format!("[{}](#{})", time(row.first_s?), cell(&found.workload, row.shown(), "first")))
    };
    if found.prints_at_end {
        return None;
    }
    let models = found.models().filter(|row| row.first_s.is_some());
    let soonest = models
        .min_by(|one, other| one.first_s.unwrap_or(f64::MAX).total_cmp(&other.first_s.unwrap_or(f64::MAX)))?;
    let mut text = format!("**{}** prints its first output after {}", soonest.shown(), shown(soonest)?);
    if first.shown() != soonest.shown() {
        text += &format!(", {} after {}", first.shown(), shown(first)?);
    }
    Some(text + ".")
}

/// The lowest and the highest 99th percentile of latency at the same rate.
fn tail_latency(found: &Comparison) -> Option<String> {
    let p99 = |row: &Row| row.service.as_ref()?.p99_s;
    let shown =
        |row: &Row| Some(format!("[{}](#{})", time(p99(row)?), cell(&found.workload, row.shown(), "p99")));
    let mut models: Vec<&Row> = found.models().filter(|row| p99(row).is_some()).collect();
    models.sort_by(|one, other| p99(one).unwrap_or(f64::MAX).total_cmp(&p99(other).unwrap_or(f64::MAX)));
    let [best, .., worst] = models[..] else { return None };
    let rate = best.service.as_ref()?.rate_per_s?;
    Some(format!(
        "At {rate:.0} requests per second, **{}** answers 99 of 100 within {}, {} within {}.",
        best.shown(),
        shown(best)?,
        worst.shown(),
        shown(worst)?
    ))
}

fn tools(found: &Comparison, first: &Row) -> Option<String> {
    let best = *by_time(found.rows.iter().filter(|row| row.kind == Kind::Tool)).first()?;
    let times = ratio(best.median()? / first.median()?);
    Some(format!(
        "The fastest of the tools, **{}**, takes {}, which is {times} times as long as {}.",
        best.shown(),
        took(found, best),
        first.shown()
    ))
}

/// A warning if the result comes from the smoke input.
fn caution(found: &Comparison) -> Option<String> {
    let rounds = count(found.rounds, "round");
    let caution = format!(
        "**{rounds} on the smoke input**: it shows whether the programs agree, not how fast they are."
    );
    found.is_smoke().then_some(caution)
}

/// How small a difference these rounds can show.
fn certainty(found: &Comparison) -> Option<String> {
    let rounds = count(found.rounds, "round");
    match found.rounds_to_tell {
        _ if found.is_smoke() => None,
        Some(needed) => {
            let needed = count(needed, "round");
            Some(format!(
                "{rounds} measured; a difference of 3\u{202f}% between two models is found in {needed}."
            ))
        }
        None => Some(format!(
            "{rounds} measured: too few to tell how many would find a difference of 3\u{202f}%."
        )),
    }
}

/// Whether the machine became slower or faster during the measurement.
fn drift(found: &Comparison) -> Option<String> {
    let Drift { change, p, .. } = found.drift.filter(|drift| drift.found)?;
    let comparative = if change > 0.0 { "longer" } else { "less time" };
    Some(format!(
        "The last round took {} {comparative} than the first (p = {p:.3}): the machine's speed changed. Speed-ups hardly depend on it, because they are ratios within a round.",
        percent(change.abs())
    ))
}

/// What has changed since the baseline.
fn baseline(found: &Comparison) -> Option<String> {
    let Against { file, rows, .. } = found.baseline.as_ref()?;
    let differs = rows.iter().filter(|row| row.differs);
    let changed = differs.map(|Change { label, ratio: times, low, high, .. }| {
        format!("**{label}** takes {} ({}–{}) times as long", ratio(*times), ratio(*low), ratio(*high))
    });
    let changed: Vec<String> = changed.collect();
    let same = rows.len() - changed.len();
    let changed = if changed.is_empty() { String::new() } else { format!("{}; ", list(&changed)) };
    Some(format!("Since {file}: {changed}no difference in {same} of {}.", count(rows.len(), "row")))
}

/// Interruptions, failures, and outputs that differ.
fn failures(found: &Comparison) -> Vec<String> {
    let partial = found.partial.then(|| format!("**Interrupted** after {}.", count(found.rounds, "round")));
    let failure = |row: &Row| {
        let name = format!("[{}](#{})", row.shown(), cell(&found.workload, row.shown(), "output"));
        match &row.verdict {
            Verdict::Differs { .. } => {
                Some(format!("The output of {name} **differs** from the reference's; it was not timed."))
            }
            Verdict::Failed => Some(format!(
                "{name} **failed** in {} of {} runs and was not timed.",
                row.failures.len(),
                row.runs
            )),
            _ if row.failures.is_empty() => None,
            _ => Some(format!("{name} **failed** in {} of {} runs.", row.failures.len(), row.runs)),
        }
    };
    partial.into_iter().chain(found.rows.iter().filter_map(failure)).collect()
}

/// How to read the verdicts.
#[must_use]
pub fn legend() -> Markup {
    html! {
        p class="quiet" {
            "The plain loop is the same program without concurrency, “sequential” in the table. Parentheses contain the 95\u{202f}% confidence interval, or the range of all values if there are fewer than six rounds. Two models cannot be told apart, and share a letter under “alike”, if their difference may be due to chance: each pair is tested round by round, with a correction for the number of pairs. An underlined figure is a link to its cell in the table."
        }
    }
}

/// The verdict on the page.
#[must_use]
pub fn article(found: &Comparison, back: &str) -> Markup {
    let Summary { headline, sentences } = summarize(found);
    html! {
        article data-workload=(found.workload) class="verdict" {
            h3 id={ "verdict-" (found.workload) } { (found.workload) }
            p class="headline" { (words::on_page(&headline, back)) "." }
            ul { @for sentence in sentences { li { (words::on_page(&sentence, back)) } } }
            p class="quiet" {
                (found.caption) " · " (workers(found))
                " · " a href={ "#table-" (found.workload) } { "table" }
                " · " a href={ "#samples-" (found.workload) } { "samples" }
                " · " a href={ "#code-" (found.workload) } { "code" }
            }
        }
    }
}
