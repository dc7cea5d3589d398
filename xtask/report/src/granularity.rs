//! How small tasks may become before a model spends most of its time on distributing them.

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
    granularity::{Curve, GranularityResult, Metg, Point, Row},
};

/// A chart's height in pixels, and the y coordinates of its lowest and highest value.
const HEIGHT: f64 = 230.0;
const FLOOR: f64 = 200.0;
const CEILING: f64 = 12.0;

/// The section of the page.
#[must_use]
pub fn section(report: &Report) -> Markup {
    html! {
        @for sweep in &report.granularity { (article(sweep)) }
        @if report.granularity.is_empty() {
            article data-workload="mandelbrot" {
                p class="quiet" { "Not measured yet; run " code { "cargo xtask compare mandelbrot --granularity --html" } "." }
            }
        }
    }
}

fn article(sweep: &GranularityResult) -> Markup {
    let title = format!("granularity-{}", sweep.workload);
    html! {
        article data-workload=(sweep.workload) {
            h3 id=(title) { (sweep.workload) }
            p {
                "The rate of each model in percent of its best rate, as the work in a task shrinks from left to right. A line crosses 50\u{202f}% at the model’s METG(50\u{202f}%), the minimum effective task granularity: the smallest task that the model still handles at half of its best rate. Further to the right is better."
            }
            div class="pair" {
                (picture(sweep, "One task per message", |row| &row.single))
                (picture(sweep, "Tasks batched by the model", |row| &row.joined))
            }
            (table(sweep))
            p class="quiet" { (sweep.machine.shown()) " · " (count(sweep.workers.get(), "worker")) " · " (count(sweep.rounds, "round")) " · " code { (sweep.command) } }
        }
    }
}

fn picture(sweep: &GranularityResult, title: &str, curve: fn(&Row) -> &Curve) -> Markup {
    let scale = Scale::log(sweep.tiles.iter().map(|cut| cut.work_s));
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
                @for row in &sweep.rows { (line(row, curve(row), &scale)) }
            }
        }
    }
}

/// Whether a tick is a power of ten. There is no room for the labels of others.
fn is_power(tick: f64) -> bool {
    (tick.log10() - tick.log10().round()).abs() < 1e-6
}

fn height(part: f64) -> f64 {
    FLOOR - (FLOOR - CEILING) * part.clamp(0.0, 1.0)
}

fn line(row: &Row, curve: &Curve, scale: &Scale) -> Markup {
    let class = theme::class(&row.name, Kind::Model);
    let position = |point: &Point| (100.0 - scale.at(point.work_s), height(point.rate / curve.best));
    let title = |point: &Point| {
        format!("{}, {} per task: {}", row.name, time(point.work_s), share(point.rate / curve.best))
    };
    html! {
        g class=(class) {
            @for pair in curve.points.windows(2) { (segment("line", position(&pair[0]), position(&pair[1]))) }
            @for point in &curve.points { (mark(&class, position(point).0, position(point).1, &title(point))) }
        }
    }
}

fn table(sweep: &GranularityResult) -> Markup {
    html! {
        div class="wide" role="region" aria-label={ "Granularity of " (sweep.workload) } tabindex="0" {
            table {
                caption { span { "METG, the best rate (how many workers’ work it equals), and the rate with one task per message in percent of the best" } }
                thead { tr {
                    th scope="col" { "model" }
                    th scope="col" { "METG" } th scope="col" { "METG" br; small { "batched" } } th scope="col" { "best" }
                    @for cut in &sweep.tiles { th scope="col" { (cut.tile) br; small { (time(cut.work_s)) } } }
                } }
                tbody { @for row in &sweep.rows { (cells(sweep, row)) } }
            }
        }
    }
}

fn cells(sweep: &GranularityResult, row: &Row) -> Markup {
    let rate = |tile: &str| {
        let point = row.single.points.iter().find(|point| point.tile == tile)?;
        let bound = if point.stopped { "< " } else { "" };
        Some(format!("{bound}{:.0}", 100.0 * point.rate / row.single.best))
    };
    html! {
        tr id={ "granularity-" (sweep.workload) "-" (slug(&row.name)) } {
            th scope="row" { (theme::key(&row.name, Kind::Model)) (row.name) }
            td { (metg(row.single.metg)) } td { (metg(row.joined.metg)) } td { (ratio(row.single.best)) }
            @for cut in &sweep.tiles { td { (rate(&cut.tile).unwrap_or_else(|| "–".to_owned())) } }
        }
    }
}

/// A METG with its unit, or a dash.
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
