//! Every timed run in the order of execution, with the interval of the median.

use maud::{Markup, html};

use crate::{
    chart::{Scale, axis, grid, mark, percent, segment},
    figures::{ms, tick},
    theme,
};
use xtask::compare::result::{Comparison, Outlier, Row, Sample};

/// A lane's height in pixels: the margin at its top and bottom, the height per run, and the limits.
const EDGE: f64 = 9.0;
const EACH: f64 = 5.0;
const LOWEST: f64 = 24.0;
const HIGHEST: f64 = 90.0;

/// The chart of a workload.
#[must_use]
pub fn article(found: &Comparison) -> Markup {
    let times = found
        .rows
        .iter()
        .flat_map(|row| row.timed().into_iter().map(|sample| sample.wall_s).chain(ends(row)));
    let scale = Scale::over(times);
    html! {
        article data-workload=(found.workload) {
            h3 id={ "samples-" (found.workload) } { (found.workload) }
            figure class="chart" {
                @if scale.is_log() { figcaption { "The axis is logarithmic." } }
                ul class="lanes" { @for row in &found.rows { (lane(row, &scale)) } }
                (axis(&scale, |seconds| tick(seconds * 1e3), "ms"))
            }
            @if let Some(outliers) = outliers(found) { p class="quiet" { (outliers) } }
        }
    }
}

/// The outliers of all rows, in a sentence.
fn outliers(found: &Comparison) -> Option<String> {
    let of = |row: &Row| {
        let one = |outlier: &Outlier| format!("{} ms in round {}", ms(outlier.wall_s), outlier.round + 1);
        let all: Vec<String> = row.outliers.iter().map(one).collect();
        (!all.is_empty()).then(|| format!("{} {}", row.shown(), all.join(", ")))
    };
    let all: Vec<String> = found.rows.iter().filter_map(of).collect();
    (!all.is_empty()).then(|| format!("Outliers, which are included in all figures: {}.", all.join("; ")))
}

/// The ends of the interval.
fn ends(row: &Row) -> impl Iterator<Item = f64> {
    row.wall_s.into_iter().flat_map(|wall| [wall.low, wall.high])
}

/// How to read the charts.
#[must_use]
pub fn legend() -> Markup {
    html! {
        p class="quiet" {
            "The time of each run. The first run is at the top of a lane and the last at the bottom: if the machine becomes slower, the line leans to the right. The band is the 95\u{202f}% interval of the median, the stroke the median."
        }
    }
}

fn lane(row: &Row, scale: &Scale) -> Markup {
    let timed = row.timed();
    let height = (2.0 * EDGE + EACH * timed.len().saturating_sub(1) as f64).clamp(LOWEST, HIGHEST);
    let step = (height - 2.0 * EDGE) / timed.len().saturating_sub(1).max(1) as f64;
    let points: Vec<(f64, f64)> =
        timed.iter().enumerate().map(|(n, run)| (scale.at(run.wall_s), EDGE + step * n as f64)).collect();
    let class = theme::class(&row.name, row.kind);
    html! {
        li class="lane" {
            span class="lane-name" { (theme::key(&row.name, row.kind)) (row.shown()) }
            svg class={ "strip " (class) } width="100%" height=(format!("{height:.0}")) role="img" aria-label=(words(row, &timed)) {
                (grid(scale))
                @if let Some(wall) = row.wall_s { (interval(scale, wall.low, wall.median, wall.high)) }
                @for pair in points.windows(2) { (segment("thread", pair[0], pair[1])) }
                @for (run, (x, y)) in timed.iter().zip(&points) { (mark(&class, *x, *y, &title(run))) }
            }
            span class="figure" {
                @if let Some(wall) = row.wall_s { (ms(wall.median)) " " small { (ms(wall.low)) "–" (ms(wall.high)) } } @else { "–" }
            }
        }
    }
}

/// A band from the lower to the upper end of the interval, and a stroke at the median.
fn interval(scale: &Scale, low: f64, median: f64, high: f64) -> Markup {
    let (from, to) = (scale.at(low), scale.at(high));
    let middle = percent(scale.at(median));
    html! {
        rect class="band" x=(percent(from)) width=(percent((to - from).max(0.2))) y="0" height="100%" {}
        line class="median" x1=(middle) x2=(middle) y1="0" y2="100%" {}
    }
}

fn title(run: &Sample) -> String {
    format!("round {}: {} ms", run.round + 1, ms(run.wall_s))
}

/// What a lane shows, as text for screen readers.
fn words(row: &Row, timed: &[&Sample]) -> String {
    let all: Vec<String> = timed.iter().map(|run| ms(run.wall_s)).collect();
    format!("{}, milliseconds in the order of the runs: {}", row.shown(), all.join(", "))
}
