//! Wrong implementations, each wrong in one way. A check that lets one of them pass checks nothing.

use std::{
    env,
    fs::{self, File},
    mem,
    ops::ControlFlow::{self, Continue},
    process::{Command, Stdio},
    thread,
};

use cc_workloads::{
    Ctx, Result, Sink, Stop,
    grep::{self, Grain, Job, Output, Search, Task, Totals, sequential},
};

use crate::subject::{Subject, Workers};

/// The mutants, by name.
pub const MUTANTS: &[(&str, grep::Run)] = &[
    ("drops_one", drops_one),
    ("repeats_one", repeats_one),
    ("swaps_two", swaps_two),
    ("stops_early", stops_early),
    ("does_nothing", does_nothing),
    ("loses_totals", loses_totals),
    ("holds_one_back", holds_one_back),
    ("hoards", hoards),
    ("ignores_the_stop", ignores_the_stop),
    ("pushes_after_break", pushes_after_break),
    ("reads_on", reads_on),
    ("lets_panics_through", lets_panics_through),
    ("starts_a_thread", starts_a_thread),
    ("leaves_a_thread", leaves_a_thread),
    ("leaves_a_process", leaves_a_process),
    ("leaves_a_descriptor", leaves_a_descriptor),
    ("leaves_a_file", leaves_a_file),
    ("prints", prints),
    ("hangs", hangs),
];

/// The mutants as subjects.
#[must_use]
pub fn all() -> Vec<Subject> {
    MUTANTS.iter().map(|(name, run)| Subject::new(name, *run, Workers::Threads)).collect()
}

/// Stands between the reference and the printer, and passes on what `edit` makes of the n-th output.
struct Between<'a, F> {
    out: &'a mut dyn Sink<Output>,
    edit: F,
    /// How many outputs have come that found something.
    nth: usize,
}

impl<F: FnMut(usize, Output) -> Vec<Output>> Sink<Output> for Between<'_, F> {
    fn push(&mut self, output: Output) -> ControlFlow<()> {
        if output.found.is_empty() {
            return self.out.push(output);
        }
        self.nth += 1;
        (self.edit)(self.nth, output).into_iter().try_for_each(|output| self.out.push(output))
    }
}

fn edited(
    job: &Job,
    ctx: &Ctx,
    out: &mut dyn Sink<Output>,
    edit: impl FnMut(usize, Output) -> Vec<Output>,
) -> Result<()> {
    sequential::run(job, ctx, &mut Between { out, edit, nth: 0 })
}

fn drops_one(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    edited(job, ctx, out, |nth, output| if nth == 3 { vec![] } else { vec![output] })
}

fn repeats_one(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    edited(job, ctx, out, |nth, output| if nth == 3 { vec![output.clone(), output] } else { vec![output] })
}

fn swaps_two(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let mut held = vec![];
    edited(job, ctx, out, |nth, output| match nth {
        2 => {
            held.push(output);
            vec![]
        }
        3 => vec![output, held.remove(0)],
        _ => vec![output],
    })
}

fn stops_early(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    edited(job, ctx, out, |nth, output| if nth > 3 { vec![] } else { vec![output] })
}

fn does_nothing(_: &Job, _: &Ctx, _: &mut dyn Sink<Output>) -> Result<()> {
    Ok(())
}

/// Shows the right lines and counts too little: does less, or pretends to.
fn loses_totals(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    edited(job, ctx, out, |_, output| vec![Output { others: Totals::default(), ..output }])
}

/// Passes an output on when the next one comes.
fn holds_one_back(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    struct Held<'a>(&'a mut dyn Sink<Output>, Option<Output>);
    impl Sink<Output> for Held<'_> {
        fn push(&mut self, output: Output) -> ControlFlow<()> {
            self.1.replace(output).map_or(Continue(()), |held| self.0.push(held))
        }
    }
    let mut held = Held(out, None);
    let ran = sequential::run(job, ctx, &mut held);
    let _ = held.1.map(|last| out.push(last));
    ran
}

/// Keeps everything in memory before it passes the first on.
fn hoards(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    struct Hoard(Vec<Output>);
    impl Sink<Output> for Hoard {
        fn push(&mut self, output: Output) -> ControlFlow<()> {
            self.0.push(output);
            Continue(())
        }
    }
    let mut hoard = Hoard(vec![]);
    sequential::run(job, ctx, &mut hoard)?;
    let _ = hoard.0.into_iter().try_for_each(|output| ctx.emit(output, out));
    Ok(())
}

fn unstopped(ctx: &Ctx) -> Ctx {
    Ctx { workers: ctx.workers, window: ctx.window, stop: Stop::new(), args: ctx.args.clone() }
}

fn ignores_the_stop(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    sequential::run(job, &unstopped(ctx), out)
}

fn pushes_after_break(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    struct Deaf<'a>(&'a mut dyn Sink<Output>);
    impl Sink<Output> for Deaf<'_> {
        fn push(&mut self, output: Output) -> ControlFlow<()> {
            let _ = self.0.push(output);
            Continue(())
        }
    }
    sequential::run(job, &unstopped(ctx), &mut Deaf(out))
}

/// Never asks whether the rest of a file is still wanted.
fn reads_on(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    fn settle(task: &Task, search: &mut Search, ctx: &Ctx, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
        let mut output = search.task(task);
        let rest = mem::take(&mut output.rest);
        ctx.emit(output, out)?;
        rest.into_iter().try_for_each(|task| settle(&task, search, ctx, out))
    }
    let mut search = Search::new(&job.query)?;
    let _ = job.tasks(Grain::default(), &ctx.stop).try_for_each(|task| settle(&task, &mut search, ctx, out));
    Ok(())
}

fn lets_panics_through(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    reads_on(job, ctx, out)
}

fn starts_a_thread(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let (end, ended) = std::sync::mpsc::sync_channel::<()>(0);
    thread::scope(|scope| {
        scope.spawn(move || ended.recv());
        let ran = sequential::run(job, ctx, out);
        drop(end);
        ran
    })
}

fn leaves_a_thread(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    drop(thread::spawn(thread::park));
    sequential::run(job, ctx, out)
}

fn leaves_a_process(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    // It ends at once, and nobody waits for it.
    let child = Command::new("true").stdin(Stdio::null()).spawn().expect("a process can be started");
    mem::forget(child);
    sequential::run(job, ctx, out)
}

fn leaves_a_descriptor(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    mem::forget(File::open("/dev/null").expect("it is there"));
    sequential::run(job, ctx, out)
}

fn leaves_a_file(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    fs::write(env::temp_dir().join("left"), "left").expect("a file can be made");
    sequential::run(job, ctx, out)
}

/// Writes to the program's standard output, which belongs to the sink.
fn prints(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    println!("working");
    sequential::run(job, ctx, out)
}

fn hangs(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    edited(job, ctx, out, |nth, output| {
        if nth == 3 {
            loop {
                thread::park();
            }
        } else {
            vec![output]
        }
    })
}
