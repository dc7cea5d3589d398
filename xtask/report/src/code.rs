//! The models' source files, and the lines that two of them share.
//!
//! Each file is on the page once, in a `details` element that opens without scripts. For every pair
//! of files of a workload, the page has a short list of runs of lines that are the same or differ;
//! script.js uses it to show two files side by side. Syntax highlighting uses the compiler's lexer,
//! like `cargo xtask show`. `syntect` would add grammars and a regular expression engine for a
//! single language.

use std::mem;

use maud::{Markup, PreEscaped, html};
use xtask::show::{
    align::{Piece, pieces, sections},
    highlight::TokenClass,
    source::{Line, Source},
};

use crate::{
    figures::count,
    sources::{SourceFile, WorkloadSources},
    table::slug,
    theme,
};
use xtask::compare::result::Kind;

/// The source files of a workload.
#[must_use]
pub fn article(sources: &WorkloadSources) -> Markup {
    let workload = &sources.workload;
    html! {
        article data-workload=(workload) {
            h3 id={ "code-" (workload) } { (workload) }
            (panes(sources))
            p class="listings" { "Single files:" }
            @for file in &sources.files { (listing(sources, file)) }
        }
    }
}

/// Two files side by side. They need the script, which makes them visible.
fn panes(sources: &WorkloadSources) -> Markup {
    let [left, right] = first_two(sources);
    let workload = &sources.workload;
    html! {
        div class="panes" hidden data-panes=(workload) {
            div class="choice" {
                (choice(sources, "left", left))
                (choice(sources, "right", right))
                label { input type="checkbox" data-comments; " comments" }
                label { input type="checkbox" data-shared checked; " lines in both files" }
            }
            p class="quiet" role="status" data-status {}
            div class="diff" role="region" aria-label={ "Two files of " (workload) " side by side" } tabindex="0" {}
            script type="application/json" { (PreEscaped(alignments(sources))) }
        }
    }
}

fn choice(sources: &WorkloadSources, side: &str, chosen: usize) -> Markup {
    html! {
        label {
            span class="side" { (side) " " }
            select data-side=(side) {
                @for (at, file) in sources.files.iter().enumerate() {
                    option value=(at) selected[at == chosen] data-listing={ "code-" (sources.workload) "-" (slug(&file.model)) } { (file.model) }
                }
            }
        }
    }
}

/// The files that are shown at first: threads and async; the first or the last file if one of them
/// is missing.
fn first_two(sources: &WorkloadSources) -> [usize; 2] {
    let index = |model: &str| sources.files.iter().position(|file| file.model == model);
    let last = sources.files.len().saturating_sub(1);
    [index("threads").unwrap_or(0), index("async").unwrap_or(last)]
}

fn listing(sources: &WorkloadSources, file: &SourceFile) -> Markup {
    html! {
        details class="listing" id={ "code-" (sources.workload) "-" (slug(&file.model)) } {
            summary {
                (theme::key(&file.model, Kind::Model)) (file.model) " "
                code { (file.path) } " " small { (count(file.source.lines.len(), "line")) @if file.has_changed { ", changed since the measurement" } }
            }
            pre tabindex="0" aria-label=(file.path) { code { (lines(&file.source)) } }
        }
    }
}

/// The lines, each in an element of its own, so that the script can copy them. The first line of
/// code of a part has the part's name as an attribute.
fn lines(source: &Source) -> Markup {
    let mut last = None;
    let named = source.lines.iter().map(|line| {
        let part = line.part.as_deref();
        let is_first = !is_comment(line) && mem::replace(&mut last, part) != part;
        (line, part.filter(|_| is_first))
    });
    let named: Vec<(&Line, Option<&str>)> = named.collect();
    html! {
        @for (line, part) in named {
            span class=(if is_comment(line) { "l c" } else { "l" }) data-n=(line.number) data-part=[part] {
                @for (class, text) in &line.spans { (token(*class, text)) }
                "\n"
            }
        }
    }
}

fn is_comment(line: &Line) -> bool {
    line.text.trim_start().starts_with("//")
}

fn token(class: TokenClass, text: &str) -> Markup {
    let class = match class {
        TokenClass::Plain => return html! { (text) },
        TokenClass::Comment => "c",
        TokenClass::Keyword => "k",
        TokenClass::Type => "t",
        TokenClass::Function => "f",
        TokenClass::Literal => "s",
    };
    html! { i class=(class) { (text) } }
}

/// The runs of every pair of files as JSON, by the indices of both files. A run is `[1, a, b]` for
/// lines that are the same or `[0, a, b]` for lines that differ, with the number of lines of each
/// file.
fn alignments(sources: &WorkloadSources) -> String {
    let files = || sources.files.iter().enumerate();
    let pairs =
        files().flat_map(|one| files().map(move |other| (one, other))).filter(|(one, other)| one.0 < other.0);
    let pair = |((one, a), (other, b)): ((usize, &SourceFile), (usize, &SourceFile))| {
        let runs: Vec<String> = runs(&a.source, &b.source).iter().map(|run| format!("{run:?}")).collect();
        format!("\"{one} {other}\":[{}]", runs.join(",").replace(' ', ""))
    };
    format!("{{{}}}", pairs.map(pair).collect::<Vec<_>>().join(","))
}

/// Runs of lines: 1 if they are the same or 0 if they differ, and the number of lines of each file.
fn runs(one: &Source, other: &Source) -> Vec<[usize; 3]> {
    let sources = [one, other].map(|source| Source { title: String::new(), lines: source.lines.clone() });
    let mut runs: Vec<[usize; 3]> = Vec::new();
    for section in sections(&sources) {
        for piece in pieces(section.lines[0], section.lines[1]) {
            let run = match piece {
                Piece::Same([a, b]) => [1, a.len(), b.len()],
                Piece::Changed([a, b]) => [0, a.len(), b.len()],
            };
            match runs.last_mut().filter(|last| last[0] == run[0]) {
                Some(last) => (1..3).for_each(|side| last[side] += run[side]),
                None => runs.push(run),
            }
        }
    }
    runs
}
