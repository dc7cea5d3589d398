//! How much of each further worker a model makes use of.

use maud::{Markup, html};

use crate::{
    chart::{Scale, mark, percent, segment},
    figures::{count, list, percent as share, ratio},
    look,
    results::{Comparison, Kind, Row, Step},
    table::cell,
    words,
};

/// The height of a picture, and of its part above the axis.
const HEIGHT: f64 = 180.0;
const FLOOR: f64 = 155.0;

/// What is known on the page.
#[must_use]
pub fn article(found: &Comparison, back: &str) -> Markup {
    html! {
        article data-workload=(found.workload) {
            h3 id={ "workers-" (found.workload) } { (found.workload) }
            @if found.sweep.len() > 1 { (picture(found)) (table(found)) } @else { (one(found, back)) }
        }
    }
}

/// How much faster a row was than the reference, by its workers.
fn efficiency(step: &Step, name: &str) -> Option<f64> {
    let speedup = step.rows.iter().find(|row| row.name == name)?.speedup?;
    Some(speedup.median / step.workers as f64)
}

/// The rows of which something is known.
fn swept(found: &Comparison) -> impl Iterator<Item = &Row> {
    found.models().filter(|row| found.sweep.iter().any(|step| efficiency(step, &row.name).is_some()))
}

fn picture(found: &Comparison) -> Markup {
    let scale = Scale::over(found.sweep.iter().map(|step| step.workers as f64));
    let most = swept(found).flat_map(|row| found.sweep.iter().filter_map(|step| efficiency(step, &row.name)));
    let most = most.fold(1.0, f64::max);
    let height = |value: f64| FLOOR - (FLOOR - 10.0) * value / most;
    html! {
        figure class="chart" {
            figcaption { "Efficiency: the speed-up by the number of workers. The line at the top would be a whole further worker each time." }
            svg class="curve" width="100%" height=(HEIGHT) role="img" aria-label="Efficiency by workers; the figures are in the table below" {
                (segment("grid", (3.0, height(1.0)), (97.0, height(1.0))))
                (segment("grid", (3.0, FLOOR), (97.0, FLOOR)))
                @for part in [0.0, 1.0] {
                    text class="part" x="3%" y=(height(part) - 3.0) { (share(part)) }
                }
                @for step in &found.sweep {
                    text x=(percent(scale.at(step.workers as f64))) y=(HEIGHT - 6.0) text-anchor="middle" { (step.workers) }
                }
                @for row in swept(found) { (curve(found, row, &scale, &height)) }
            }
        }
    }
}

fn curve(found: &Comparison, row: &Row, scale: &Scale, height: &dyn Fn(f64) -> f64) -> Markup {
    let class = look::class(&row.name, row.kind);
    let point = |step: &Step| {
        let value = efficiency(step, &row.name)?;
        Some((
            scale.at(step.workers as f64),
            height(value),
            format!("{}, {}: {}", row.name, count(step.workers, "worker"), ratio(value)),
        ))
    };
    let points: Vec<_> = found.sweep.iter().filter_map(point).collect();
    html! {
        g class=(class) {
            @for pair in points.windows(2) { (segment("line", (pair[0].0, pair[0].1), (pair[1].0, pair[1].1))) }
            @for (x, y, title) in &points { (mark(&class, *x, *y, title)) }
        }
    }
}

fn table(found: &Comparison) -> Markup {
    html! {
        div class="wide" role="region" aria-labelledby={ "workers-" (found.workload) } tabindex="0" {
            table {
                caption { "Efficiency by the number of workers" }
                thead { tr {
                    th scope="col" { "model" }
                    @for step in &found.sweep { th scope="col" { (step.workers) @if step.workers > found.machine.cores { br; small { "more than cores" } } } }
                } }
                tbody { @for row in swept(found) { tr {
                    th scope="row" { (look::key(&row.name, row.kind)) (row.name) }
                    @for step in &found.sweep { td { (efficiency(step, &row.name).map_or_else(|| "–".to_owned(), ratio)) } }
                } } }
            }
        }
    }
}

/// What one number of workers says, and the command for more of them.
fn one(found: &Comparison, back: &str) -> Markup {
    let said = at_one(found);
    html! {
        @if !said.is_empty() {
            p { "Efficiency, the speed-up by the number of workers, with " (count(found.workers, "worker")) ": " (words::on_page(&list(&said), back)) "." }
        }
        p class="quiet" {
            "There is no picture: only one number of workers was measured. " code { "cargo xtask compare " (found.workload) " --workers 1,2,4 --html" } " measures several."
        }
    }
}

fn at_one(found: &Comparison) -> Vec<String> {
    let said = |row: &Row| {
        let speedup = row.speedup.filter(|_| row.kind == Kind::Model)?.median;
        let to = cell(&found.workload, &row.name, "speed-up");
        Some(format!("**{}** [{}](#{to})", row.name, share(speedup / found.workers.max(1) as f64)))
    };
    found.rows.iter().filter_map(said).collect()
}
