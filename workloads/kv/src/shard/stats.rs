//! What a shard tells of itself.

use super::super::{Reply, Tally};

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
    /// What its process has and has done, if it is one of several that serve clients.
    pub process: Option<Tally>,
}

impl From<Stats> for Reply {
    fn from(Stats { epoch, keys, volatile, memory, process }: Stats) -> Self {
        let process = process.map(|tally| {
            let Tally { clients, granted, connections, refused, commands } = tally;
            [clients, granted, connections, refused, commands]
        });
        let numbers = [epoch, keys, volatile, memory].into_iter().chain(process.into_iter().flatten());
        Self::Array(numbers.map(|number| Self::Int(number as i64)).collect())
    }
}

/// If that is what it is.
impl TryFrom<Reply> for Stats {
    type Error = Reply;

    fn try_from(reply: Reply) -> Result<Self, Reply> {
        let Reply::Array(items) = &reply else { return Err(reply) };
        let number = |item: &Reply| if let Reply::Int(number) = item { Some(*number as u64) } else { None };
        let Some(numbers) = items.iter().map(number).collect::<Option<Vec<u64>>>() else { return Err(reply) };
        let (shard, process) = match numbers[..] {
            [epoch, keys, volatile, memory] => ([epoch, keys, volatile, memory], None),
            [epoch, keys, volatile, memory, clients, granted, connections, refused, commands] => {
                let tally = Tally { clients, granted, connections, refused, commands };
                ([epoch, keys, volatile, memory], Some(tally))
            }
            _ => return Err(reply),
        };
        let [epoch, keys, volatile, memory] = shard;
        Ok(Self { epoch, keys, volatile, memory, process })
    }
}
