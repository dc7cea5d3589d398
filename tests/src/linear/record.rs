//! Runs a plan: all clients at the same time, and kills workers meanwhile.

use std::{
    net::SocketAddr,
    sync::{
        Barrier, Condvar, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use super::{
    MAX_OPERATIONS,
    client::{Client, Recorder},
    history::{Answer, History, Key, Op, Operation, Outcome},
    plan::{Action, Plan},
};

/// The kill of a worker.
pub struct Kill<'a> {
    /// How many of the plan's actions have begun before it, at least one.
    pub after: usize,
    /// The shards that lose their keys.
    pub shards: Vec<usize>,
    /// Kills the worker.
    pub kill: Box<dyn FnOnce() + 'a>,
    /// Waits until the shards answer again, each in its next epoch.
    pub back: Box<dyn FnOnce() + 'a>,
}

/// Runs a plan on one or several servers that hold the same keys, which must be unused, and reads
/// all keys at the end.
///
/// The kills come in the given order. During a kill, clients begin a few more actions and then wait
/// until the shards are back. A client that was refused waits as well. So each kill is followed by
/// enough operations.
///
/// # Panics
///
/// If the history would be too long, if the plan has fewer actions than a kill waits for, and as
/// [`Client::ask`] does.
#[must_use]
pub fn record(servers: &[SocketAddr], plan: &Plan, kills: Vec<Kill<'_>>) -> History {
    let crashes: usize = kills.iter().map(|kill| kill.shards.len()).sum();
    assert!(plan.operations() + crashes <= MAX_OPERATIONS, "the history would be too long");
    assert!(
        kills.iter().all(|kill| (1..=plan.actions()).contains(&kill.after)),
        "a kill comes between two actions"
    );
    let recorder = Recorder::new(servers, &plan.keys);
    let first = asks(&recorder, plan.first.clone());
    let run = Run::new(&recorder, plan, &kills);
    let mut logs = run.all(plan, kills);
    let last = asks(&recorder, (0..plan.keys.len()).map(Op::Get).collect());
    logs.extend([first, last]);
    recorder.history(logs)
}

/// The operations of one client that does these one after the other.
fn asks(recorder: &Recorder, ops: Vec<Op>) -> Vec<Operation> {
    let mut client = recorder.client();
    ops.into_iter().for_each(|op| drop(client.ask(op)));
    client.operations()
}

/// The state that clients and kills share.
struct Run<'a> {
    recorder: &'a Recorder,
    start: Barrier,
    /// How many actions have begun.
    begun: AtomicUsize,
    /// For each kill, after how many actions it comes.
    kills: Vec<usize>,
    /// How many actions may begin between the start of a kill and its end.
    meanwhile: usize,
    /// How many kills have ended.
    over: Mutex<usize>,
    is_over: Condvar,
}

/// Lets all clients go on, even if a kill panics.
struct Release<'a>(&'a Run<'a>);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.end_kill(usize::MAX);
    }
}

