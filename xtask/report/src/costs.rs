//! Memory, and the time until the first output.

use maud::{Markup, html};

use crate::{
    chart::{Scale, axis, grid, percent},
    figures::{ms, tick},
    theme,
};
use xtask::compare::result::{Comparison, Row};

/// The two charts of a workload.
#[must_use]
pub fn article(found: &Comparison) -> Markup {
    let bytes = |row: &Row| row.memory_bytes.map(|bytes| bytes as f64 / 1e6);
    let first = |row: &Row| row.first_s.map(|first| first * 1e3);
    html! {
        article data-workload=(found.workload) {
            h3 id={ "costs-" (found.workload) } { (found.workload) }
            div class="pair" {
                (bars(found, "Peak memory", "MB", &bytes, |value| format!("{value:.1}")))
                @if found.prints_at_end {
                    p class="quiet" { "Nothing is printed before the end, so the time to first output is the total time in " a href={ "#table-" (found.workload) } { "the table" } "." }
                } @else {
                    (bars(found, "Time to first output", "ms", &first, |value| ms(value / 1e3)))
                }
            }
        }
    }
}

fn bars(
    found: &Comparison,
    title: &str,
    unit: &str,
    value: &dyn Fn(&Row) -> Option<f64>,
    shown: fn(f64) -> String,
) -> Markup {
    let scale = Scale::from_zero(found.rows.iter().filter_map(value));
    html! {
        figure class="chart" {
            figcaption { (title) }
            ul class="lanes short" { @for row in &found.rows { (bar(row, value(row), unit, &scale, shown)) } }
            (axis(&scale, tick, unit))
        }
    }
}

fn bar(row: &Row, value: Option<f64>, unit: &str, scale: &Scale, shown: fn(f64) -> String) -> Markup {
    let zero = scale.at(0.0);
    let figure = value.map_or_else(|| "–".to_owned(), shown);
    html! {
        li class="lane" {
            span class="lane-name" { (theme::key(&row.name, row.kind)) (row.shown()) }
            svg class={ "strip " (theme::class(&row.name, row.kind)) } width="100%" height="18" role="img" aria-label=(format!("{}: {figure} {unit}", row.shown())) {
                (grid(scale))
                @if let Some(value) = value {
                    rect class="bar" x=(percent(zero)) width=(percent((scale.at(value) - zero).max(0.3))) y="4" height="10" {}
                }
            }
            span class="figure" { (figure) }
        }
    }
}
