//! Distributed: a coordinator and workers over gRPC.

use cc_workloads::Model;

/// The models of this crate.
pub const MODELS: &[Model] = &[];
