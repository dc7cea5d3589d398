//! Processes: all that descend from this one, and how they are ended.

pub(crate) mod cancel;
pub(crate) mod family;
pub(crate) mod tree;
