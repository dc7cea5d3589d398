//! Multiprocessing: worker processes and ipc-channel.

use cc_workloads::Model;

/// The models of this crate.
pub const MODELS: &[Model] = &[];
