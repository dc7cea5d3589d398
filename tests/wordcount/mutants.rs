//! The mutants of this workload: each must be rejected by the cases that look for its mistake.

use cc_conformance::{
    mutant,
    workload::{Rejected, Run},
};
use cc_workloads::{
    Ctx, Result, Sink,
    wordcount::{Counter, Grain, Job, Output, Partition, Settings, absorb, partitions},
};

use super::Wordcount;

/// The mutants of every workload, and those of this one.
pub(super) fn all() -> Vec<(&'static str, Run<Wordcount>)> {
    let own: [(_, Run<Wordcount>); 5] = [
        ("lets_panics_through", lets_panics_through),
        ("hides_read_errors", hides_read_errors),
        ("ranks_before_the_end", ranks_before_the_end),
        ("adds_a_task_twice", adds_a_task_twice),
        ("cuts_words", cuts_words),
    ];
    mutant::all::<Wordcount>().into_iter().chain(own).collect()
}

/// Each mutant, the cases that must reject it, and a part of the message with which they do.
pub(super) const REJECTED: &[Rejected] = &[
    ("drops_one", &["large_all", "many_files"], "differ"),
    ("repeats_one", &["large_all", "many_files"], "differ"),
    ("stops_early", &["large_all", "many_files"], "differ"),
    ("does_nothing", &["large_all", "odd_one-word"], "differ"),
    ("hoards", &["break_ends_the_work"], "pieces were begun"),
    ("ignores_the_stop", &["stop_while_counting"], ""),
    ("ignores_the_stop", &["stop_before_the_start"], "something was done"),
    ("ignores_the_stop", &["stop_by_its_own_sink"], "pushed after the request"),
    ("ignores_the_stop", &["break_after_some"], "not asked to stop"),
    ("pushes_after_break", &["break_after_some", "break_ends_the_work"], "pushed after Break"),
    (
        "lets_panics_through",
        &["panic_in_a_small_file", "panic_in_a_range", "panic_in_a_partition"],
        "planned",
    ),
    ("hides_read_errors", &["troublesome_operands"], ""),
    ("ranks_before_the_end", &["large_all"], "differ"),
    ("adds_a_task_twice", &["large_all"], "the words differ"),
    ("cuts_words", &["large_all", "odd_longer-than-a-task"], "differ"),
    ("starts_a_thread", &["no_threads_but_the_models"], "threads instead of"),
    ("leaves_a_thread", &["large_all", "stop_while_counting"], "left behind"),
    ("leaves_a_process", &["large_all"], "left behind"),
    ("leaves_a_descriptor", &["large_all"], "left behind"),
    ("leaves_a_file", &["large_all"], "left behind"),
    ("prints", &["large_all"], "where the output belongs"),
    ("hangs", &["large_all"], "wordcount::hangs::large_all hung"),
];

/// Ranks the sums of these counts.
fn ranked(sums: Vec<Partition>, settings: &Settings, ctx: &Ctx, out: &mut dyn Sink<Output>) {
    let mut ranked = sums.into_iter().map(|sum| Output::Ranked(sum.rank(settings)));
    let _ = ranked.try_for_each(|output| ctx.emit(output, out));
}

fn lets_panics_through(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let (mut counter, mut sums) = (Counter::new(&job.settings), partitions(job.settings.seed));
    for task in job.tasks(Grain::default(), &ctx.stop) {
        let partial = counter.task(&task);
        absorb(&mut sums, &partial.counts);
        let _ = ctx.emit(Output::Read(partial.read), out);
    }
    ranked(sums, &job.settings, ctx, out);
    Ok(())
}

fn hides_read_errors(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    struct Hides<'a>(&'a mut dyn Sink<Output>);
    impl Sink<Output> for Hides<'_> {
        fn push(&mut self, mut output: Output) -> std::ops::ControlFlow<()> {
            if let Output::Read(read) = &mut output {
                read.errors.clear();
            }
            self.0.push(output)
        }
    }
    cc_workloads::wordcount::sequential::run(job, ctx, &mut Hides(out))
}

/// Ranks the counts of each task separately.
fn ranks_before_the_end(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let mut counter = Counter::new(&job.settings);
    for task in job.tasks(Grain::default(), &ctx.stop) {
        let partial = counter.task(&task);
        let _ = ctx.emit(Output::Read(partial.read), out);
        let mut sums = partitions(job.settings.seed);
        absorb(&mut sums, &partial.counts);
        ranked(sums, &job.settings, ctx, out);
    }
    Ok(())
}

fn adds_a_task_twice(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let (mut counter, mut sums) = (Counter::new(&job.settings), partitions(job.settings.seed));
    for (nth, task) in job.tasks(Grain::default(), &ctx.stop).enumerate() {
        let partial = counter.task(&task);
        (0..1 + usize::from(nth == 2)).for_each(|_| absorb(&mut sums, &partial.counts));
        let _ = ctx.emit(Output::Read(partial.read), out);
    }
    ranked(sums, &job.settings, ctx, out);
    Ok(())
}

/// Takes every range for a file of its own.
fn cuts_words(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let (mut counter, mut sums) = (Counter::new(&job.settings), partitions(job.settings.seed));
    for mut task in job.tasks(Grain { bytes: 1 << 20, files: 1 }, &ctx.stop) {
        for piece in &mut task.pieces {
            let path = std::path::PathBuf::from(String::from_utf8_lossy(&piece.path).into_owned());
            let Ok(text) = std::fs::read(path) else { continue };
            let end = piece.end.map_or(text.len(), |end| end as usize);
            let range = &text[(piece.start as usize).min(end)..end];
            piece.content = cc_workloads::wordcount::Content::Bytes(serde_bytes::ByteBuf::from(range));
        }
        let partial = counter.task(&task);
        absorb(&mut sums, &partial.counts);
        let _ = ctx.emit(Output::Read(partial.read), out);
    }
    ranked(sums, &job.settings, ctx, out);
    Ok(())
}
