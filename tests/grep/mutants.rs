//! The mutants of this workload: each must be rejected by the cases that look for its mistake.

use std::{mem, ops::ControlFlow};

use cc_conformance::{
    mutant::{self, edited},
    workload::{Rejected, Run},
};
use cc_workloads::{
    Ctx, Result, Sink,
    grep::{Grain, Job, Output, Search, Task, Totals},
};

use super::Grep;

/// The mutants of every workload, and those of this one.
pub(super) fn all() -> Vec<(&'static str, Run<Grep>)> {
    let own: [(_, Run<Grep>); 4] = [
        ("swaps_two", swaps_two),
        ("loses_totals", loses_totals),
        ("reads_on", reads_on),
        ("lets_panics_through", lets_panics_through),
    ];
    mutant::all::<Grep>().into_iter().chain(own).collect()
}

/// Each mutant, the cases that must reject it, and a part of the message with which they do.
pub(super) const REJECTED: &[Rejected] = &[
    ("drops_one", &["tree", "no_flag", "flag_n", "big_file"], "differ"),
    ("repeats_one", &["tree", "no_flag", "flag_n", "big_file"], "differ"),
    ("swaps_two", &["tree", "no_flag", "flag_n", "flag_upper_c3", "big_file"], "differ"),
    ("stops_early", &["tree", "no_flag", "flag_n", "big_file"], "differ"),
    ("does_nothing", &["tree", "no_flag", "flag_n", "big_file", "stdin_is_large"], ""),
    ("loses_totals", &["no_flag"], "the totals differ"),
    ("holds_one_back", &["lines_come_out_as_they_come_in"], "hung"),
    ("hoards", &["slow_reader_of_one_file", "slow_reader_of_many_files", "slow_reader_of_stdin"], "MB"),
    ("hoards", &["lines_come_out_as_they_come_in"], "hung"),
    ("hoards", &["break_stops_reading"], "tasks were begun"),
    ("ignores_the_stop", &["stop_midway"], "nothing was left out"),
    ("ignores_the_stop", &["stop_within_a_big_file"], ""),
    ("ignores_the_stop", &["stop_while_stdin_is_silent", "stop_while_a_fifo_is_silent"], "hung"),
    ("ignores_the_stop", &["break_after_some"], "not asked to stop"),
    ("pushes_after_break", &["break_after_some", "break_stops_reading"], "pushed after Break"),
    ("reads_on", &["max_stops_reading"], "ranges were searched"),
    ("lets_panics_through", &["panic_in_a_small_file", "panic_in_a_big_file"], "planned"),
    ("starts_a_thread", &["no_threads_but_the_models"], "threads instead of"),
    ("leaves_a_thread", &["tree"], "left behind"),
    ("leaves_a_process", &["tree"], "left behind"),
    ("leaves_a_descriptor", &["tree"], "left behind"),
    ("leaves_a_file", &["tree"], "left behind"),
    ("prints", &["tree"], "where the output belongs"),
    ("hangs", &["tree"], "grep::hangs::tree hung"),
];

fn swaps_two(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let mut held = vec![];
    edited::<Grep>(job, ctx, out, |nth, output| match nth {
        2 => {
            held.push(output);
            vec![]
        }
        3 => vec![output, held.remove(0)],
        _ => vec![output],
    })
}

/// Shows the right lines, but counts too little.
fn loses_totals(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    edited::<Grep>(job, ctx, out, |_, output| vec![Output { others: Totals::default(), ..output }])
}

/// Never checks whether the rest of a file is still wanted.
fn reads_on(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    fn settle(task: &Task, search: &mut Search, ctx: &Ctx, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
        let mut output = search.task(task);
        let remainder = mem::take(&mut output.remainder);
        ctx.emit(output, out)?;
        remainder.into_iter().try_for_each(|task| settle(&task, search, ctx, out))
    }
    let mut search = Search::new(&job.query)?;
    let _ = job.tasks(Grain::default(), &ctx.stop).try_for_each(|task| settle(&task, &mut search, ctx, out));
    Ok(())
}

fn lets_panics_through(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    reads_on(job, ctx, out)
}
