//! When each thread of each model was busy: one lane per thread, all on one axis.
//!
//! Each lane is an SVG of its own, for the reasons in [`chart`](crate::chart). Within a lane, all
//! intervals of one kernel form one path: hundreds of separate marks would make the page large.

use std::fmt::Write;

use maud::{Markup, html};

use crate::{
    chart::{Scale, axis, grid, percent, segment},
    figures::{count, list, ms, percent as share, tick, time},
    theme,
};
use xtask::compare::result::{Comparison, Interval, Kind, Lane, Row, Share, Timeline};

/// Height in pixels of a lane, and of the line above a model's lanes.
const HEIGHT: f64 = 18.0;
const HEAD: f64 = 16.0;
/// Number of units along the axis, in which paths are drawn. A bar is at least one unit wide, so
/// that it is visible.
const UNITS: f64 = 1000.0;
/// Number of colours for kernels; further kernels reuse them.
const COLOURS: usize = 8;

/// How to read the charts.
#[must_use]
pub fn legend() -> Markup {
    html! {
        p class="quiet" {
            "One separate, untimed run of each model, all on one axis. A lane is a thread, and a bar is a kernel that runs in it. A lower bar means that the kernel ran for only a part of that time; a bar of half the height is work that one thread does for all tasks. A worker without a bar is idle. After the dashed line at most one worker is busy: the serial tail."
        }
    }
}

/// The timelines of a workload.
#[must_use]
pub fn article(found: &Comparison) -> Markup {
    html! {
        article data-workload=(found.workload) {
            h3 id={ "timeline-" (found.workload) } { (found.workload) }
            @if traced(found).next().is_some() { (picture(found)) (table(found)) } @else {
                p class="quiet" { "Not traced yet; run " code { "cargo xtask compare " (found.workload) " --trace --html" } "." }
            }
        }
    }
}

fn traced(found: &Comparison) -> impl Iterator<Item = (&Row, &Timeline)> {
    found.rows.iter().filter_map(|row| Some((row, row.timeline.as_ref()?)))
}

fn picture(found: &Comparison) -> Markup {
    let longest = traced(found).map(|(_, timeline)| timeline.wall_s).fold(0.0, f64::max);
    let scale = Scale::from_zero([longest]);
    let kernels = kernels(found);
    html! {
        figure class="chart timeline" {
            figcaption { (keys(&kernels)) }
            div class="scroll" role="region" aria-label={ "Timeline of " (found.workload) } tabindex="0" {
                div {
                    @for (row, timeline) in traced(found) { (model(row, timeline, &scale, longest, &kernels)) }
                    (axis(&scale, |seconds| tick(seconds * 1e3), "ms"))
                }
            }
        }
    }
}

/// The names of all kernels in the order of their first use, and whether each belongs to a task;
/// those that do come first.
fn kernels(found: &Comparison) -> Vec<(&str, bool)> {
    let intervals = traced(found).flat_map(|(_, timeline)| &timeline.lanes).flat_map(|lane| &lane.intervals);
    let mut all: Vec<(&str, bool)> = Vec::new();
    for part in intervals.flat_map(|interval| &interval.parts) {
        if !all.iter().any(|(name, _)| *name == part.name) {
            all.push((&part.name, part.kernel));
        }
    }
    all.sort_by_key(|(_, is_kernel)| !is_kernel);
    all
}

fn keys(kernels: &[(&str, bool)]) -> Markup {
    html! {
        @for (at, (name, is_kernel)) in kernels.iter().enumerate() {
            span class="kernel" {
                svg class={ "w" (at % COLOURS) } width="14" height="12" aria-hidden="true" {
                    @let height = if *is_kernel { 12 } else { 6 };
                    rect class="bar" width="14" height=(height) y=(12 - height) {}
                }
                (name) @if !is_kernel { " " small { "(for all tasks)" } }
            }
        }
        span class="kernel" {
            svg width="14" height="12" aria-hidden="true" { rect class="idle" width="14" height="12" {} }
            "idle worker"
        }
    }
}

