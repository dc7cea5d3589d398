//! `sort` by actors.
//!
//! - **Split.** TODO: what is a task here? Why not more, or less?
//! - **Share.** TODO: what is shared, and by whom? How do tasks come to the workers?
//! - **Bound.** TODO: what limits memory, open files, queues?
//! - **Order.** TODO: who brings outputs into their order, if they have one?
//! - **Stop.** TODO: who asks, and what ends the waiting of those who wait?
//! - **Fail.** TODO: what becomes of a task that panics, and of a worker that dies?

use cc_workloads::{
    Ctx, Error, Result, Sink,
    sort::{Job, Output},
};

// ANCHOR: sort-run
/// Not written yet.
pub fn run(_: &Job, _: &Ctx, _: &mut dyn Sink<Output>) -> Result<()> {
    Err(Error::Usage("not written yet".to_owned()))
}
// ANCHOR_END: sort-run

// ANCHOR: sort-feed
// ANCHOR_END: sort-feed

// ANCHOR: sort-work
// ANCHOR_END: sort-work

// ANCHOR: sort-gather
// ANCHOR_END: sort-gather
