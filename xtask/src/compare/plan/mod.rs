//! What is compared, and how: read before anything runs.
//!
//! In reading order: the [`args`] of the command line; what cargo can [`build`]; a workload's
//! [`manifest`] with its [`input`], each [`query`], each [`tool`], and where it has them its
//! [`service`], [`resources`] and [`sweep`]; then each [`entrant`] with the [`command`] that calls
//! it, the [`order`] its lines must have and the length of its [`code`]; last how much is measured,
//! the [`effort`].

pub(crate) mod args;
pub(crate) mod build;
pub(crate) mod code;
pub(crate) mod command;
pub(crate) mod effort;
pub(crate) mod entrant;
pub(crate) mod input;
pub(crate) mod manifest;
pub(crate) mod order;
pub(crate) mod query;
pub(crate) mod resources;
pub(crate) mod service;
pub(crate) mod sweep;
pub(crate) mod tool;
