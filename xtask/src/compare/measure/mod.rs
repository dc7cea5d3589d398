//! Runs programs as child processes: checks their outputs, times them, and measures their use of
//! memory and processor time.
//!
//! In reading order: a [`run`] is one process with its descendants, whose [`memory`] may be
//! sampled. A [`server`] is a run that [`clients`] [`ask`] for a [`purpose`]. An [`origin`] answers
//! the requests of programs that only wait. All programs do the same [`work`] in [`rounds`]: first
//! the [`check`] compares their [`outputs`] with what is [`expected`], then come the timed rounds,
//! and last each model is [`traced`] once, which records the spans of a [`trace`]. The [`state`] of
//! a program collects its runs. [`machine`] watches what else runs meanwhile. [`granularity`]
//! measures how small tasks may become, and [`aa_test`] how often a program is called different
//! from itself.

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
