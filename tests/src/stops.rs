//! A stop at a chosen moment, and how soon the run heeds it.

use std::{
    ops::ControlFlow,
    sync::mpsc::{SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use cc_workloads::{Cause, Ctx, Sink, Stop};

use crate::{trap::Trap, tree};

/// From the request to the end of the run. Users are promised a fifth of that; the machine may be busy.
const PROMPT: Duration = Duration::from_secs(1);

/// Panics if the run went on for too long after the request.
///
/// # Panics
///
/// If it did.
pub fn prompt(took: Duration) {
    assert!(took < PROMPT, "{took:?} from the request to the end");
}

/// Does a run in this context, and requests a stop when a process has run into the trap, which halts it, and
/// `then` has seen to it. The trap opens when the request has been made.
///
/// # Panics
///
/// If the run goes on for too long after that.
pub fn stopped_in<R>(
    trap: &Trap,
    ctx: &Ctx,
    then: impl FnOnce(u32) + Send,
    run: impl FnOnce(&Ctx) -> R,
) -> R {
    let ask = |stop: &Stop| {
        then(trap.reached());
        let since = request(stop);
        trap.open();
        since
    };
    stopped(ctx, ask, || run(ctx))
}

/// Does a run in this context, and requests a stop when the run has told of an output and everybody waits: for input,
/// or for room.
///
/// # Panics
///
/// If the run goes on for too long after that, or ends without having told of anything.
pub fn stopped_in_silence<R>(ctx: &Ctx, run: impl FnOnce(SyncSender<()>) -> R) -> R {
    let (tell, told) = sync_channel(1);
    let ask = move |stop: &Stop| {
        told.recv().expect("there is an output");
        tree::wait_until_quiet();
        request(stop)
    };
    stopped(ctx, ask, || run(tell))
}

/// Does a run whose sink takes one output and no more, and requests a stop when every queue is full.
///
/// # Panics
///
/// If the run goes on for too long after that, or has no output.
pub fn stopped_in_a_jam<T, R>(ctx: &Ctx, run: impl FnOnce(&mut dyn Sink<T>) -> R) -> R {
    stopped_in_silence(ctx, |told| run(&mut Stalled { stop: ctx.stop.clone(), told }))
}

/// Does a run whose sink requests a stop whenever it is given something, and wants more, and returns how often it was.
pub fn pushes_once_it_has_asked<T, R>(ctx: &Ctx, run: impl FnOnce(&mut dyn Sink<T>) -> R) -> usize {
    let mut asks = Asks { stop: ctx.stop.clone(), pushes: 0 };
    let _ = run(&mut asks);
    asks.pushes
}

/// Does a run beside a thread that asks it to stop, and says since when.
fn stopped<R>(ctx: &Ctx, ask: impl FnOnce(&Stop) -> Instant + Send, run: impl FnOnce() -> R) -> R {
    let stop = ctx.stop.clone();
    thread::scope(|scope| {
        let stopper = scope.spawn(move || ask(&stop));
        let observed = run();
        let ended = Instant::now();
        prompt(ended - stopper.join().expect("the stopper does not panic"));
        observed
    })
}

fn request(stop: &Stop) -> Instant {
    let since = Instant::now();
    stop.request(Cause::Test);
    since
}

/// Takes an output, tells that it has, and returns when a stop is requested.
struct Stalled {
    stop: Stop,
    told: SyncSender<()>,
}

impl<T> Sink<T> for Stalled {
    fn push(&mut self, _: T) -> ControlFlow<()> {
        let (wake, woken) = sync_channel(1);
        let _on_stop = self.stop.on_request(move || {
            let _ = wake.send(());
        });
        self.told.send(()).expect("the test listens");
        woken.recv().expect("the hook is kept");
        ControlFlow::Break(())
    }
}

/// Asks for a stop each time, and counts.
struct Asks {
    stop: Stop,
    pushes: usize,
}

impl<T> Sink<T> for Asks {
    fn push(&mut self, _: T) -> ControlFlow<()> {
        self.pushes += 1;
        self.stop.request(Cause::Test);
        ControlFlow::Continue(())
    }
}