impl<'a> Run<'a> {
    fn new(recorder: &'a Recorder, plan: &Plan, kills: &[Kill<'_>]) -> Self {
        Self {
            recorder,
            start: Barrier::new(plan.clients.len()),
            begun: AtomicUsize::new(0),
            kills: kills.iter().map(|kill| kill.after).collect(),
            meanwhile: 2 * plan.clients.len(),
            over: Mutex::new(0),
            is_over: Condvar::new(),
        }
    }

    fn all(&self, plan: &Plan, kills: Vec<Kill<'_>>) -> Vec<Vec<Operation>> {
        let (turn_tx, turn_rx) = sync_channel(kills.len());
        thread::scope(|scope| {
            let clients = plan.clients.iter().map(|actions| {
                let turn_tx = turn_tx.clone();
                scope.spawn(move || self.client(actions, &turn_tx))
            });
            let clients: Vec<_> = clients.collect();
            drop(turn_tx);
            let release = Release(self);
            let crashes = kills.into_iter().enumerate().map(|(nth, kill)| self.kill(nth, kill, &turn_rx));
            let mut logs: Vec<_> = crashes.collect();
            drop(release);
            logs.extend(clients.into_iter().map(|client| client.join().expect("a client does not panic")));
            logs
        })
    }

    fn client(&self, actions: &[Action], turn_tx: &SyncSender<()>) -> Vec<Operation> {
        let mut client = self.recorder.client();
        self.start.wait();
        for action in actions {
            let nth = self.begun.fetch_add(1, SeqCst) + 1;
            let turns = self.kills.iter().filter(|after| **after == nth);
            turns.for_each(|_| turn_tx.send(()).expect("each kill waits for its turn"));
            self.wait_for_kills(nth.saturating_sub(self.meanwhile));
            if act(&mut client, action) == Outcome::Failed {
                self.wait_for_kills(self.begun.load(SeqCst));
            }
        }
        client.operations()
    }

    /// Does a kill when its turn has come, and records the crash of each shard.
    fn kill(&self, nth: usize, kill: Kill<'_>, turn_rx: &Receiver<()>) -> Vec<Operation> {
        turn_rx.recv().expect("a client comes to each kill's turn");
        let invoked: Vec<u64> = kill.shards.iter().map(|_| self.recorder.now()).collect();
        (kill.kill)();
        (kill.back)();
        let crash = |(shard, invoked)| {
            let times = (invoked, self.recorder.now());
            // Each crash gets a client number that no connection has.
            Operation::ok(usize::MAX - shard, Op::Crash(shard), times, Answer::Done)
        };
        let crashes = kill.shards.into_iter().zip(invoked).map(crash).collect();
        self.end_kill(nth + 1);
        crashes
    }

    fn end_kill(&self, over: usize) {
        *self.over.lock().unwrap_or_else(PoisonError::into_inner) = over;
        self.is_over.notify_all();
    }

    /// Waits for the end of the kills that come after at most `begun` actions.
    fn wait_for_kills(&self, begun: usize) {
        let turns = self.kills.iter().filter(|after| **after <= begun).count();
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.is_over.wait_while(over, |over| *over < turns);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Does an action as far as possible, and returns its last outcome.
fn act(client: &mut Client<'_>, action: &Action) -> Outcome {
    match action {
        Action::Pipeline(ops) => {
            let outcomes = client.ask_all(ops.clone());
            outcomes.into_iter().min_by_key(|outcome| *outcome != Outcome::Failed).unwrap_or(Outcome::Unknown)
        }
        Action::Increase(key) => compare_and_set(client, &[*key], |values| vec![(*key, values[0] + 1)]),
        Action::Transfer { from, to, amount } => compare_and_set(client, &[*from, *to], |values| {
            let amount = *amount.min(&values[0]);
            vec![(*from, values[0] - amount), (*to, values[1] + amount)]
        }),
    }
}

/// Sets keys to values computed from their present ones, unless another client writes them
/// meanwhile.
fn compare_and_set(
    client: &mut Client<'_>,
    keys: &[Key],
    set: impl FnOnce(&[i64]) -> Vec<(Key, i64)>,
) -> Outcome {
    let watched = client.ask(Op::Watch(keys.to_vec()));
    if watched != Outcome::Ok(Answer::Done) {
        return watched;
    }
    let read = client.ask(if let [key] = keys { Op::Get(*key) } else { Op::Mget(keys.to_vec()) });
    let Some(values) = values(&read) else { return read };
    let ops = set(&values).into_iter().map(|(key, value)| Op::Set(key, value)).collect();
    client.ask(Op::Exec { watched: vec![], ops })
}

/// The values that were read. A missing key counts as 0.
fn values(read: &Outcome) -> Option<Vec<i64>> {
    match read {
        Outcome::Ok(Answer::List(answers)) => answers.iter().map(value).collect(),
        Outcome::Ok(answer) => Some(vec![value(answer)?]),
        Outcome::Failed | Outcome::Unknown => None,
    }
}

fn value(answer: &Answer) -> Option<i64> {
    match answer {
        Answer::Value(value) => Some(*value),
        Answer::Nil => Some(0),
        _ => None,
    }
}
