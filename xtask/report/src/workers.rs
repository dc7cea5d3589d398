//! Efficiency by number of workers: how much each further worker contributes.

use maud::{Markup, html};

use crate::{
    chart::{Scale, mark, percent, segment},
    figures::{count, list, percent as share},
    table::cell,
    theme, words,
};
use xtask::compare::result::{Comparison, Kind, Point, Row, Scaling, Usl};

/// A chart's height in pixels, and the y coordinates of its lowest and highest value.
const HEIGHT: f64 = 180.0;
const FLOOR: f64 = 155.0;
const CEILING: f64 = 18.0;

/// The section of a workload.
#[must_use]
pub fn article(found: &Comparison, back: &str) -> Markup {
    html! {
        article data-workload=(found.workload) {
            h3 id={ "workers-" (found.workload) } { (found.workload) }
            @if found.scaling.is_empty() { (one(found, back)) } @else { (picture(found)) (table(found)) (laws(found)) }
        }
    }
}

fn picture(found: &Comparison) -> Markup {
    let counts = found.worker_counts();
    let scale = Scale::log(counts.iter().map(|count| *count as f64));
    let all =
        found.scaling.iter().flat_map(|scaling| scaling.points.iter().filter_map(|point| point.efficiency));
    let highest = all.fold(1.0, f64::max);
    let height = |value: f64| FLOOR - (FLOOR - CEILING) * value / highest;
    html! {
        figure class="chart" {
            figcaption { "Efficiency by workers: the speed-up over the lowest number of workers, divided by the ratio of the numbers of workers. At 100\u{202f}% each further worker contributes as much as the first." }
            svg class="curve" width="100%" height=(HEIGHT) role="img" aria-label="Efficiency by workers; the figures are in the table below" {
                @for part in [0.0, 1.0] {
                    (segment("grid", (3.0, height(part)), (97.0, height(part))))
                    text class="part" x="3%" y=(height(part) - 3.0) { (share(part)) }
                }
                @for count in &counts {
                    text x=(percent(scale.at(*count as f64))) y=(HEIGHT - 6.0) text-anchor="middle" { (count) }
                }
                @for scaling in &found.scaling { (curve(scaling, &scale, &height)) }
            }
        }
    }
}

fn curve(scaling: &Scaling, scale: &Scale, height: &dyn Fn(f64) -> f64) -> Markup {
    let class = theme::class(&scaling.name, Kind::Model);
    let mark_of = |point: &Point| {
        let value = point.efficiency?;
        let title = format!("{}, {}: {}", scaling.name, count(point.workers.get(), "worker"), share(value));
        Some((scale.at(point.workers.get() as f64), height(value), title))
    };
    let marks: Vec<_> = scaling.points.iter().filter_map(mark_of).collect();
    html! {
        g class=(class) {
            @for pair in marks.windows(2) { (segment("line", (pair[0].0, pair[0].1), (pair[1].0, pair[1].1))) }
            @for (x, y, title) in &marks { (mark(&class, *x, *y, title)) }
        }
    }
}

fn table(found: &Comparison) -> Markup {
    let counts = found.worker_counts();
    let shown = |scaling: &Scaling, count: usize| {
        let point = scaling.points.iter().find(|point| point.workers.get() == count)?;
        point.efficiency.map(share)
    };
    html! {
        div class="wide" role="region" aria-label={ "Efficiency of " (found.workload) } tabindex="0" {
            table {
                caption { span { "Efficiency by the number of workers" } }
                thead { tr {
                    th scope="col" { "model" }
                    @for count in &counts { th scope="col" { (count) @if is_over(found, *count) { br; small { "more than cores" } } } }
                } }
                tbody { @for scaling in &found.scaling { tr {
                    th scope="row" { (theme::key(&scaling.name, Kind::Model)) (scaling.name) }
                    @for count in &counts { td { (shown(scaling, *count).unwrap_or_else(|| "–".to_owned())) } }
                } } }
            }
        }
    }
}

/// Whether there are more workers than cores.
fn is_over(found: &Comparison, count: usize) -> bool {
    let mut points = found.scaling.iter().flat_map(|scaling| &scaling.points);
    points.any(|point| point.workers.get() == count && point.over_cores)
}

/// The fitted scalability law of each model, or what a fit would need.
fn laws(found: &Comparison) -> Markup {
    let law = |scaling: &Scaling| {
        let Usl { contention, coherency, error, .. } = scaling.law?;
        Some(format!(
            "{}: {} of the work is serial (contention); coherency costs {coherency:.4} per pair of workers; the fit deviates by {}.",
            scaling.name,
            share(contention),
            share(error)
        ))
    };
    let laws: Vec<String> = found.scaling.iter().filter_map(law).collect();
    html! {
        @if laws.is_empty() {
            p class="quiet" { "The Universal Scalability Law needs at least five different numbers of workers, none of which exceeds the number of cores; this machine has " (count(found.machine.cores.get(), "core")) "." }
        } @else {
            p { "The Universal Scalability Law, fitted:" }
            ul { @for law in laws { li { (law) } } }
        }
    }
}

/// The efficiency if only one number of workers was measured, and the command for more.
fn one(found: &Comparison, back: &str) -> Markup {
    let figures = at_one(found);
    html! {
        @if !figures.is_empty() {
            p { "Efficiency (speed-up / number of workers) with " (count(found.workers.get(), "worker")) ": " (words::on_page(&list(&figures), back)) "." }
        }
        p class="quiet" {
            "There is no chart, because only one number of workers was measured. " code { "cargo xtask compare " (found.workload) " --workers 1,2,4 --html" } " measures several."
        }
    }
}

fn at_one(found: &Comparison) -> Vec<String> {
    let figure = |row: &Row| {
        let speedup = row.speedup.filter(|_| row.kind == Kind::Model)?.median;
        let to = cell(&found.workload, row.shown(), "speed-up");
        Some(format!("**{}** [{}](#{to})", row.shown(), share(speedup / found.workers.get() as f64)))
    };
    found.rows.iter().filter_map(figure).collect()
}
