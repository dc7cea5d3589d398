//! `kv` on async/await, on one thread.
//!
//! - **Split.** A task for each client, as on several threads.
//! - **Share.** All keys, in one shard in a `RefCell`. Between two `await`s no other task runs, so
//!   a task that borrows the shard there has exclusive access. Nothing is atomic, and no plan spans
//!   shards.
//! - **Bound.** As on several threads.
//! - **Order.** The tasks are polled one after the other, and their plans run in that order.
//! - **Stop.** As on several threads: it does not depend on their number.
//! - **Fail.** A panic ends the task of one client. If it was changing the shard, the shard may be
//!   inconsistent. It is replaced by an empty one with another epoch.

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
    kv::{Acceptor, Client, drain},
    runtime::{current_thread, token},
};

// ANCHOR: kv-run
/// Serves on the calling thread.
pub fn run(listener: TcpListener, config: &Config, ctx: &Ctx) -> Result<Totals> {
    let runtime = current_thread()?;
    let (stop, _on_stop) = token(&ctx.stop);
    let serve = async {
        let acceptor = Acceptor::new(listener, config, 1, stop)?;
        let keys = Rc::new(Keys::new(&acceptor.server));
        let clients = TaskTracker::new();
        let sweeping = spawn_local(sweep(keys.clone()));
        let spawn_client = |client: Client, stream, connection| {
            let keys = keys.clone();
            clients.spawn_local(async move { client.serve(stream, connection, |plan| keys.run(plan)).await });
        };
        acceptor.accept(spawn_client).await?;
        drain(&clients, config.drain).await;
        sweeping.abort();
        Ok(acceptor.server.totals())
    };
    LocalSet::new().block_on(&runtime, serve)
}
// ANCHOR_END: kv-run

// ANCHOR: kv-work
/// Removes expired entries that no request touches, until it is dropped.
async fn sweep(keys: Rc<Keys>) {
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = keys.server.now();
        // Each slice borrows the shard again; the borrow ends before the `await`.
        kv::sweep(1, |slots| keys.shard.borrow_mut().sweep(now, slots));
        ticks.tick().await;
    }
}
// ANCHOR_END: kv-work

// ANCHOR: kv-plan
impl Keys {
    fn new(server: &Arc<Server>) -> Self {
        Self { shard: RefCell::new(empty(server)), server: server.clone() }
    }

    /// Runs a plan. A `RefCell` is not poisoned by a panic, so the shard is replaced here, before
    /// the panic continues to the client's task.
    fn run(&self, plan: &Plan) -> Reply {
        let mut shard = self.shard.borrow_mut();
        catch_unwind(AssertUnwindSafe(|| plan.run([&mut *shard]))).unwrap_or_else(|panic| {
            *shard = empty(&self.server);
            resume_unwind(panic)
        })
    }
}

fn empty(server: &Server) -> Shard {
    Shard::empty(server.budget())
}
// ANCHOR_END: kv-plan

/// All keys.
struct Keys {
    shard: RefCell<Shard>,
    server: Arc<Server>,
}
