//! How the workloads were measured, and the result files for download.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use maud::{Markup, html};

use crate::{
    Report,
    figures::count,
    results::{Raw, workers},
};
use xtask::compare::result::Comparison;

/// How one workload was measured.
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
                @for unlike in found.baseline.iter().flat_map(|baseline| &baseline.unlike) { dt { "differs from the baseline" } dd { (unlike) } }
                dt { "input" } dd { (found.input.name) ": " (found.caption) }
                dt { "rounds" } dd { (count(found.rounds, "round")) ", interleaved, with " (workers(found)) @if let Some(needed) = found.rounds_to_tell { "; a difference of 3\u{202f}% between two rows is found in " (needed) } }
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

/// How every workload was measured.
#[must_use]
pub fn common() -> Markup {
    html! {
        p {
            "Each run of a model’s release program is a separate process. First its output is compared with the reference’s; only programs with the same output are timed. Rounds are interleaved, so that a temporarily slow machine slows all rows. The speed-up is the ratio of two times in the same round. Rows that share a letter cannot be told apart; the test is corrected for the number of pairs. Memory is measured in separate rounds."
        }
    }
}

/// The result files as download links.
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
