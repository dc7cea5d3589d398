//! The mutants of this workload: each must be rejected by the cases that look for its mistake.

use std::{mem, ops::ControlFlow};

use cc_conformance::{
    mutant::{self, edited},
    workload::{Rejected, Run},
};
use cc_workloads::{
    Ctx, Result, Sink,
    mandelbrot::{Grain, Job, Output, Plane},
};

use super::Mandelbrot;

/// The mutants of every workload, and those of this one.
pub(super) fn all() -> Vec<(&'static str, Run<Mandelbrot>)> {
    let own: [(_, Run<Mandelbrot>); 5] = [
        ("lets_panics_through", lets_panics_through),
        ("fails_whole_tasks", fails_whole_tasks),
        ("joins_as_it_likes", joins_as_it_likes),
        ("swaps_places", swaps_places),
        ("counts_one_too_many", counts_one_too_many),
    ];
    mutant::all::<Mandelbrot>().into_iter().chain(own).collect()
}

/// Each mutant, the cases that must reject it, and a part of the message with which they do.
pub(super) const REJECTED: &[Rejected] = &[
    ("drops_one", &["picture", "tiles_of_one_pixel", "one_row"], "tiles are missing"),
    ("repeats_one", &["picture", "tiles_of_one_pixel", "one_row"], "came twice"),
    ("stops_early", &["picture", "rows", "columns"], "tiles are missing"),
    ("does_nothing", &["picture", "one_pixel", "max_iter"], "tiles are missing"),
    ("hoards", &["break_ends_the_work"], "tiles were begun"),
    ("ignores_the_stop", &["stop_midway"], ""),
    ("ignores_the_stop", &["stop_before_the_start"], "something was done"),
    ("ignores_the_stop", &["stop_by_its_own_sink"], "pushed after the request"),
    ("ignores_the_stop", &["break_after_some"], "not asked to stop"),
    ("pushes_after_break", &["break_after_some", "break_ends_the_work"], "pushed after Break"),
    ("lets_panics_through", &["panic_in_the_first_tile", "panic_in_every_tile"], "planned"),
    ("fails_whole_tasks", &["panic_in_the_middle_tile"], "more than one"),
    ("joins_as_it_likes", &["tiles_a_task"], "tasks are not of 1"),
    ("swaps_places", &["picture", "counts_are_as_defined"], ""),
    ("counts_one_too_many", &["picture", "counts_are_as_defined"], ""),
    ("starts_a_thread", &["no_threads_but_the_models"], "threads instead of"),
    ("leaves_a_thread", &["picture", "stop_midway"], "left behind"),
    ("leaves_a_process", &["picture"], "left behind"),
    ("leaves_a_descriptor", &["picture"], "left behind"),
    ("leaves_a_file", &["picture"], "left behind"),
    ("prints", &["picture"], "where the output belongs"),
    ("hangs", &["picture"], "mandelbrot::hangs::picture hung"),
];

/// Emits the output of a task, which is `None` once a stop is requested.
fn emit(output: Option<Output>, ctx: &Ctx, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
    output.map_or(ControlFlow::Break(()), |output| ctx.emit(output, out))
}

fn lets_panics_through(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plane = Plane::new(&job.view, &ctx.stop);
    let _ = job.tasks(Grain::TILE).try_for_each(|task| emit(plane.task(&task), ctx, out));
    Ok(())
}

/// Does sixteen tiles at a time, and gives up all of them if one fails.
fn fails_whole_tasks(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plane = Plane::new(&job.view, &ctx.stop);
    let _ = job.tasks(Grain { pixels: 4096 }).try_for_each(|task| {
        let done = std::panic::catch_unwind(|| plane.task(&task));
        emit(done.unwrap_or_else(|_| Some(task.failed("panicked: planned"))), ctx, out)
    });
    Ok(())
}

/// Does sixteen tiles at a time, and ignores the number that the job asks for.
fn joins_as_it_likes(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plane = Plane::new(&job.view, &ctx.stop);
    let mut tasks = Job::new(job.view.clone()).tasks(Grain { pixels: 256 });
    let _ = tasks.try_for_each(|task| emit(plane.task(&task), ctx, out));
    Ok(())
}

/// Exchanges the counts of two tiles.
fn swaps_places(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let mut held = vec![];
    edited::<Mandelbrot>(job, ctx, out, |nth, mut output| match nth {
        12 => {
            held.push(output);
            vec![]
        }
        13 => {
            let mut other = held.remove(0);
            mem::swap(&mut other.counts, &mut output.counts);
            vec![output, other]
        }
        _ => vec![output],
    })
}

fn counts_one_too_many(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    edited::<Mandelbrot>(job, ctx, out, |nth, mut output| {
        if nth == 2
            && let Ok(counts) = &mut output.counts
        {
            counts[0] ^= 1;
        }
        vec![output]
    })
}
