//! Isolated threads: actors that own their state and share nothing but messages.

use cc_workloads::Model;

/// The models of this crate.
pub const MODELS: &[Model] = &[];
