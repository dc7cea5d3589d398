//! Linearizability: whether what concurrent clients saw of a key-value server can be explained by a server that does one operation
//! at a time, each between its call and its answer ([Herlihy and Wing](https://doi.org/10.1145/78969.78972), 1990).
//!
//! In reading order:
//!
//! 1. [`history`]: what clients asked, what they were answered, and when;
//! 2. `state`: the server that does one operation at a time;
//! 3. `search`: looks for an order that such a server could have had;
//! 4. [`mod@check`]: the groups of keys, and the smallest beginning that has no order; [`violation`]: the report;
//! 5. [`resp`] and [`client`]: a client that records what it does, and knows a lost connection from a refusal;
//! 6. [`plan`]: seeded lists of operations for some clients; [`mod@record`]: runs them, and kills a worker meanwhile.
//!
//! A suite makes a [`plan::Plan`], has it [recorded](record::record), and [checks](check::check) the history:
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

/// The most operations of a history.
pub const MAX_OPERATIONS: usize = 200;

/// The most keys of a history.
pub const MAX_KEYS: usize = 64;

/// How many operations a search for an order may try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(pub u64);

impl Default for Limit {
    fn default() -> Self {
        Self(2_000_000)
    }
}
