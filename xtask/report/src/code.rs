//! The models' files, and which lines two of them share.
//!
//! A file is on the page once, in a `details` that opens without scripts. For every two files of a workload the page has a
//! short list of how many lines are the same and how many are not; script.js lays two files beside each other by it. The
//! words are coloured by the compiler's lexer, as `cargo xtask show` does: `syntect` would bring grammars and a regular
//! expression engine for a language that is read here without either.

use std::mem;

use maud::{Markup, PreEscaped, html};
use xtask::show::{
    align::{Piece, pieces, sections},
    highlight::Word,
    source::{Line, Source},
};

use crate::{
    figures::count,
    sources::{File, Shelf},
    table::slug,
    theme,
};
use xtask::compare::result::Kind;

/// The files on the page.
#[must_use]
pub fn article(shelf: &Shelf) -> Markup {
    let workload = &shelf.workload;
    html! {
        article data-workload=(workload) {
            h3 id={ "code-" (workload) } { (workload) }
            (panes(shelf))
            p class="listings" { "Each file by itself:" }
            @for file in &shelf.files { (listing(shelf, file)) }
        }
    }
}

/// Two files beside each other, which needs the script.
fn panes(shelf: &Shelf) -> Markup {
    let [left, right] = first_two(shelf);
    let workload = &shelf.workload;
    html! {
        div class="panes" hidden data-panes=(workload) {
            div class="choice" {
                (choice(shelf, "left", left))
                (choice(shelf, "right", right))
                label { input type="checkbox" data-comments; " comments" }
                label { input type="checkbox" data-shared checked; " what both share" }
            }
            p class="quiet" role="status" data-status {}
            div class="diff" role="region" aria-label={ "Two files of " (workload) " beside each other" } tabindex="0" {}
            script type="application/json" { (PreEscaped(alignments(shelf))) }
        }
    }
}

fn choice(shelf: &Shelf, side: &str, chosen: usize) -> Markup {
    html! {
        label {
            span class="side" { (side) " " }
            select data-side=(side) {
                @for (at, file) in shelf.files.iter().enumerate() {
                    option value=(at) selected[at == chosen] data-listing={ "code-" (shelf.workload) "-" (slug(&file.model)) } { (file.model) }
                }
            }
        }
    }
}

/// Threads and async, as far as they are there.
fn first_two(shelf: &Shelf) -> [usize; 2] {
    let place = |model: &str| shelf.files.iter().position(|file| file.model == model);
    let last = shelf.files.len().saturating_sub(1);
    [place("threads").unwrap_or(0), place("async").unwrap_or(last)]
}

fn listing(shelf: &Shelf, file: &File) -> Markup {
    html! {
        details class="listing" id={ "code-" (shelf.workload) "-" (slug(&file.model)) } {
            summary {
                (theme::key(&file.model, Kind::Model)) (file.model) " "
                code { (file.path) } " " small { (count(file.source.lines.len(), "line")) @if file.has_changed { ", changed since it was measured" } }
            }
            pre tabindex="0" aria-label=(file.path) { code { (lines(&file.source)) } }
        }
    }
}

/// The lines, each in an element of its own, so that the script can put them elsewhere. The first line of code of a part
/// carries its name.
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
                @for (word, text) in &line.spans { (piece(*word, text)) }
                "\n"
            }
        }
    }
}

fn is_comment(line: &Line) -> bool {
    line.text.trim_start().starts_with("//")
}

fn piece(word: Word, text: &str) -> Markup {
    let class = match word {
        Word::Plain => return html! { (text) },
        Word::Comment => "c",
        Word::Keyword => "k",
        Word::Type => "t",
        Word::Function => "f",
        Word::Literal => "s",
    };
    html! { i class=(class) { (text) } }
}

/// For every two files, by their places in the list, how many lines are the same (1) or not (0) in the one and the other.
fn alignments(shelf: &Shelf) -> String {
    let files = || shelf.files.iter().enumerate();
    let pairs =
        files().flat_map(|one| files().map(move |other| (one, other))).filter(|(one, other)| one.0 < other.0);
    let pair = |((one, a), (other, b)): ((usize, &File), (usize, &File))| {
        let runs: Vec<String> = runs(&a.source, &b.source).iter().map(|run| format!("{run:?}")).collect();
        format!("\"{one} {other}\":[{}]", runs.join(",").replace(' ', ""))
    };
    format!("{{{}}}", pairs.map(pair).collect::<Vec<_>>().join(","))
}

/// Runs of lines: whether they are the same, how many of the one, and of the other.
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