fn model(row: &Row, timeline: &Timeline, scale: &Scale, longest: f64, kernels: &[(&str, bool)]) -> Markup {
    html! {
        ul class="lanes short" aria-label=(row.shown()) {
            (head(row, timeline, scale))
            @for lane in &timeline.lanes { (strip(lane, row, timeline, scale, longest, kernels)) }
        }
    }
}

/// The line above a model's lanes: its name, and the length of its serial tail.
fn head(row: &Row, timeline: &Timeline, scale: &Scale) -> Markup {
    let (from, to) = (scale.at(start_of_tail(timeline)), scale.at(timeline.wall_s));
    let is_right = from > 50.0;
    html! {
        li class="lane model" {
            span class="lane-name" { (theme::key(&row.name, row.kind)) (row.shown()) }
            svg class="strip" width="100%" height=(HEAD) aria-hidden="true" {
                (grid(scale))
                @if has_tail(timeline) {
                    (segment("tail", (from, HEAD - 3.0), (to, HEAD - 3.0)))
                    (segment("tail", (from, HEAD - 6.0), (from, HEAD)))
                    (segment("tail", (to, HEAD - 6.0), (to, HEAD)))
                }
                text x=(percent(if is_right { from } else { to })) dx=(if is_right { -6 } else { 6 }) y=(HEAD - 3.0) text-anchor=(if is_right { "end" } else { "start" }) {
                    (tail(timeline))
                }
            }
            span class="figure" { (share(timeline.busy)) " busy" }
        }
    }
}

fn has_tail(timeline: &Timeline) -> bool {
    timeline.tail_s < timeline.wall_s
}

fn start_of_tail(timeline: &Timeline) -> f64 {
    if has_tail(timeline) { timeline.wall_s - timeline.tail_s } else { timeline.wall_s }
}

fn tail(timeline: &Timeline) -> String {
    if has_tail(timeline) {
        format!("serial tail {}", time(timeline.tail_s))
    } else {
        "never two workers busy at once".to_owned()
    }
}

fn strip(
    lane: &Lane,
    row: &Row,
    timeline: &Timeline,
    scale: &Scale,
    longest: f64,
    kernels: &[(&str, bool)],
) -> Markup {
    let (zero, end, all) = (scale.at(0.0), scale.at(timeline.wall_s), scale.at(longest));
    let (from, width) = (percent(zero), percent(end - zero));
    html! {
        li class="lane" {
            span class="lane-name" { (thread_name(lane)) }
            svg class="strip" width="100%" height=(HEIGHT) role="img" aria-label=(words(lane, row, timeline)) {
                (grid(scale))
                @if lane.works { rect class="idle" x=(from) width=(width) y="1" height=(HEIGHT - 2.0) {} }
                @else { (segment("grid", (zero, HEIGHT - 1.0), (end, HEIGHT - 1.0))) }
                svg x=(from) width=(percent(all - zero)) y="1" height=(HEIGHT - 2.0) viewBox=(format!("0 0 {UNITS} 1")) preserveAspectRatio="none" {
                    @for (at, (name, _)) in kernels.iter().enumerate() { (path(lane, name, at, longest)) }
                }
                @if has_tail(timeline) {
                    @let x = percent(scale.at(start_of_tail(timeline)));
                    line class="half" x1=(x) x2=(x) y1="0" y2="100%" {}
                }
                (segment("end", (end, 0.0), (end, HEIGHT)))
            }
            span class="figure" { @if lane.works { (share(lane.busy_s / timeline.wall_s)) } }
        }
    }
}

/// The thread's name, with the number of its process if that is a worker process.
fn thread_name(lane: &Lane) -> String {
    match lane.process {
        0 => lane.thread.clone(),
        process => format!("process {process}, {}", lane.thread),
    }
}

