//! Random histories of a server that does one operation at a time, as clients with random delays
//! see it.

use proptest::{collection::vec, prelude::*};

use super::{
    super::{history::Outcome, state::State},
    Answer, History, Key, Op, Operation, keys,
};

/// The number of keys.
const KEYS: usize = 3;

/// The time from one operation's effect to the next.
const STEP: u64 = 1000;

/// A randomly chosen operation.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    client: usize,
    op: Op,
    /// How long before its effect it is called, and how long after it is answered, at most.
    delays: (u64, u64),
    fate: Fate,
}

/// How an operation ends for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    Refused,
    LostWithEffect,
    LostWithoutEffect,
}

/// Operations of up to `clients` clients, with delays of up to `wide` steps. For `answered`
/// operations that are answered, one is refused and two are lost, on average.
pub(super) fn chosen(
    count: impl Into<proptest::collection::SizeRange>,
    clients: usize,
    wide: u64,
    answered: u32,
) -> impl Strategy<Value = Vec<Chosen>> {
    let fate = prop_oneof![
        answered => Just(Fate::Answered),
        1 => Just(Fate::Refused),
        1 => Just(Fate::LostWithEffect),
        1 => Just(Fate::LostWithoutEffect),
    ];
    let delay = 0..wide * STEP;
    let one = (0..clients, op(), (delay.clone(), delay), fate);
    vec(one.prop_map(|(client, op, delays, fate)| Chosen { client, op, delays, fate }), count)
}

fn op() -> impl Strategy<Value = Op> {
    let part = prop_oneof![
        (0..KEYS).prop_map(Op::Get),
        (0..KEYS, 1..4_i64).prop_map(|(key, value)| Op::Set(key, value)),
        (0..KEYS, 1..4_i64).prop_map(|(key, value)| Op::SetNx(key, value)),
        (0..KEYS, 1..3_i64).prop_map(|(key, by)| Op::Add(key, by)),
        some_keys().prop_map(Op::Del),
        some_keys().prop_map(Op::Mget),
    ];
    let pairs = vec((0..KEYS, 1..4_i64), 1..3);
    prop_oneof![
        12 => part.clone(),
        1 => pairs.prop_map(Op::Mset),
        2 => some_keys().prop_map(Op::Watch),
        3 => vec(part, 1..4).prop_map(|ops| Op::Exec { watched: vec![], ops }),
        1 => (0..KEYS).prop_map(Op::Crash),
    ]
}

fn some_keys() -> impl Strategy<Value = Vec<Key>> {
    vec(0..KEYS, 1..3)
}

/// The history of doing the operations one after the other.
pub(super) fn history(chosen: &[Chosen]) -> History {
    let keys = keys(KEYS);
    let mut run = Run { state: State::new(KEYS), clients: vec![], operations: vec![] };
    for (nth, one) in chosen.iter().enumerate() {
        let next = chosen[nth + 1..].iter().position(|other| other.client == one.client);
        run.step(
            one,
            STEP * (nth as u64 + 1),
            next.map_or(u64::MAX, |after| STEP * (nth + after + 2) as u64),
        );
    }
    History { keys, operations: run.operations }
}

/// A client: its connection's number, when it was last answered, and what it watches.
#[derive(Clone, Default)]
struct Client {
    id: usize,
    free: u64,
    watched: Vec<Key>,
}

struct Run {
    state: State,
    clients: Vec<Client>,
    operations: Vec<Operation>,
}

impl Run {
    /// Does one operation at a time, and delays its answer to before the client's next one.
    fn step(&mut self, chosen: &Chosen, time: u64, next: u64) {
        let client = self.client(chosen.client);
        let op = match &chosen.op {
            Op::Exec { ops, .. } => Op::Exec { watched: client.watched.clone(), ops: ops.clone() },
            op => op.clone(),
        };
        let invoked = time.saturating_sub(chosen.delays.0).max(client.free);
        let completed = (time + chosen.delays.1).min(next - 1);
        let fate = if matches!(op, Op::Crash(_)) { Fate::Answered } else { chosen.fate };
        let answer = self.effect(client.id, &op, fate);
        self.follow(chosen.client, &op, fate, completed);
        self.operations.push(match fate {
            Fate::Answered => Operation::ok(client.id, op, (invoked, completed), answer),
            Fate::Refused => {
                let times = (invoked, completed);
                Operation { outcome: Outcome::Failed, ..Operation::ok(client.id, op, times, answer) }
            }
            Fate::LostWithEffect | Fate::LostWithoutEffect => Operation::unknown(client.id, op, invoked),
        });
    }

    fn effect(&mut self, client: usize, op: &Op, fate: Fate) -> Answer {
        let keys = keys(KEYS);
        match (fate, op) {
            (Fate::Answered | Fate::LostWithEffect, op) => self.state.apply(client, op, &keys),
            (Fate::Refused, Op::Exec { watched, .. }) => {
                self.state.apply(client, &Op::Exec { watched: watched.clone(), ops: vec![] }, &keys)
            }
            (Fate::Refused | Fate::LostWithoutEffect, _) => Answer::Nil,
        }
    }

    /// Updates the client after an operation. If its connection was lost, it is another client.
    fn follow(&mut self, nth: usize, op: &Op, fate: Fate, completed: u64) {
        let client = &mut self.clients[nth];
        client.free = completed + 1;
        match (fate, op) {
            (Fate::LostWithEffect | Fate::LostWithoutEffect, _) => {
                client.id += 100;
                client.watched.clear();
            }
            (Fate::Answered, Op::Watch(keys)) => client.watched.extend(keys),
            (_, Op::Exec { .. }) => client.watched.clear(),
            _ => (),
        }
    }

    fn client(&mut self, nth: usize) -> Client {
        for id in self.clients.len()..=nth {
            self.clients.push(Client { id, ..Client::default() });
        }
        self.clients[nth].clone()
    }
}
