//! The plan: what is compared, and how. It is complete before anything is measured.
//!
//! In reading order: the [`args`] of the command line; the [`build`] of the programs; a workload's
//! [`manifest`] with its [`input`]s, [`query`]s and [`tool`]s, and optionally its [`service`],
//! [`resources`] and [`sweep`]; each [`entrant`] with its [`command`], the [`order`] that its lines
//! must have, and the length of its [`code`]; and the [`effort`], which is how much is measured.

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
