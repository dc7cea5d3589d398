//! Mutants: implementations that are each wrong in one way. A suite that lets one of them pass has
//! a gap.
//!
//! The mutants of this file exist for every workload: each is the reference with one change.

use std::{
    env,
    fs::{self, File},
    mem,
    ops::ControlFlow::{self, Continue},
    process::{Command, Stdio},
    thread,
};

use cc_workloads::{Ctx, Result, Sink, Stop};

use crate::{
    subject::Subject,
    workload::{Batch, Run},
};

/// The mutants, by name.
#[must_use]
pub fn all<W: Batch>() -> Vec<(&'static str, Run<W>)> {
    vec![
        ("drops_one", drops_one::<W>),
        ("repeats_one", repeats_one::<W>),
        ("stops_early", stops_early::<W>),
        ("does_nothing", does_nothing::<W>),
        ("holds_one_back", holds_one_back::<W>),
        ("hoards", hoards::<W>),
        ("ignores_the_stop", ignores_the_stop::<W>),
        ("pushes_after_break", pushes_after_break::<W>),
        ("starts_a_thread", starts_a_thread::<W>),
        ("leaves_a_thread", leaves_a_thread::<W>),
        ("leaves_a_process", leaves_a_process::<W>),
        ("leaves_a_descriptor", leaves_a_descriptor::<W>),
        ("leaves_a_file", leaves_a_file::<W>),
        ("prints", prints::<W>),
        ("hangs", hangs::<W>),
    ]
}

/// Runs the reference.
fn reference<W: Batch>(job: &W::Job, ctx: &Ctx, out: &mut dyn Sink<W::Output>) -> Result<()> {
    Subject::reference().try_run::<W>(job, ctx, out)
}

/// A sink between the reference and the caller's sink. It replaces the n-th output by what `edit`
/// returns.
struct Between<'a, W: Batch, F> {
    out: &'a mut dyn Sink<W::Output>,
    edit: F,
    /// How many outputs have come of which the user sees something.
    nth: usize,
}

impl<W: Batch, F: FnMut(usize, W::Output) -> Vec<W::Output>> Sink<W::Output> for Between<'_, W, F> {
    fn push(&mut self, output: W::Output) -> ControlFlow<()> {
        if !W::shows(&output) {
            return self.out.push(output);
        }
        self.nth += 1;
        (self.edit)(self.nth, output).into_iter().try_for_each(|output| self.out.push(output))
    }
}

/// Runs the reference and replaces its n-th output by what `edit` returns.
pub fn edited<W: Batch>(
    job: &W::Job,
    ctx: &Ctx,
    out: &mut dyn Sink<W::Output>,
    edit: impl FnMut(usize, W::Output) -> Vec<W::Output>,
) -> Result<()> {
    reference::<W>(job, ctx, &mut Between::<W, _> { out, edit, nth: 0 })
}

fn drops_one<W: Batch>(job: &W::Job, ctx: &Ctx, out: &mut dyn Sink<W::Output>) -> Result<()> {
    edited::<W>(job, ctx, out, |nth, output| if nth == 3 { vec![] } else { vec![output] })
}

fn repeats_one<W: Batch>(job: &W::Job, ctx: &Ctx, out: &mut dyn Sink<W::Output>) -> Result<()> {
    edited::<W>(
        job,
        ctx,
        out,
        |nth, output| if nth == 3 { vec![output.clone(), output] } else { vec![output] },
    )
}

fn stops_early<W: Batch>(job: &W::Job, ctx: &Ctx, out: &mut dyn Sink<W::Output>) -> Result<()> {
    edited::<W>(job, ctx, out, |nth, output| if nth > 3 { vec![] } else { vec![output] })
}

fn does_nothing<W: Batch>(_: &W::Job, _: &Ctx, _: &mut dyn Sink<W::Output>) -> Result<()> {
    Ok(())
}

