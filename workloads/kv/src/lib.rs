//! `kv`: an in-memory key-value server that real clients of Redis work with (RESP2).
//!
//! ```text
//!  bytes ── received() ──> Connection ── next() ──> Plan ── parts() ──> Shard ── run() ──> Answer
//!                              ^                     │                                        │
//!  bytes <── output() ─────────┴───── answer() <── reply() <──────────────────────────────────┘
//! ```
//!
//! Everything that a server does is here, and nothing of how: nothing in this module but the
//! [reference](sequential) reads, writes, waits or shares. A [`Connection`] makes [`Plan`]s of what a client sends, and
//! bytes of what comes of them. A [`Shard`] has some of the keys, and runs its [`Part`] of a plan. Between them is the
//! model: who owns shards, who reads sockets, and how a plan is run on several shards as one.
//!
//! What connections of one process have in common is a [`Server`]. Shards are numbered, and a key's is known
//! from the key ([`Slots`]).
//!
//! Nothing is kept on disk or twice. If who owns a shard dies, what it held is lost, visibly: until there is
//! another, empty one, its keys are [refused](Refusal::Down); the new one has another [epoch](Shard::epoch), which INFO
//! shows and which makes an EXEC fail that watches a key of it.

// What prints goes through `stdio`, which does not panic and tells what could not be written.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod accept;
mod budget;
pub mod cli;
mod clock;
mod command;
mod connection;
mod data;
mod farewell;
mod gone;
mod output;
mod plan;
mod reply;
pub mod resp;
pub mod sequential;
mod server;
mod session;
mod shard;
mod slots;
mod table;
mod text;
mod verb;

use std::{net::TcpListener, time::Duration};

pub use accept::accept_again;
pub use budget::{Charge, SharedBudget};
pub use clock::{Clock, ManualClock, Now, deadline_after};
pub use command::{Command, Keys, When};
pub use connection::{Connection, READ, TOO_MANY};
pub use data::{Key, Value};
pub use farewell::{hang_up, turn_away};
pub use plan::{Part, Parts, Plan};
pub use reply::Reply;
pub use server::{Config, Server, Tally, Totals};
pub use session::{Session, Step};
pub use shard::{Answer, Check, Refusal, Replies, Shard, Stats};
pub use slots::{SLOTS, Slots, slot};

use cc_core::{contract::Ctx, error::Result};

/// What a model provides: serves the clients that connect to the listener until a stop is requested. Then requests that
/// have arrived are answered, every connection is closed, and it returns; no later than [`Config::drain`] after the
/// request, whatever clients do.
pub type Serve = fn(TcpListener, &Config, &Ctx) -> Result<Totals>;

/// How often each shard is to be [swept](sweep).
pub const SWEEP: Duration = Duration::from_millis(100);

/// Sweeps one of a process's shards: calls `slice` with a number of places to be
/// [swept](Shard::sweep), again and again while it says that many entries had expired, but for no
/// longer than about a millisecond for all shards together. Others may get at the shard in between.
pub fn sweep(shards: usize, mut slice: impl FnMut(usize) -> bool) {
    const PLACES: usize = 4096;
    const SLICES: usize = 10;
    let _ = (0..SLICES).all(|_| slice(PLACES / shards));
}
