//! A cluster for one job: a coordinator in this process, and workers in others.
//!
//! It moves bytes and knows no workload. In reading order:
//!
//! - [`queue`]: which worker has which task on lease, and what was lost; knows no transport;
//! - `coordinator`: how a cluster is started and ended, and how tasks are submitted; `roster`:
//!   which workers are in a session, and when the job gives up;
//! - `member`: the coordinator's view of one worker, from the hello to the suspicion that it is
//!   dead;
//! - [`worker`]: what a workload does in a worker; `host`: the worker's side of a connection;
//!   `session`: what belongs to one session there; `admission`: the limits for all sessions
//!   together; `acceptor`: the limits on connections; `log`: the reports of a standing worker;
//! - [`link`] and `stateful_host`: the two sides of a stateful session; [`stateful`]: what a
//!   workload does there;
//! - `spill_store` and [`blob_store`]: the blobs that tasks leave with their workers;
//!   `session_stores` and `peers`: how other workers fetch them; `lineage`: how they are made
//!   again; `reach`: which worker cannot reach which;
//! - `local`: worker processes that a run starts;
//! - [`command`]: the options of a run; `standing`: a worker that is started by hand;
//! - `wire` and `messages`: payloads in frames, and messages; `token`: the shared secret; `codec`:
//!   data of a workload as bytes; `location`: where a session's blobs are; `lost` and `status`: why
//!   a session has ended;
//! - `runtime`: threads whose start may fail;
//! - `properties`: what the fuzz targets check of messages and blob names.

mod acceptor;
mod admission;
pub mod blob_store;
mod codec;
pub mod command;
mod coordinator;
mod fixtures;
mod host;
pub(crate) mod lineage;
pub mod link;
mod local;
pub(crate) mod location;
mod log;
mod lost;
mod member;
mod messages;
mod peers;
#[doc(hidden)]
pub mod properties;
pub mod queue;
pub(crate) mod reach;
mod roster;
pub(crate) mod runtime;
mod session;
mod session_stores;
mod spill_store;
mod standing;
pub mod stateful;
mod stateful_host;
mod status;
mod token;
mod wire;
pub mod worker;

pub(crate) use self::codec::{decoded, encode};
pub use self::coordinator::Cluster;
