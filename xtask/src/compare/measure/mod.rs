//! Programs that run: checked, timed, and watched from outside.
//!
//! In reading order: one [`run`] in a process of its own, its [`memory`] sampled, or a [`server`]
//! that its [`clients`] [`ask`] for a [`purpose`]; what it may wait for is an [`origin`]. All
//! programs do the same [`work`] in [`rounds`]: first the [`check`] that they do what is
//! [`expected`] (their [`outputs`] are compared), then the rounds that are timed, and last one that
//! is [`traced`], with the spans of a [`trace`]. What is seen of a program is its [`state`]. What
//! the [`machine`] did meanwhile is watched. How finely work may be cut is asked by
//! [`granularity`], and by [`aa_test`] how often a program is called different from itself.

pub(crate) mod aa_test;
pub(crate) mod ask;
pub(crate) mod check;
pub(crate) mod clients;
pub(crate) mod expected;
#[cfg(test)]
pub(crate) mod fixtures;
pub(crate) mod granularity;
pub(crate) mod machine;
pub(crate) mod memory;
pub(crate) mod origin;
pub(crate) mod outputs;
pub(crate) mod purpose;
pub(crate) mod rounds;
pub(crate) mod run;
pub(crate) mod server;
pub(crate) mod state;
pub(crate) mod trace;
pub(crate) mod traced;
pub(crate) mod work;
