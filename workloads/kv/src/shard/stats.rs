//! A shard's figures for INFO.

use super::super::{Reply, Tally};

/// A shard's figures for INFO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// See [`Shard::epoch`](super::Shard::epoch).
    pub epoch: u64,
    /// Number of keys.
    pub keys: u64,
    /// Number of keys that have an expiry.
    pub volatile: u64,
    /// Approximate bytes in use.
    pub memory: u64,
    /// The figures of the shard's process, if it is one of several that serve clients.
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

/// Fails with the reply itself if it does not have this form.
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
