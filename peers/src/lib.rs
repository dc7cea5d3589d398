//! The other end of a workload's connections: what clients fetch from.

pub mod origin;
