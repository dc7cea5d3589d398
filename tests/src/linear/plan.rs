//! What clients do: random lists of operations from a seed, on few keys, so that clients conflict.

use fastrand::Rng;

use super::history::{Key, KeyInfo, Op};

/// One step of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// One operation, or several in one pipeline.
    Pipeline(Vec<Op>),
    /// Compare and set: `WATCH`, `GET`, and `SET` to one more, in a transaction.
    Increase(Key),
    /// A transfer as an application does it: `WATCH`, `MGET`, and `SET` of both accounts in a
    /// transaction, if the balance suffices.
    Transfer {
        /// The account that pays.
        from: Key,
        /// The account that gets it.
        to: Key,
        /// How much.
        amount: i64,
    },
}

impl Action {
    /// Maximum number of operations of this action.
    #[must_use]
    pub fn operations(&self) -> usize {
        match self {
            Self::Pipeline(ops) => ops.len(),
            Self::Increase(_) | Self::Transfer { .. } => 3,
        }
    }
}

/// The kind of operations in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Keys that are written, read and deleted.
    Registers,
    /// Keys that are incremented.
    Counters,
    /// Accounts whose sum never changes: transactions move amounts, and reads must not see half a
    /// transaction.
    Transfers,
    /// Compare and set with `WATCH`.
    Conditions,
    /// All of these on the same keys.
    Mixed,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 5] =
        [Self::Registers, Self::Counters, Self::Transfers, Self::Conditions, Self::Mixed];
}

/// The operations of several clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The keys.
    pub keys: Vec<KeyInfo>,
    /// What one client does before the others start.
    pub first: Vec<Op>,
    /// What each client does, all at the same time.
    pub clients: Vec<Vec<Action>>,
}

impl Plan {
    /// A plan of about `operations` operations. The same seed makes the same plan.
    ///
    /// # Panics
    ///
    /// If there are no clients, or fewer than two keys.
    #[must_use]
    pub fn random(kind: Kind, keys: Vec<KeyInfo>, clients: usize, operations: usize, seed: u64) -> Self {
        assert!(clients > 0 && keys.len() > 1, "a plan needs clients, and keys to choose from");
        let mut maker = Maker { rng: Rng::with_seed(seed), keys: keys.len(), value: 1000 };
        let accounts = (0..keys.len()).map(|key| (key, 100)).collect();
        let first = if kind == Kind::Transfers { vec![Op::Mset(accounts)] } else { vec![] };
        let mut plan = Self { keys, first, clients: vec![vec![]; clients] };
        for client in (0..clients).cycle() {
            let action = maker.action(kind);
            if plan.operations() + action.operations() > operations {
                break;
            }
            plan.clients[client].push(action);
        }
        plan
    }

    /// Maximum number of operations of its history, not counting crashes. Each key is read at the
    /// end.
    #[must_use]
    pub fn operations(&self) -> usize {
        let actions = self.clients.iter().flatten().map(Action::operations);
        self.first.len() + actions.sum::<usize>() + self.keys.len()
    }

    /// The number of actions of all clients.
    #[must_use]
    pub fn actions(&self) -> usize {
        self.clients.iter().map(Vec::len).sum()
    }
}

/// Names for keys, `each` per shard, with hash tags. Keys of histories with different prefixes are
/// different.
///
/// # Panics
///
/// If `shard_of` maps none of many tags to one of the shards.
#[must_use]
pub fn spread(shards: usize, each: usize, prefix: &str, shard_of: impl Fn(&str) -> usize) -> Vec<KeyInfo> {
    let tags = (0..10_000).map(|tag| format!("{{{prefix}-{tag}}}"));
    let tags: Vec<(String, usize)> = tags.map(|tag| (tag.clone(), shard_of(&tag))).collect();
    let of_shard = |shard| {
        let (tag, _) = tags.iter().find(|(_, of)| *of == shard).expect("a key for each shard");
        (0..each).map(move |nth| KeyInfo { name: format!("{tag}:{nth}"), shard })
    };
    (0..shards).flat_map(of_shard).collect()
}

struct Maker {
    rng: Rng,
    keys: usize,
    /// The last value written. No value is written twice, so a read shows which write it saw.
    value: i64,
}

impl Maker {
    fn action(&mut self, kind: Kind) -> Action {
        let choice = self.rng.u32(0..100);
        match kind {
            Kind::Registers => self.register(choice),
            Kind::Counters => self.counter(choice),
            Kind::Transfers => self.transfer(choice),
            Kind::Conditions => self.condition(choice),
            Kind::Mixed => {
                let kind = self.rng.choice(&Kind::ALL[..4]).copied().unwrap_or(Kind::Registers);
                self.action(kind)
            }
        }
    }

    fn register(&mut self, choice: u32) -> Action {
        let key = self.key();
        one(match choice {
            0..40 => Op::Get(key),
            40..65 => Op::Set(key, self.value()),
            65..75 => Op::SetNx(key, self.value()),
            75..85 => Op::Del(vec![key]),
            85..90 => Op::Del(self.pair().into()),
            _ => {
                return Action::Pipeline(vec![Op::Set(key, self.value()), Op::Get(key), Op::Get(self.key())]);
            }
        })
    }

    fn counter(&mut self, choice: u32) -> Action {
        let key = self.key();
        one(match choice {
            0..60 => Op::Add(key, 1),
            60..70 => Op::Add(key, self.rng.i64(-9..10)),
            70..90 => Op::Get(key),
            90..95 => Op::Del(vec![key]),
            _ => return Action::Pipeline(vec![Op::Add(key, 1), Op::Add(key, 1), Op::Get(key)]),
        })
    }

    fn transfer(&mut self, choice: u32) -> Action {
        let [from, to] = self.pair();
        let amount = self.rng.i64(1..50);
        let transaction = |ops| Op::Exec { watched: vec![], ops };
        one(match choice {
            0..40 => transaction(vec![Op::Add(from, -amount), Op::Add(to, amount)]),
            40..60 => Op::Mget((0..self.keys).collect()),
            60..75 => transaction(vec![Op::Get(from), Op::Get(to)]),
            _ => return Action::Transfer { from, to, amount },
        })
    }

    fn condition(&mut self, choice: u32) -> Action {
        let key = self.key();
        one(match choice {
            0..60 => return Action::Increase(key),
            60..75 => Op::Get(key),
            75..80 => Op::Set(key, self.value()),
            80..85 => Op::Del(vec![key]),
            85..92 => Op::Mset(self.pair().map(|key| (key, self.value())).into()),
            _ => Op::Mget(self.pair().into()),
        })
    }

    fn key(&mut self) -> Key {
        self.rng.usize(0..self.keys)
    }

    /// Two different keys, in any order.
    fn pair(&mut self) -> [Key; 2] {
        let one = self.key();
        [one, (one + self.rng.usize(1..self.keys)) % self.keys]
    }

    fn value(&mut self) -> i64 {
        self.value += 1;
        self.value
    }
}

fn one(op: Op) -> Action {
    Action::Pipeline(vec![op])
}
