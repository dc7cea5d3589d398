//! A stop at a chosen moment, and how soon the run heeds it.

use std::{
    thread,
    time::{Duration, Instant},
};

use cc_workloads::{Cause, Ctx};

use crate::trap::Trap;

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
pub fn stopped_in<T>(
    trap: &Trap,
    ctx: &Ctx,
    then: impl FnOnce(u32) + Send,
    run: impl FnOnce(&Ctx) -> T,
) -> T {
    let stop = ctx.stop.clone();
    thread::scope(|scope| {
        let stopper = scope.spawn(move || {
            then(trap.reached());
            let since = Instant::now();
            stop.request(Cause::Test);
            trap.open();
            since
        });
        let observed = run(ctx);
        let ended = Instant::now();
        prompt(ended - stopper.join().expect("the stopper does not panic"));
        observed
    })
}
