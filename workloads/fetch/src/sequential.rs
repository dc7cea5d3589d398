//! The reference: one request at a time.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use cc_core::{
    contract::{Ctx, Sink},
    error::{Result, panic_reason},
};
use crossbeam_channel::{Receiver, bounded};

use super::{Action, Attempted, Download, Job, Output, Schedule, blocking::Client, descriptors};
// ANCHOR: fetch-run
/// Runs the job on the calling thread.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    descriptors(1, 2)?;
    let client = Client::new(&job.settings, &ctx.stop)?;
    let mut schedule = Schedule::new(job, Instant::now());
    let (stopped_tx, stopped_rx) = bounded(0);
    let _on_stop = ctx.stop.on_request(move || drop(stopped_tx));
    while !ctx.stop.requested() {
        let output = match schedule.poll(Instant::now()) {
            Action::Start(download) => schedule.complete(work(&client, download)),
            Action::Emit(output) => Some(output),
            Action::Wait(until) => wait(&stopped_rx, until),
            Action::Done => break,
        };
        // The result of an attempt that the stop has ended is not reported.
        if let Some(output) = output.filter(|_| !ctx.stop.requested())
            && ctx.emit(output, out).is_break()
        {
            break;
        }
    }
    Ok(())
}
// ANCHOR_END: fetch-run

/// Waits until this time, or until a stop is requested.
fn wait(stopped_rx: &Receiver<()>, until: Option<Instant>) -> Option<Output> {
    let _ = until.map(|until| stopped_rx.recv_deadline(until));
    None
}

// ANCHOR: fetch-work
/// Makes one attempt. A panic fails this download, not the run.
fn work(client: &Client, download: Box<Download>) -> Attempted {
    let id = download.attempt_id();
    // Unwind safe: the call consumes the download, and the client runs none of the download's code
    // under a lock.
    catch_unwind(AssertUnwindSafe(|| client.attempt(download)))
        .unwrap_or_else(|panic| id.failed(&panic_reason(&*panic), Instant::now()))
}
// ANCHOR_END: fetch-work
