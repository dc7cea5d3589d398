use cc_workloads::{
    Stop,
    kv::{Command, Config, Key, Slots},
};

use super::*;
use crate::actor::system;

/// A part that touches this key is a keeper's death.
pub(crate) const DEADLY: &[u8] = b"deadly";

pub(super) fn strike(part: &Part) {
    let is_deadly = |op: &Command| matches!(op, Command::Add(key, _) if **key == *DEADLY);
    assert!(!part.ops.iter().any(is_deadly), "a bug in a keeper");
}
