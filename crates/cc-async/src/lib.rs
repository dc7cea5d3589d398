//! async/await on tokio; variant async-single on one thread.

use cc_workloads::Model;

/// The models of this crate.
pub const MODELS: &[Model] = &[];
