//! A stop at a chosen moment, and how soon the run ends after it.

use std::{
    ops::ControlFlow,
    sync::mpsc::{SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use cc_workloads::{Cause, Ctx, Sink, Stop};

use crate::{failpoint::Failpoint, tree};

/// Maximum time from the request to the end of the run. It is five times what users are promised,
/// because the machine may be busy.
const PROMPT: Duration = Duration::from_secs(1);

/// Asserts that a run ended soon enough after the request.
///
/// # Panics
///
/// If it took too long.
pub fn assert_prompt(took: Duration) {
    assert!(took < PROMPT, "{took:?} from the request to the end");
}

/// Runs with this context, and requests a stop when a process has hit the halting failpoint and
/// `then` has returned. The failpoint opens after the request.
///
/// # Panics
///
/// If the run goes on for too long after the request.
pub fn stopped_in<R>(
    failpoint: &Failpoint,
    ctx: &Ctx,
    then: impl FnOnce(u32) + Send,
    run: impl FnOnce(&Ctx) -> R,
) -> R {
    let ask = |stop: &Stop| {
        then(failpoint.reached());
        let since = request(stop);
        failpoint.open();
        since
    };
    stopped(ctx, ask, || run(ctx))
}

/// Runs with this context, and requests a stop when the run has sent a message and then all threads
/// sleep: for lack of input, or because every queue is full.
///
/// # Panics
///
/// If the run goes on for too long after the request, or ends without having sent a message.
pub fn stopped_in_silence<R>(ctx: &Ctx, run: impl FnOnce(SyncSender<()>) -> R) -> R {
    let (output_tx, output_rx) = sync_channel(1);
    let ask = move |stop: &Stop| {
        output_rx.recv().expect("there is an output");
        tree::wait_until_quiet();
        request(stop)
    };
    stopped(ctx, ask, || run(output_tx))
}

/// Runs with a sink that takes one output and then blocks, and requests a stop when every queue is
/// full.
///
/// # Panics
///
/// If the run goes on for too long after the request, or has no output.
pub fn stopped_in_a_jam<T, R>(ctx: &Ctx, run: impl FnOnce(&mut dyn Sink<T>) -> R) -> R {
    stopped_in_silence(ctx, |output_tx| run(&mut Stalled { stop: ctx.stop.clone(), output_tx }))
}

/// Runs with a sink that requests a stop at each push and still asks for more. Returns the number
/// of pushes.
pub fn pushes_once_it_has_asked<T, R>(ctx: &Ctx, run: impl FnOnce(&mut dyn Sink<T>) -> R) -> usize {
    let mut sink = RequestsStop { stop: ctx.stop.clone(), pushes: 0 };
    let _ = run(&mut sink);
    sink.pushes
}

/// Runs while another thread requests a stop. `ask` returns when it made the request.
fn stopped<R>(ctx: &Ctx, ask: impl FnOnce(&Stop) -> Instant + Send, run: impl FnOnce() -> R) -> R {
    let stop = ctx.stop.clone();
    thread::scope(|scope| {
        let stopper = scope.spawn(move || ask(&stop));
        let run_result = run();
        let ended = Instant::now();
        assert_prompt(ended - stopper.join().expect("the stopper does not panic"));
        run_result
    })
}

fn request(stop: &Stop) -> Instant {
    let since = Instant::now();
    stop.request(Cause::Test);
    since
}

/// Takes one output, reports it, and blocks until a stop is requested.
struct Stalled {
    stop: Stop,
    output_tx: SyncSender<()>,
}

impl<T> Sink<T> for Stalled {
    fn push(&mut self, _: T) -> ControlFlow<()> {
        let (wake_tx, wake_rx) = sync_channel(1);
        let _on_stop = self.stop.on_request(move || {
            let _ = wake_tx.send(());
        });
        self.output_tx.send(()).expect("the test listens");
        wake_rx.recv().expect("the hook is kept");
        ControlFlow::Break(())
    }
}

/// Requests a stop at each push, and counts the pushes.
struct RequestsStop {
    stop: Stop,
    pushes: usize,
}

impl<T> Sink<T> for RequestsStop {
    fn push(&mut self, _: T) -> ControlFlow<()> {
        self.pushes += 1;
        self.stop.request(Cause::Test);
        ControlFlow::Continue(())
    }
}