/// Passes an output on only when the next one comes.
fn holds_one_back<W: Batch>(job: &W::Job, ctx: &Ctx, out: &mut dyn Sink<W::Output>) -> Result<()> {
    struct Delayed<'a, O>(&'a mut dyn Sink<O>, Option<O>);
    impl<O> Sink<O> for Delayed<'_, O> {
        fn push(&mut self, output: O) -> ControlFlow<()> {
            self.1.replace(output).map_or(Continue(()), |delayed| self.0.push(delayed))
        }
    }
    let mut delayed = Delayed(out, None);
    let ran = reference::<W>(job, ctx, &mut delayed);
    let _ = delayed.1.map(|last| out.push(last));
    ran
}

/// Collects all outputs before it passes on the first.
fn hoards<W: Batch>(job: &W::Job, ctx: &Ctx, out: &mut dyn Sink<W::Output>) -> Result<()> {
    struct Hoard<O>(Vec<O>);
    impl<O> Sink<O> for Hoard<O> {
        fn push(&mut self, output: O) -> ControlFlow<()> {
            self.0.push(output);
            Continue(())
        }
    }
    let mut hoard = Hoard(vec![]);
    reference::<W>(job, ctx, &mut hoard)?;
    let _ = hoard.0.into_iter().try_for_each(|output| ctx.emit(output, out));
    Ok(())
}

/// The same context with a stop that is never requested.
fn unstopped(ctx: &Ctx) -> Ctx {
    Ctx { workers: ctx.workers, window: ctx.window, stop: Stop::new(), options: ctx.options.clone() }
}

fn ignores_the_stop<W: Batch>(job: &W::Job, ctx: &Ctx, out: &mut dyn Sink<W::Output>) -> Result<()> {
    reference::<W>(job, &unstopped(ctx), out)
}

fn pushes_after_break<W: Batch>(job: &W::Job, ctx: &Ctx, out: &mut dyn Sink<W::Output>) -> Result<()> {
    struct Deaf<'a, O>(&'a mut dyn Sink<O>);
    impl<O> Sink<O> for Deaf<'_, O> {
        fn push(&mut self, output: O) -> ControlFlow<()> {
            let _ = self.0.push(output);
            Continue(())
        }
    }
    reference::<W>(job, &unstopped(ctx), &mut Deaf(out))
}

fn starts_a_thread<W: Batch>(job: &W::Job, ctx: &Ctx, out: &mut dyn Sink<W::Output>) -> Result<()> {
    let (end_tx, end_rx) = std::sync::mpsc::sync_channel::<()>(0);
    thread::scope(|scope| {
        scope.spawn(move || end_rx.recv());
        let ran = reference::<W>(job, ctx, out);
        drop(end_tx);
        ran
    })
}

fn leaves_a_thread<W: Batch>(job: &W::Job, ctx: &Ctx, out: &mut dyn Sink<W::Output>) -> Result<()> {
    drop(thread::spawn(thread::park));
    reference::<W>(job, ctx, out)
}

fn leaves_a_process<W: Batch>(job: &W::Job, ctx: &Ctx, out: &mut dyn Sink<W::Output>) -> Result<()> {
    // It ends at once and stays a zombie, because nothing waits for it.
    let child = Command::new("true").stdin(Stdio::null()).spawn().expect("a process can be started");
    mem::forget(child);
    reference::<W>(job, ctx, out)
}

fn leaves_a_descriptor<W: Batch>(job: &W::Job, ctx: &Ctx, out: &mut dyn Sink<W::Output>) -> Result<()> {
    mem::forget(File::open("/dev/null").expect("it is there"));
    reference::<W>(job, ctx, out)
}

fn leaves_a_file<W: Batch>(job: &W::Job, ctx: &Ctx, out: &mut dyn Sink<W::Output>) -> Result<()> {
    fs::write(env::temp_dir().join("left"), "left").expect("a file can be made");
    reference::<W>(job, ctx, out)
}

/// Writes to the program's standard output, which belongs to the sink.
fn prints<W: Batch>(job: &W::Job, ctx: &Ctx, out: &mut dyn Sink<W::Output>) -> Result<()> {
    println!("working");
    reference::<W>(job, ctx, out)
}

fn hangs<W: Batch>(job: &W::Job, ctx: &Ctx, out: &mut dyn Sink<W::Output>) -> Result<()> {
    edited::<W>(job, ctx, out, |nth, output| {
        if nth == 3 {
            loop {
                thread::park();
            }
        } else {
            vec![output]
        }
    })
}
