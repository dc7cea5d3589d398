//! The mutants of this workload: each must be rejected by the cases that look for its mistake.

use std::{
    collections::VecDeque,
    fs, mem,
    ops::ControlFlow::{self, Continue},
    panic::{AssertUnwindSafe, catch_unwind},
};

use cc_conformance::{
    mutant::{self, edited},
    workload::{Rejected, Run},
};
use cc_workloads::{
    Ctx, Result, Sink, Stop,
    blobs::{BlobStore, MemStore},
    error::panic_reason,
    sort::{Job, Made, Output, Runs, Sorter, Task, sequential},
};
use serde_bytes::ByteBuf;

use super::{
    Sort,
    oracle::{are_equal, lines},
};

/// The mutants of every workload, and those of this one.
pub(super) fn all() -> Vec<(&'static str, Run<Sort>)> {
    let own: [(_, Run<Sort>); 18] = [
        ("swaps_equal_lines", swaps_equal_lines),
        ("keeps_the_last_of_equal_lines", keeps_the_last_of_equal_lines),
        ("drops_the_last_line", drops_the_last_line),
        ("doubles_a_line", doubles_a_line),
        ("merges_out_of_order", merges_out_of_order),
        ("ends_no_line", ends_no_line),
        ("loses_a_run", loses_a_run),
        ("keeps_runs_of_two_workers_apart", keeps_runs_of_two_workers_apart),
        ("forgets_a_pass", forgets_a_pass),
        ("does_not_merge", does_not_merge),
        ("counts_less", counts_less),
        ("swallows_failures", swallows_failures),
        ("lets_panics_through", lets_panics_through),
        ("stops_after_the_phase", stops_after_the_phase),
        ("leaves_its_folder", leaves_its_folder),
        ("holds_everything_in_memory", holds_everything_in_memory),
        ("keeps_runs_open", keeps_runs_open),
        ("writes_as_it_goes", writes_as_it_goes),
    ];
    mutant::all::<Sort>().into_iter().chain(own).collect()
}

/// Each mutant, the cases that must reject it, and a part of the message with which they do.
pub(super) const REJECTED: &[Rejected] = &[
    ("drops_one", &["large_plain", "stdin_is_larger_than_memory"], "differ"),
    ("repeats_one", &["large_plain", "in_memory_plain"], "differ"),
    ("stops_early", &["large_plain", "stdin_is_larger_than_memory"], "differ"),
    ("does_nothing", &["large_plain", "odd_no-newline"], "differ"),
    ("does_nothing", &["missing_file"], ""),
    ("swaps_equal_lines", &["large_first_field", "named_twice", "random_lines"], "differ"),
    ("swaps_equal_lines", &["equal_keys_keep_their_order"], "changed places"),
    ("keeps_the_last_of_equal_lines", &["large_unique_first_fields", "unique_keeps_the_first"], "differ"),
    ("drops_the_last_line", &["large_plain", "odd_all-equal", "gnu_orders"], "differ"),
    ("doubles_a_line", &["large_plain", "odd_all-equal", "gnu_random_lines"], "differ"),
    ("merges_out_of_order", &["large_plain", "window_of_one"], "differ"),
    ("ends_no_line", &["odd_no-newline", "random_lines"], "differ"),
    ("loses_a_run", &["large_plain", "one_worker"], "differ"),
    ("keeps_runs_of_two_workers_apart", &["equal_keys_keep_their_order"], "changed places"),
    ("forgets_a_pass", &["large_plain", "stdin_is_larger_than_memory"], "differ"),
    ("does_not_merge", &["large_plain", "odd_reversed"], "differ"),
    ("counts_less", &["large_plain", "odd_sorted"], "the totals differ"),
    ("swallows_failures", &["panic_at_a_later_chunk", "panic_in_a_merge"], "did not fail"),
    ("swallows_failures", &["no_room_for_a_run"], ""),
    ("lets_panics_through", &["panic_at_the_first_chunk", "panic_in_a_pass", "panic_in_a_merge"], "planned"),
    ("stops_after_the_phase", &["stop_while_sorting", "stop_while_a_run_is_written"], "nothing was left out"),
    ("stops_after_the_phase", &["stop_in_a_pass"], ""),
    ("ignores_the_stop", &["stop_while_sorting", "stop_in_a_pass", "stop_while_merging"], ""),
    ("ignores_the_stop", &["stop_before_the_start"], "something was done"),
    ("ignores_the_stop", &["stop_by_its_own_sink"], "pushed after the request"),
    ("ignores_the_stop", &["break_after_some"], "not asked to stop"),
    ("pushes_after_break", &["break_after_some", "break_ends_the_work"], "pushed after Break"),
    ("hoards", &["break_ends_the_work"], "tasks were begun"),
    ("hoards", &["memory_for_24_mb"], "KiB, more than"),
    ("holds_everything_in_memory", &["memory_for_24_mb"], "KiB, more than"),
    ("keeps_runs_open", &["descriptor_limit_of_32"], "Too many open files"),
    ("writes_as_it_goes", &["output_after_a_failure"], "a file was touched"),
    ("writes_as_it_goes", &["stop_while_merging"], ""),
    ("starts_a_thread", &["no_threads_but_the_models"], "threads instead of"),
    ("leaves_its_folder", &["large_plain", "panic_in_a_merge", "stop_in_a_pass"], "left behind"),
    ("leaves_a_thread", &["large_plain", "stop_while_sorting"], "left behind"),
    ("leaves_a_process", &["large_plain"], "left behind"),
    ("leaves_a_descriptor", &["large_plain"], "left behind"),
    ("leaves_a_file", &["large_plain"], "left behind"),
    ("prints", &["large_plain"], "where the output belongs"),
    ("hangs", &["large_plain"], "sort::hangs::large_plain hung"),
];

