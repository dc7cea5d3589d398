//! Child processes: how this process waits for all its descendants, and ends them.

pub(crate) mod cancel;
pub(crate) mod guard;
pub(crate) mod tree;
