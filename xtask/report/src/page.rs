//! The page: one file that loads nothing else, and that is complete without scripts.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::{
    Report, choose, code, costs, granularity, method, samples, table, theme, timeline, verdict, workers,
};
use xtask::compare::result::Comparison;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The parts of the page: their ids and their titles.
const PARTS: [(&str, &str); 11] = [
    ("verdict", "Verdict"),
    ("table", "Table"),
    ("samples", "All runs"),
    ("workers", "Efficiency by workers"),
    ("timeline", "Timeline"),
    ("costs", "Memory and first output"),
    ("granularity", "Granularity"),
    ("code", "The code"),
    ("method", "How it was measured"),
    ("raw", "Raw data"),
    ("choose", "Choose a model"),
];

/// The complete page. `back` is the path from its folder to the workspace.
#[must_use]
pub fn html(report: &Report, back: &str) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Concurrency Compared" }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) (PreEscaped(filters(report))) }
            }
            body {
                a class="skip" href="#main" { "To the verdict" }
                (theme::marks())
                (header(report))
                (contents(report))
                main id="main" tabindex="-1" { (sections(report, back)) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn header(report: &Report) -> Markup {
    html! {
        header {
            div {
                h1 { "Concurrency Compared" }
                p { "The same programs, written once for each model of concurrency, on the same work." }
                @if let Some(found) = report.comparisons.first() { p class="quiet" { (found.machine.shown()) } }
            }
            button type="button" id="theme" hidden { "Dark" }
        }
    }
}

/// The navigation: links to the parts, and the choice of a workload.
fn contents(report: &Report) -> Markup {
    html! {
        nav aria-label="Parts of the page" {
            @if report.comparisons.len() > 1 {
                fieldset class="filter" {
                    legend { "Workload" }
                    label { input type="radio" name="workload" id="only-all" checked; " all" }
                    @for found in &report.comparisons {
                        label { input type="radio" name="workload" id={ "only-" (found.workload) }; " " (found.workload) }
                    }
                }
            }
            ol { @for (id, title) in PARTS { li { a href={ "#" (id) } { (title) } } } }
        }
    }
}

/// The style rules that hide the workloads that are not chosen. They need no script.
fn filters(report: &Report) -> String {
    let rule = |found: &Comparison| {
        let name = &found.workload;
        format!("body:has(#only-{name}:checked) article:not([data-workload=\"{name}\"]){{display:none}}\n")
    };
    report.comparisons.iter().map(rule).collect()
}

fn sections(report: &Report, back: &str) -> Markup {
    let each = |article: &dyn Fn(&Comparison) -> Markup| html! { @for found in &report.comparisons { (article(found)) } };
    html! {
        (section(0, html! { (verdict::legend()) (each(&|found| verdict::article(found, back))) }))
        (section(1, html! { (table::legend()) (each(&table::article)) }))
        (section(2, html! { (samples::legend()) (each(&samples::article)) }))
        (section(3, each(&|found| workers::article(found, back))))
        (section(4, html! { (timeline::legend()) (each(&timeline::article)) }))
        (section(5, each(&costs::article)))
        (section(6, granularity::section(report)))
        (section(7, html! {
            p { "All models share the code of a workload’s tasks; a model’s file contains only the concurrency. These are the files that the programs were built from." }
            @for sources in &report.sources { (code::article(sources)) }
        }))
        (section(8, html! { (method::common()) (each(&method::article)) }))
        (section(9, html! { p { "All measurements, with every single run." } (method::raw(report)) }))
        (section(10, html! {
            p { "Look for the traits of your program. Figures are links to their table cells, names of tests are links to their files." }
            div class="traits" { (choose::section(report, back)) }
        }))
    }
}

fn section(at: usize, body: Markup) -> Markup {
    let (id, title) = PARTS[at];
    let heading = format!("{id}-title");
    html! {
        section id=(id) aria-labelledby=(heading) {
            h2 id=(heading) { (title) }
            (body)
        }
    }
}