/// The reference, with all of its lines changed by `alter`.
fn altered(
    job: &Job,
    ctx: &Ctx,
    out: &mut dyn Sink<Output>,
    alter: impl FnOnce(&mut Vec<Vec<u8>>),
) -> Result<()> {
    struct All<'a>(&'a mut dyn Sink<Output>, Vec<u8>);
    impl Sink<Output> for All<'_> {
        fn push(&mut self, output: Output) -> ControlFlow<()> {
            match output {
                Output::Lines { text, .. } => {
                    self.1.extend_from_slice(&text);
                    Continue(())
                }
                other => self.0.push(other),
            }
        }
    }
    let mut all = All(out, vec![]);
    sequential::run(job, ctx, &mut all)?;
    let mut all: Vec<Vec<u8>> = lines(&all.1).into_iter().map(<[u8]>::to_vec).collect();
    alter(&mut all);
    let (count, mut text) = (all.len() as u64, all.join(&b'\n'));
    if count > 0 {
        text.push(b'\n');
        let _ = ctx.emit(Output::Lines { text: ByteBuf::from(text), lines: count }, out);
    }
    Ok(())
}

fn swaps_equal_lines(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    altered(job, ctx, out, |lines| {
        lines.chunk_by_mut(|one, other| are_equal(one, other, &job.query)).for_each(<[_]>::reverse);
    })
}

fn keeps_the_last_of_equal_lines(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let mut query = job.query.clone();
    query.unique = false;
    let all = copy(job, |all| all.query = query);
    altered(&all, ctx, out, |lines| {
        if job.query.unique {
            lines.reverse();
            lines.dedup_by(|one, other| are_equal(one, other, &job.query));
            lines.reverse();
        }
    })
}

/// A copy of the job with a change.
fn copy(job: &Job, change: impl FnOnce(&mut Job)) -> Job {
    let mut copy = Job {
        query: job.query.clone(),
        files: job.files.clone(),
        memory: job.memory,
        temporary: job.temporary.clone(),
        output: job.output.clone(),
    };
    change(&mut copy);
    copy
}

fn drops_the_last_line(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    altered(job, ctx, out, |lines| drop(lines.pop()))
}

fn doubles_a_line(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    altered(job, ctx, out, |lines| {
        if let Some(line) = lines.get(lines.len() / 2).cloned() {
            lines.insert(lines.len() / 2, line);
        }
    })
}

/// Passes on one merge before its predecessor.
fn merges_out_of_order(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let mut held = None;
    edited::<Sort>(job, ctx, out, |nth, output| match nth {
        2 => {
            held = Some(output);
            vec![]
        }
        _ => [output].into_iter().chain(held.take()).collect(),
    })
}

/// Leaves out the last newline of the result.
fn ends_no_line(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    edited::<Sort>(job, ctx, out, |_, mut output| {
        if let Output::Lines { text, .. } = &mut output {
            text.pop();
        }
        vec![output]
    })
}

/// The reference, phase by phase. `runs_of` may change the runs of a chunk; `keeps_passes` decides
/// whether a pass is kept.
fn phases(
    job: &Job,
    ctx: &Ctx,
    out: &mut dyn Sink<Output>,
    mut runs_of: impl FnMut(u64, Made) -> Vec<Made>,
    keeps_passes: bool,
) -> Result<()> {
    let plan = job.plan(ctx)?;
    let blobs = &MemStore::default();
    let mut sorter = Sorter::new(&job.query, &ctx.stop);
    let mut runs = Runs::new(job, &plan, blobs);
    for (nth, task) in (0..).zip(job.chunks(&plan, blobs, &ctx.stop)) {
        let made = match sorter.task(&task, blobs) {
            Output::Runs(made) => runs_of(nth, made).into_iter().map(Output::Runs).collect(),
            other => vec![other],
        };
        if made.into_iter().try_for_each(|made| ctx.emit(made, &mut runs.gather(out))).is_break() {
            return Ok(());
        }
    }
    while let Some(pass) = runs.pass() {
        let mut writer = pass.writer(out)?;
        if pass.merges().try_for_each(|task| ctx.emit(sorter.task(&task, blobs), &mut writer)).is_break() {
            return Ok(());
        }
        let made = writer.finish()?;
        if keeps_passes {
            runs.put(pass, made);
        }
    }
    let _ = runs.merges().try_for_each(|task| ctx.emit(sorter.task(&task, blobs), out));
    Ok(())
}

