//! A workload's verdict in words, each of which comes with its figure.

use maud::{Markup, html};

use crate::{
    figures::{count, list, memory, percent, ratio, time},
    results::{by_time, workers},
    table::cell,
    words,
};
use xtask::compare::result::{Against, Change, Comparison, Drift, Kind, Row, Verdict};

/// What is said of a workload.
#[derive(Debug)]
pub struct Said {
    /// The one thing to remember.
    pub headline: String,
    /// The rest, one thing each.
    pub sentences: Vec<String>,
}

/// Says it.
#[must_use]
pub fn say(found: &Comparison) -> Said {
    let order = by_time(found.rows.iter().filter(|row| row.kind != Kind::Tool));
    let Some(first) = order.first() else {
        let headline = format!("0 of {} gave a time", count(found.rows.len(), "row"));
        return Said { headline, sentences: troubles(found) };
    };
    let parts = [
        caution(found),
        alike(found, first, &order),
        slower(found),
        one_by_one(found),
        cheapest(found, first),
        earliest(found, first),
        patient(found),
        tools(found, first),
        certainty(found),
        drift(found),
        since(found),
    ];
    let warnings = found.warnings.iter().map(|warning| format!("**Warning:** {warning}."));
    let sentences = parts.into_iter().flatten().chain(warnings).chain(troubles(found)).collect();
    Said { headline: headline(found, first), sentences }
}

/// The row's median time, with a link to where it stands.
pub(crate) fn took(found: &Comparison, row: &Row) -> String {
    let wall = row.median().map_or_else(|| "–".to_owned(), time);
    format!("[{wall}](#{})", cell(&found.workload, row.shown(), "wall"))
}

/// How many times as fast as the reference a row is, with its interval.
pub(crate) fn times(found: &Comparison, row: &Row) -> String {
    let Some(speedup) = row.speedup else { return "–".to_owned() };
    let [median, low, high] = [speedup.median, speedup.low, speedup.high].map(ratio);
    format!("[{median}](#{}) ({low}–{high})", cell(&found.workload, row.shown(), "speed-up"))
}

fn headline(found: &Comparison, first: &Row) -> String {
    if let Some((waiting, times)) = found.waiting.zip(first.of_ideal) {
        return format!(
            "{} takes {}, [{}](#{}) times the {} of a run that does nothing but wait",
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
            "{} is first with {}, but cannot be told apart from the plain loop, with {plain}",
            first.shown(),
            took(found, first),
        );
    }
    format!(
        "{} is {} times as fast as the plain loop, with medians of {} and {plain}",
        first.shown(),
        times(found, first),
        took(found, first)
    )
}

/// Who might as well be first.
fn alike(found: &Comparison, first: &Row, order: &[&Row]) -> Option<String> {
    let rounds = count(found.rounds, "round");
    let like = order[1..].iter().filter(|row| row.kind == Kind::Model && row.is_like(first));
    let names: Vec<String> = like.map(|row| format!("**{}** ({})", row.shown(), took(found, row))).collect();
    if !names.is_empty() {
        return Some(format!("{} cannot be told apart from it in {rounds}.", list(&names)));
    }
    let next = order.get(1)?;
    Some(format!(
        "It can be told apart from all others in {rounds}; next is **{}** with {}.",
        next.shown(),
        took(found, next)
    ))
}

/// Who would have done better alone.
fn slower(found: &Comparison) -> Option<String> {
    let plain = found.reference()?;
    let is_slower = |row: &&Row| row.speedup.is_some_and(|speedup| speedup.high < 1.0) && !row.is_like(plain);
    let slower = found.models().filter(is_slower);
    let said: Vec<String> =
        slower.map(|row| format!("**{}**, {} times as fast", row.shown(), times(found, row))).collect();
    (!said.is_empty()).then(|| format!("Slower than the plain loop: {}.", list(&said)))
}

/// What waiting for one thing after the other would take.
fn one_by_one(found: &Comparison) -> Option<String> {
    let waiting = found.waiting?;
    let said = "One request after the other, the plain loop would wait for";
    Some(format!("{said} {}: it is not timed.", time(waiting.sequential_s)))
}

fn cheapest(found: &Comparison, first: &Row) -> Option<String> {
    let bytes = |row: &Row| {
        Some(format!("[{}](#{})", memory(row.memory_bytes?), cell(&found.workload, row.shown(), "memory")))
    };
    let least = found.models().filter(|row| row.memory_bytes.is_some()).min_by_key(|row| row.memory_bytes)?;
    let most = found.models().max_by_key(|row| row.memory_bytes)?;
    let mut said = format!("Memory of the models: least **{}**, {}", least.shown(), bytes(least)?);
    if first.shown() != least.shown() {
        said += &format!("; {}, {}", first.shown(), bytes(first)?);
    }
    if most.shown() != least.shown() && most.shown() != first.shown() {
        said += &format!("; most {}, {}", most.shown(), bytes(most)?);
    }
    Some(said + ".")
}

