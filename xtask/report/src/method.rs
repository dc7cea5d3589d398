//! How it was measured, and the results themselves.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use maud::{Markup, html};

use crate::{
    Report,
    figures::count,
    results::{Raw, workers},
};
use xtask::compare::result::Comparison;

/// How a workload was measured.
#[must_use]
pub fn article(found: &Comparison) -> Markup {
    html! {
        article data-workload=(found.workload) {
            h3 id={ "method-" (found.workload) } { (found.workload) }
            dl {
                dt { "machine" } dd { (found.machine.shown()) }
                dt { "command" } dd { code { (found.command) } }
                @if !found.time.is_empty() { dt { "time" } dd { (found.time) @if let Some(commit) = &found.commit { ", commit " code { (commit) } } } }
                @for warning in &found.warnings { dt { "warning" } dd { (warning) } }
                @for unlike in found.baseline.iter().flat_map(|baseline| &baseline.unlike) { dt { "unlike the baseline" } dd { (unlike) } }
                dt { "input" } dd { (found.input.name) ": " (found.caption) }
                dt { "rounds" } dd { (count(found.rounds, "round")) ", interleaved, with " (workers(found)) @if let Some(needed) = found.rounds_to_tell { "; to tell any two rows apart that differ by 3\u{202f}% takes " (needed) } }
                dt { "measured" } dd { code { (found.query) } }
                dt { "checked" } dd { @for (at, query) in found.checked.iter().enumerate() { @if at > 0 { " · " } code { (query) } } }
                dt { "memory" } dd { (found.memory) }
            }
            (commands(found))
        }
    }
}

fn commands(found: &Comparison) -> Markup {
    html! {
        details {
            summary { "The programs and their arguments" }
            dl class="commands" { @for row in &found.rows { dt { (row.label) ", " (row.mechanism) } dd { code { (row.command.join(" ")) } } } }
        }
    }
}

/// What holds for all workloads.
#[must_use]
pub fn common() -> Markup {
    html! {
        p {
            "Each model’s release program runs in a process of its own. Its output is compared with the reference’s first, and only what is the same is timed. Rounds are interleaved, so that what slows the machine for a while slows all rows. Speed-up is the ratio within a round; rows that cannot be told apart share a letter, corrected for the number of pairs. Memory is measured in rounds of its own."
        }
    }
}

/// The results, to be taken away.
#[must_use]
pub fn raw(report: &Report) -> Markup {
    html! {
        ul class="raw" {
            @for Raw { name, text } in &report.raw {
                li { a download=(name) href={ "data:application/json;base64," (STANDARD.encode(text)) } { (name) } " " small { (text.len().div_ceil(1000)) " kB" } }
            }
        }
    }
}