fn loses_a_run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let lose = |nth, mut made: Made| {
        made.runs.truncate(if nth == 2 { 0 } else { usize::MAX });
        vec![made]
    };
    phases(job, ctx, out, lose, true)
}

/// Takes every second run first. Each run is in order, and so is the result, except for equal
/// lines.
fn keeps_runs_of_two_workers_apart(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let mut held = VecDeque::new();
    let reorder = |nth: u64, made: Made| {
        if nth.is_multiple_of(2) {
            held.push_back(made);
            vec![]
        } else {
            [made].into_iter().chain(held.pop_front()).collect()
        }
    };
    phases(job, ctx, out, reorder, true)
}

fn forgets_a_pass(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    phases(job, ctx, out, |_, made| vec![made], false)
}

/// Passes on the sorted lines of each chunk without a merge.
fn does_not_merge(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plan = job.plan(ctx)?;
    let blobs = &MemStore::default();
    let mut sorter = Sorter::new(&job.query, &ctx.stop);
    for task in job.chunks(&plan, blobs, &ctx.stop) {
        let mut runs = Runs::new(job, &plan, blobs);
        let _ = ctx.emit(sorter.task(&task, blobs), &mut runs.gather(out));
        for task in runs.merges() {
            let _ = ctx.emit(sorter.task(&task, blobs), out);
        }
    }
    Ok(())
}

/// A sink between the reference and the caller's sink.
struct Between<'a, F>(&'a mut dyn Sink<Output>, F);

impl<F: FnMut(Output) -> Option<Output>> Sink<Output> for Between<'_, F> {
    fn push(&mut self, output: Output) -> ControlFlow<()> {
        (self.1)(output).map_or(Continue(()), |output| self.0.push(output))
    }
}

fn counts_less(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let count = |mut output| {
        if let Output::Read(read) = &mut output {
            read.lines = read.lines.saturating_sub(1);
        }
        Some(output)
    };
    sequential::run(job, ctx, &mut Between(out, count))
}

fn swallows_failures(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let swallow = |output| (!matches!(output, Output::Failed(_))).then_some(output);
    sequential::run(job, ctx, &mut Between(out, swallow))
}

fn lets_panics_through(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    phases(job, ctx, out, |_, made| vec![made], true)
}

/// Checks for a stop only between phases.
fn stops_after_the_phase(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let plan = job.plan(ctx)?;
    let (blobs, never) = (&MemStore::default(), Stop::new());
    let mut sorter = Sorter::new(&job.query, &never);
    let mut runs = Runs::new(job, &plan, blobs);
    let mut work = |task: Task| {
        catch_unwind(AssertUnwindSafe(|| sorter.task(&task, blobs)))
            .unwrap_or_else(|panic| task.failed(&panic_reason(&*panic)))
    };
    for task in job.chunks(&plan, blobs, &never) {
        let _ = runs.gather(out).push(work(task));
    }
    while !ctx.stop.requested()
        && let Some(pass) = runs.pass()
    {
        let mut writer = pass.writer(out)?;
        for task in pass.merges() {
            let _ = writer.push(work(task));
        }
        let made = writer.finish()?;
        runs.put(pass, made);
    }
    // The stop is not checked during the last pass.
    for task in runs.merges() {
        let _ = out.push(work(task));
    }
    Ok(())
}

fn leaves_its_folder(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let folder = job.folder()?;
    drop(folder.create("draft").and_then(cc_workloads::blobs::BlobWriter::finish));
    mem::forget(folder);
    sequential::run(job, ctx, out)
}

fn holds_everything_in_memory(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    sequential::run(&copy(job, |job| job.memory = u64::MAX), ctx, out)
}

/// Keeps several descriptors open per chunk.
fn keeps_runs_open(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let folder = job.folder()?;
    let mut kept = vec![];
    let keep = |nth: u64, made: Made| {
        kept.extend((0..4).map(|copy| folder.create(&format!("{nth}-{copy}"))));
        vec![made]
    };
    phases(job, ctx, out, keep, true)
}

/// Creates the output file at the beginning.
fn writes_as_it_goes(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let write = |output| {
        if let (Output::Lines { text, .. }, Some(path)) = (&output, &job.output) {
            fs::write(path, text).expect("it can be written");
        }
        Some(output)
    };
    sequential::run(job, ctx, &mut Between(out, write))
}