/// All intervals of one kernel in the lane as one path, with a title.
fn path(lane: &Lane, name: &str, at: usize, longest: f64) -> Markup {
    let mut marks = String::new();
    let mut busy = 0.0;
    for interval in &lane.intervals {
        if let Some(nth) = interval.parts.iter().position(|part| part.name == name) {
            busy += interval.parts[nth].busy_s;
            mark(&mut marks, interval, nth, longest);
        }
    }
    html! {
        @if !marks.is_empty() {
            path class={ "bar w" (at % COLOURS) } d=(marks) { title { (thread_name(lane)) ", " (name) ": " (time(busy)) } }
        }
    }
}

/// Draws the bar of an interval's part on top of the bars of the parts before it.
fn mark(marks: &mut String, interval: &Interval, nth: usize, longest: f64) {
    let units = |seconds: f64| seconds / longest * UNITS;
    let length = (interval.end_s - interval.start_s).max(f64::MIN_POSITIVE);
    let height_of = |part: &Share| part.busy_s / length * if part.kernel { 1.0 } else { 0.5 };
    let below: f64 = interval.parts[..nth].iter().map(height_of).sum();
    let height = height_of(&interval.parts[nth]).clamp(0.06, 1.0);
    let top = (1.0 - below - height).max(0.0);
    let (x, width) = (units(interval.start_s), units(length).max(1.0));
    let _ = write!(marks, "M{x:.1} {top:.2}h{width:.1}v{height:.2}h-{width:.1}z");
}

/// What a lane shows, as text for screen readers.
fn words(lane: &Lane, row: &Row, timeline: &Timeline) -> String {
    let name = format!("{}, {}", row.shown(), thread_name(lane));
    if lane.works {
        format!("{name}: in kernels for {} of the run", share(lane.busy_s / timeline.wall_s))
    } else {
        let spans = lane.intervals.iter().flat_map(|interval| &interval.parts);
        format!("{name}: for all tasks, {}", time(spans.map(|part| part.busy_s).sum()))
    }
}

/// The figures of the timelines as a table.
fn table(found: &Comparison) -> Markup {
    html! {
        div class="wide" role="region" aria-label={ "Timelines of " (found.workload) " in figures" } tabindex="0" {
            table {
                caption { span { "Busy: the share of the time of all workers that they spent in kernels. Serial tail: from the last moment at which two workers were in kernels until the end." } }
                thead { tr {
                    th scope="col" { "model" }
                    th scope="col" { "busy" } th scope="col" { "serial tail" br; small { "ms" } }
                    th scope="col" { "run" br; small { "ms" } } th scope="col" class="output" { "each worker’s lane" }
                } }
                tbody { @for (row, timeline) in traced(found) { tr {
                    th scope="row" { (theme::key(&row.name, row.kind)) (row.shown()) }
                    td { (share(timeline.busy)) }
                    td { @if has_tail(timeline) { (ms(timeline.tail_s)) } @else { "all" } }
                    td { (ms(timeline.wall_s)) }
                    td class="output" { (each(timeline)) }
                } } }
            }
        }
        @if let Some(tools) = tools(found) { p class="quiet" { (tools) } }
    }
}

fn each(timeline: &Timeline) -> String {
    let works = timeline.lanes.iter().filter(|lane| lane.works);
    let one = |lane: &Lane| format!("{} {}", thread_name(lane), share(lane.busy_s / timeline.wall_s));
    works.map(one).collect::<Vec<_>>().join(" · ")
}

/// The tools, which have no timeline.
fn tools(found: &Comparison) -> Option<String> {
    let tools = found.rows.iter().filter(|row| row.kind == Kind::Tool).map(|row| row.shown().to_owned());
    let tools: Vec<String> = tools.collect();
    let what = count(tools.len(), "tool");
    (!tools.is_empty())
        .then(|| format!("Not traced, because tools write no spans: {what}, {}.", list(&tools)))
}
