//! A cluster at work for one job: a coordinator, here, and workers elsewhere.
//!
//! It moves bytes and knows no workload. In reading order:
//!
//! - [`queue`]: which task is whose, and what was lost; knows no transport;
//! - `coordinator`: how a cluster is started and ended, and how tasks are submitted; `roster`:
//!   which workers are at work, and when the job gives up;
//! - `member`: the coordinator's view of one worker, from the greeting to the suspicion that it is
//!   dead;
//! - [`worker`]: what a workload does there, task by task; `host`: the other side, which serves;
//!   `session`: what belongs to one session there; `admission`: how much all of them may have;
//!   `acceptor`: which peers may connect; `log`: what a standing worker reports;
//! - [`link`] and `keeper_host`: the two ends of a session that keeps something, and is asked;
//!   [`keeper`]: what a workload keeps there;
//! - `store` and [`shelf`]: what tasks leave with their workers; `stores` and `peers`: how other
//!   workers get it; `lineage`: how it is made again; `reach`: which worker does not reach which;
//! - `local`: worker processes of the run's own;
//! - [`command`]: the options of a run; `standing`: a worker that is started by hand;
//! - `wire` and `messages`: payloads in frames, and what messages are made of; `token`: the shared
//!   secret; `codec`: what a workload sends, as bytes; `location`: where a session's blobs are;
//!   `lost` and `status`: why a session has ended;
//! - `runtime`: threads whose start may fail;
//! - `properties`: what the fuzz targets check of messages and blob names.

mod acceptor;
mod admission;
mod codec;
pub mod command;
mod coordinator;
mod fixtures;
mod host;
pub mod keeper;
mod keeper_host;
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
pub mod shelf;
mod standing;
mod status;
mod store;
mod stores;
mod token;
mod wire;
pub mod worker;

pub(crate) use self::codec::{decoded, encode};
pub use self::coordinator::Cluster;
