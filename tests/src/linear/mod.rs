//! Linearizability: checks whether the answers that concurrent clients got from a key-value server
//! can be explained by a server that does one operation at a time, each between its call and its
//! answer ([Herlihy and Wing](https://doi.org/10.1145/78969.78972), 1990).
//!
//! In reading order:
//!
//! 1. [`history`]: the operations of the clients, with their answers and times;
//! 2. `state`: the sequential specification, a server that does one operation at a time;
//! 3. `search`: looks for an order of the operations that such a server could have taken;
//! 4. [`mod@check`]: divides the keys into independent groups, and finds the shortest prefix
//!    without such an order; [`violation`]: the report;
//! 5. [`resp`] and [`client`]: a client that records what it does, and tells a lost connection from
//!    a refusal;
//! 6. [`plan`]: random lists of operations for several clients; [`mod@record`]: runs them, and
//!    kills workers meanwhile.
//!
//! A suite makes a [`plan::Plan`], has it [recorded](record::record), and [checks](check::check)
//! the history:
//!
//! ```ignore
//! let keys = plan::spread(shards, 2, "h17", |key| slots::shard(key));
//! let plan = Plan::random(Kind::Transfers, keys, 4, seed);
//! let kill = Kill { after: 60, shards: vec![1], kill: Box::new(|| ..), back: Box::new(|| ..) };
//! let history = record(&[address], &plan, vec![kill]);
//! check(&history, Limit::default()).assert_linearizable();
//! ```

pub mod check;
pub mod client;
pub mod history;
pub mod plan;
pub mod record;
pub mod resp;
mod search;
mod state;
#[cfg(test)]
mod tests;
pub mod violation;

/// Maximum number of operations of a history. The search keeps a set of operations as a fixed
/// number of words.
pub const MAX_OPERATIONS: usize = 200;

/// Maximum number of keys of a history. A connection's watched keys are the bits of one word.
pub const MAX_KEYS: usize = 64;

/// Maximum number of steps of a search for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(pub u64);

impl Default for Limit {
    fn default() -> Self {
        Self(2_000_000)
    }
}
