//! `kv` on async/await, on one thread.
//!
//! - **Split.** A task for each client, as on several threads.
//! - **Share.** All keys, in one shard: between two `await`s nobody else runs, so whoever is polled has it for itself.
//!   `RefCell` says that instead of a lock. Nothing is atomic, and no plan spans shards.
//! - **Bound.** As on several threads.
//! - **Order.** Tasks are polled one after the other, and so their plans are run.
//! - **Stop.** As on several threads: nothing of it depends on how many there are.
//! - **Fail.** A panic ends the task of one client. If it was changing the shard, nobody knows what is left of it: it is
//!   replaced by an empty one, of another epoch.

use std::{
    cell::RefCell,
    net::TcpListener,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
    sync::Arc,
};

use cc_workloads::{
    Ctx, Result,
    kv::{self, Config, Plan, Reply, SWEEP, Server, Shard, Totals},
};
use tokio::{
    task::{LocalSet, spawn_local},
    time::{MissedTickBehavior, interval},
};
use tokio_util::task::TaskTracker;

use crate::{
    kv::{Door, drain},
    runtime::{current_thread, token},
};

// ANCHOR: kv-run
/// Serves on the calling thread.
pub fn run(listener: TcpListener, config: &Config, ctx: &Ctx) -> Result<Totals> {
    let runtime = current_thread()?;
    let (stop, _on_stop) = token(&ctx.stop);
    let serve = async {
        let door = Door::new(listener, config, 1, stop)?;
        let (keys, clients) = (Rc::new(Keys::new(&door.server)), TaskTracker::new());
        let sweeping = spawn_local(sweep(keys.clone()));
        let welcome = |stream, connection, door: &Door| {
            let (client, keys) = (door.client(), keys.clone());
            clients.spawn_local(async move { client.serve(stream, connection, |plan| keys.run(plan)).await });
        };
        door.accept(welcome).await?;
        drain(&clients, config.drain).await;
        sweeping.abort();
        Ok(door.server.totals())
    };
    LocalSet::new().block_on(&runtime, serve)
}
// ANCHOR_END: kv-run

// ANCHOR: kv-work
/// Removes what has expired and nobody asks for, until it is dropped.
async fn sweep(keys: Rc<Keys>) {
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = keys.server.now();
        kv::sweep(1, |places| keys.shard.borrow_mut().sweep(now, places));
        ticks.tick().await;
    }
}
// ANCHOR_END: kv-work

// ANCHOR: kv-plan
/// All keys.
struct Keys {
    shard: RefCell<Shard>,
    server: Arc<Server>,
}

impl Keys {
    fn new(server: &Arc<Server>) -> Self {
        Self { shard: RefCell::new(empty(server)), server: server.clone() }
    }

    fn run(&self, plan: &Plan) -> Reply {
        let mut shard = self.shard.borrow_mut();
        catch_unwind(AssertUnwindSafe(|| plan.run([&mut *shard]))).unwrap_or_else(|panic| {
            *shard = empty(&self.server);
            resume_unwind(panic)
        })
    }
}
// ANCHOR_END: kv-plan

fn empty(server: &Server) -> Shard {
    Shard::empty(server.budget())
}
