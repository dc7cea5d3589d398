//! The reference: one request after the other.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use cc_core::{
    contract::{Ctx, Sink},
    error::{Result, panic_reason},
};
use crossbeam_channel::{Receiver, bounded};

use super::{Attempted, Download, Job, Output, Schedule, Turn, blocking::Client, descriptors};
// ANCHOR: fetch-run
/// Runs the job on the calling thread.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    descriptors(1, 2)?;
    let client = Client::new(&job.settings, &ctx.stop)?;
    let mut schedule = Schedule::new(job, Instant::now());
    let (ring, stopped) = bounded(0);
    let _on_stop = ctx.stop.on_request(move || drop(ring));
    while !ctx.stop.requested() {
        let output = match schedule.turn(Instant::now()) {
            Turn::Start(download) => schedule.ended(work(&client, download)),
            Turn::Settled(output) => Some(output),
            Turn::Wait(until) => wait(&stopped, until),
            Turn::Over => break,
        };
        // An attempt that the stop has ended came to nothing.
        if let Some(output) = output.filter(|_| !ctx.stop.requested())
            && ctx.emit(output, out).is_break()
        {
            break;
        }
    }
    Ok(())
}
// ANCHOR_END: fetch-run

/// Waits for this time, or for the stop.
fn wait(stopped: &Receiver<()>, until: Option<Instant>) -> Option<Output> {
    let _ = until.map(|until| stopped.recv_deadline(until));
    None
}

// ANCHOR: fetch-work
/// One attempt. A panic is that download's failure, not the run's.
fn work(client: &Client, download: Box<Download>) -> Attempted {
    let ticket = download.ticket();
    catch_unwind(AssertUnwindSafe(|| client.attempt(download)))
        .unwrap_or_else(|panic| ticket.failed(&panic_reason(&*panic), Instant::now()))
}
// ANCHOR_END: fetch-work