fn earliest(found: &Comparison, first: &Row) -> Option<String> {
    let shown = |row: &Row| {
        Some(format!("[{}](#{})", time(row.first_s?), cell(&found.workload, row.shown(), "first")))
    };
    if found.prints_at_end {
        return None;
    }
    let models = found.models().filter(|row| row.first_s.is_some());
    let soonest = models
        .min_by(|one, other| one.first_s.unwrap_or(f64::MAX).total_cmp(&other.first_s.unwrap_or(f64::MAX)))?;
    let mut said =
        format!("Something is printed first by **{}**, after {}", soonest.shown(), shown(soonest)?);
    if first.shown() != soonest.shown() {
        said += &format!("; by {}, after {}", first.shown(), shown(first)?);
    }
    Some(said + ".")
}

/// Who keeps clients waiting least at the same rate.
fn patient(found: &Comparison) -> Option<String> {
    let p99 = |row: &Row| row.service.as_ref()?.p99_s;
    let shown =
        |row: &Row| Some(format!("[{}](#{})", time(p99(row)?), cell(&found.workload, row.shown(), "p99")));
    let mut models: Vec<&Row> = found.models().filter(|row| p99(row).is_some()).collect();
    models.sort_by(|one, other| p99(one).unwrap_or(f64::MAX).total_cmp(&p99(other).unwrap_or(f64::MAX)));
    let [best, .., worst] = models[..] else { return None };
    let rate = best.service.as_ref()?.rate_per_s?;
    Some(format!(
        "At {rate:.0} requests a second, 99 of 100 are answered within {} by **{}**, and within {} by {}.",
        shown(best)?,
        best.shown(),
        shown(worst)?,
        worst.shown()
    ))
}

fn tools(found: &Comparison, first: &Row) -> Option<String> {
    let best = *by_time(found.rows.iter().filter(|row| row.kind == Kind::Tool)).first()?;
    let times = ratio(best.median()? / first.median()?);
    Some(format!(
        "Of the tools that people use today, **{}** takes {}, {times} times as long as {}.",
        best.shown(),
        took(found, best),
        first.shown()
    ))
}

/// What is to be read first where little was measured.
fn caution(found: &Comparison) -> Option<String> {
    let rounds = count(found.rounds, "round");
    let said = format!("**{rounds} on the smoke input**: whether the programs agree, not how fast they are.");
    found.is_smoke().then_some(said)
}

/// How much to believe.
fn certainty(found: &Comparison) -> Option<String> {
    let rounds = count(found.rounds, "round");
    match found.rounds_to_tell {
        _ if found.is_smoke() => None,
        Some(needed) => {
            let needed = count(needed, "round");
            Some(format!("{rounds}; to tell any two models apart that differ by 3\u{202f}% takes {needed}."))
        }
        None => {
            Some(format!("{rounds}: too few to say how many it takes to tell a difference of 3\u{202f}%."))
        }
    }
}

/// Whether the machine changed while it was measured.
fn drift(found: &Comparison) -> Option<String> {
    let Drift { change, p, .. } = found.drift.filter(|drift| drift.found)?;
    let way = if change > 0.0 { "longer" } else { "less time" };
    Some(format!(
        "The last round took {} {way} than the first (p = {p:.3}): the machine changed; ratios within rounds hardly feel it.",
        percent(change.abs())
    ))
}

/// What has changed since an earlier result.
fn since(found: &Comparison) -> Option<String> {
    let Against { file, rows, .. } = found.baseline.as_ref()?;
    let differs = rows.iter().filter(|row| row.differs);
    let changed = differs.map(|Change { label, ratio: times, low, high, .. }| {
        format!("**{label}** takes {} ({}–{}) of its time then", ratio(*times), ratio(*low), ratio(*high))
    });
    let changed: Vec<String> = changed.collect();
    let same = rows.len() - changed.len();
    let changed = if changed.is_empty() { String::new() } else { format!("{}; ", list(&changed)) };
    Some(format!("Since {file}: {changed}no difference in {same} of {}.", count(rows.len(), "row")))
}

/// What went wrong.
fn troubles(found: &Comparison) -> Vec<String> {
    let partial = found.partial.then(|| format!("**Interrupted** after {}.", count(found.rounds, "round")));
    let trouble = |row: &Row| {
        let name = format!("[{}](#{})", row.shown(), cell(&found.workload, row.shown(), "output"));
        match &row.verdict {
            Verdict::Differs { .. } => {
                Some(format!("The output of {name} is **not the same**; it was not timed."))
            }
            Verdict::Failed => {
                Some(format!("{name} **failed**, {} of {} runs.", row.failures.len(), row.runs))
            }
            _ if row.failures.is_empty() => None,
            _ => Some(format!("{name} **failed** in {} of {} runs.", row.failures.len(), row.runs)),
        }
    };
    partial.into_iter().chain(found.rows.iter().filter_map(trouble)).collect()
}

/// How to read it.
#[must_use]
pub fn legend() -> Markup {
    html! {
        p class="quiet" {
            "The plain loop is the same program without concurrency, “sequential” in the table. In parentheses is where the figure lies with 95\u{202f}% confidence, or the range of all if there are fewer than six rounds. Two models cannot be told apart, and have a letter in common under “alike”, if the difference may be chance: each pair is tested round by round, more sharply the more pairs there are. A figure with a line below leads to its cell in the table."
        }
    }
}

/// On the page.
#[must_use]
pub fn article(found: &Comparison, back: &str) -> Markup {
    let Said { headline, sentences } = say(found);
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
