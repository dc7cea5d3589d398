//! `kv`: an in-memory key-value server that real clients of Redis work with (RESP2 and RESP3).
//!
//! ```text
//!  bytes ── received() ──> Connection ── next() ──> Plan ── parts() ──> Shard ── run() ──> Answer
//!                              ^                     │                                        │
//!  bytes <── output() ─────────┴───── answer() <── reply() <──────────────────────────────────┘
//! ```
//!
//! This package contains what a server does; a model decides how it runs. Except for the
//! [reference](sequential), nothing here reads a socket, waits, or shares data between threads. A
//! [`Connection`] turns the bytes of a client into [`Plan`]s, and their results into bytes. A
//! [`Shard`] holds a part of the keys and runs its [`Part`] of a plan. The model lies in between:
//! it decides which worker owns which shard, which one reads which socket, and how a plan runs
//! atomically on several shards.
//!
//! A [`Server`] holds what the connections of one process have in common. Shards are numbered, and
//! the key determines the shard ([`Slots`]).
//!
//! Data is neither stored on disk nor replicated. If the owner of a shard dies, the shard's data is
//! lost, and clients can see that. Its keys are [refused](Refusal::Down) until a new, empty shard
//! takes its place. The new shard has another [epoch](Shard::epoch), which INFO shows; an EXEC that
//! watches one of its keys fails.

// Output goes through `stdio`, which returns write errors; `println!` panics on them.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod accept;
mod budget;
pub mod cli;
mod clock;
mod command;
mod connection;
mod data;
mod docs;
mod farewell;
mod float;
mod glob;
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
mod tombstones;
mod verb;

use std::{net::TcpListener, time::Duration};

pub use accept::accept_again;
pub use budget::{Charge, SharedBudget};
pub use clock::{Clock, ManualClock, Now, deadline_after};
pub use command::{Command, ExpireWhen, Expiry, Keys, Move, MoveKind, Scan, SetReply, TtlUnit, When};
pub use connection::{Connection, READ, TOO_MANY};
pub use data::{Key, Value};
pub use farewell::{hang_up, turn_away};
pub use plan::{Part, Parts, Plan};
pub use reply::{Protocol, Reply};
pub use server::{Config, Server, Tally, Totals, Whole};
pub use session::{Session, Step};
pub use shard::{Answer, Check, Refusal, Replies, Shard, Stats};
pub use slots::{SLOTS, Slots, slot};

use cc_core::{contract::Ctx, error::Result};

/// What a model provides. It serves the clients that connect to the listener until a stop is
/// requested. Then it answers the requests that have arrived, closes all connections and returns.
/// It returns at most [`Config::drain`] after the stop, even if clients do not read their replies.
pub type Serve = fn(TcpListener, &Config, &Ctx) -> Result<Totals>;

/// The interval at which each shard is to be [swept](sweep).
pub const SWEEP: Duration = Duration::from_millis(100);

/// Sweeps one of a process's shards in slices. Calls `slice` with a number of buckets to
/// [sweep](Shard::sweep), and repeats while it returns that many entries had expired, at most 10
/// times. All shards of the process together sweep at most 40,960 buckets per interval, so that
/// requests are not delayed. A lock on the shard can be released between two slices.
pub fn sweep(shards: usize, mut slice: impl FnMut(usize) -> bool) {
    const BUCKETS: usize = 4096;
    const SLICES: usize = 10;
    let _ = (0..SLICES).all(|_| slice(BUCKETS / shards));
}
