//! How small tasks may become before a model spends its time on sharing them.

use maud::{Markup, html};

use crate::{
    Report,
    chart::{Scale, mark, percent, segment},
    figures::{count, percent as share, ratio, time},
    table::slug,
    theme,
};
use xtask::compare::result::{
    Kind,
    granularity::{Curve, Metg, Point, Row, Swept},
};

/// A picture's height, its floor, and its ceiling.
const HEIGHT: f64 = 230.0;
const FLOOR: f64 = 200.0;
const CEILING: f64 = 12.0;

/// What is known on the page.
#[must_use]
pub fn section(report: &Report) -> Markup {
    html! {
        @for swept in &report.granularity { (article(swept)) }
        @if report.granularity.is_empty() {
            article data-workload="mandelbrot" {
                p class="quiet" { "It has not been measured: " code { "cargo xtask compare mandelbrot --granularity --html" } " does." }
            }
        }
    }
}

fn article(swept: &Swept) -> Markup {
    let title = format!("granularity-{}", swept.workload);
    html! {
        article data-workload=(swept.workload) {
            h3 id=(title) { (swept.workload) }
            p {
                "The rate of each model in percent of its best, as the work in a task shrinks from left to right. Where a line crosses the half is its METG(50\u{202f}%), the smallest task worth sharing: the nearer to the right the better."
            }
            div class="pair" {
                (picture(swept, "One task a message", |row| &row.single))
                (picture(swept, "As the model joins tasks", |row| &row.joined))
            }
            (table(swept))
            p class="quiet" { (swept.machine.shown()) " · " (count(swept.workers.get(), "worker")) " · " (count(swept.rounds, "round")) " · " code { (swept.command) } }
        }
    }
}

fn picture(swept: &Swept, title: &str, curve: fn(&Row) -> &Curve) -> Markup {
    let scale = Scale::log(swept.tiles.iter().map(|cut| cut.work_s));
    html! {
        figure class="chart" {
            figcaption { (title) }
            svg class="curve" width="100%" height=(HEIGHT) role="img" aria-label=(format!("{title}; the figures are in the table below")) {
                @for part in [0.0, 0.5, 1.0] {
                    (segment(if part == 0.5 { "half" } else { "grid" }, (3.0, height(part)), (97.0, height(part))))
                    text class="part" x="3%" y=(height(part) - 3.0) { (share(part)) }
                }
                @for tick in scale.ticks().into_iter().filter(|tick| is_power(*tick)) {
                    text x=(percent(100.0 - scale.at(tick))) y=(HEIGHT - 10.0) text-anchor="middle" { (time(tick)) }
                }
                @for row in &swept.rows { (line(row, curve(row), &scale)) }
            }
        }
    }
}

/// Whether there is room for its name: that of every power of ten.
fn is_power(tick: f64) -> bool {
    (tick.log10() - tick.log10().round()).abs() < 1e-6
}

fn height(part: f64) -> f64 {
    FLOOR - (FLOOR - CEILING) * part.clamp(0.0, 1.0)
}

fn line(row: &Row, curve: &Curve, scale: &Scale) -> Markup {
    let class = theme::class(&row.name, Kind::Model);
    let place = |point: &Point| (100.0 - scale.at(point.work_s), height(point.rate / curve.best));
    let title = |point: &Point| {
        format!("{}, {} a task: {}", row.name, time(point.work_s), share(point.rate / curve.best))
    };
    html! {
        g class=(class) {
            @for pair in curve.points.windows(2) { (segment("line", place(&pair[0]), place(&pair[1]))) }
            @for point in &curve.points { (mark(&class, place(point).0, place(point).1, &title(point))) }
        }
    }
}

fn table(swept: &Swept) -> Markup {
    html! {
        div class="wide" role="region" aria-label={ "Granularity of " (swept.workload) } tabindex="0" {
            table {
                caption { span { "METG, the best rate in workers’ work, and the rate with one task a message, in percent of the best" } }
                thead { tr {
                    th scope="col" { "model" }
                    th scope="col" { "METG" } th scope="col" { "METG" br; small { "joined" } } th scope="col" { "best" }
                    @for cut in &swept.tiles { th scope="col" { (cut.tile) br; small { (time(cut.work_s)) } } }
                } }
                tbody { @for row in &swept.rows { (cells(swept, row)) } }
            }
        }
    }
}

fn cells(swept: &Swept, row: &Row) -> Markup {
    let rate = |tile: &str| {
        let point = row.single.points.iter().find(|point| point.tile == tile)?;
        let bound = if point.stopped { "< " } else { "" };
        Some(format!("{bound}{:.0}", 100.0 * point.rate / row.single.best))
    };
    html! {
        tr id={ "granularity-" (swept.workload) "-" (slug(&row.name)) } {
            th scope="row" { (theme::key(&row.name, Kind::Model)) (row.name) }
            td { (metg(row.single.metg)) } td { (metg(row.joined.metg)) } td { (ratio(row.single.best)) }
            @for cut in &swept.tiles { td { (rate(&cut.tile).unwrap_or_else(|| "–".to_owned())) } }
        }
    }
}

/// The smallest task worth sharing.
#[must_use]
pub fn metg(metg: Option<Metg>) -> String {
    metg.map_or_else(
        || "–".to_owned(),
        |metg| {
            let bound = if metg.is_bound { "< " } else { "" };
            format!("{bound}{}", time(metg.work_s))
        },
    )
}
