//! What a shard tells of itself.

use super::super::Reply;

/// What INFO wants to know of a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// See [`Shard::epoch`](super::Shard::epoch).
    pub epoch: u64,
    /// How many keys.
    pub keys: u64,
    /// How many of them expire.
    pub volatile: u64,
    /// What they take, about, in bytes.
    pub memory: u64,
}

impl From<Stats> for Reply {
    fn from(Stats { epoch, keys, volatile, memory }: Stats) -> Self {
        Self::Array([epoch, keys, volatile, memory].map(|number| Self::Int(number as i64)).into())
    }
}

/// If that is what it is.
impl TryFrom<Reply> for Stats {
    type Error = Reply;

    fn try_from(reply: Reply) -> Result<Self, Reply> {
        let Reply::Array(items) = &reply else { return Err(reply) };
        let &[Reply::Int(epoch), Reply::Int(keys), Reply::Int(volatile), Reply::Int(memory)] = &items[..]
        else {
            return Err(reply);
        };
        let [epoch, keys, volatile, memory] = [epoch, keys, volatile, memory].map(|number| number as u64);
        Ok(Self { epoch, keys, volatile, memory })
    }
}
