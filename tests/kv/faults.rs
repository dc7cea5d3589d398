//! A worker is killed: its shards lose their keys, all at once and visibly, and no other shard
//! does.

use std::{
    collections::BTreeMap,
    process,
    time::{Duration, Instant},
};

use cc_conformance::{
    case::{Case, Needs},
    linear::{
        Limit, MAX_OPERATIONS,
        check::check,
        plan::{Kind, Plan, spread},
        record::{Kill, record},
    },
    subject::Subject,
    tree,
};
use cc_workloads::kv::{Config, Slots};
use rustix::process::{Pid, Signal, kill_process};

use super::{
    server::Served,
    talk::{Client, encoded},
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("a_killed_worker_loses_its_keys_and_no_others", loses_its_keys),
        Case::new("a_watch_across_a_death_fails", watch_across_a_death),
    ];
    cases.push(Case::new("a_suspended_worker_is_left_out", suspended).needs(Needs::Unwatched));
    for kind in Kind::ALL {
        let name = format!("{kind:?}").to_lowercase();
        let some = move |subject: &Subject| histories(subject, kind, 2);
        cases.push(Case::new(format!("histories_with_kills_of_{name}"), some));
        let many = move |subject: &Subject| histories(subject, kind, 20);
        cases.push(Case::new(format!("many_histories_with_kills_of_{name}"), many).long());
    }
    let processes =
        |case: Case| if case.needs == Needs::Nothing { case.needs(Needs::Processes) } else { case };
    cases.into_iter().map(processes).collect()
}

/// A worker, and the shards that it owns.
struct Worker {
    pid: u32,
    shards: Vec<usize>,
}

/// Kills a worker, and waits until another worker owns its shards.
fn kill(served: &Served, pid: u32) -> Worker {
    let (before, others) = (epochs(served).expect("no worker is down"), tree::children(process::id()));
    kill_process(Pid::from_raw(pid.cast_signed()).expect("a process has a number"), Signal::KILL)
        .expect("it is there");
    let after = loop {
        if let Some(after) = epochs(served).filter(|after| *after != before) {
            break after;
        }
    };
    let changed = before.iter().zip(&after).map(|(before, after)| before != after);
    let shards = changed.enumerate().filter(|(_, changed)| *changed).map(|(shard, _)| shard).collect();
    let is_new = |pid: &u32| !others.contains(pid);
    let pid = tree::children(process::id()).into_iter().find(is_new).expect("there is another one");
    Worker { pid, shards }
}

/// Any worker. To learn which shards a worker owns, the first worker is killed; the result is its
/// successor.
fn any(served: &Served) -> Worker {
    // All workers are there when all shards answer.
    while epochs(served).is_none() {}
    let worker = kill(served, *tree::children(process::id()).first().expect("there are workers"));
    assert!(!worker.shards.is_empty());
    worker
}

/// The epochs of all shards, from INFO. `None` while a shard is down, or if the worker that is
/// asked dies.
fn epochs(served: &Served) -> Option<Vec<u64>> {
    let mut client = served.client();
    client.send(&encoded("INFO"));
    let info = client.next_reply()?;
    let line = info.lines().find_map(|line| line.strip_prefix("shard_epoch:"))?;
    line.split(',').map(|epoch| epoch.parse().ok()).collect()
}

fn loses_its_keys(subject: &Subject) {
    let served = Served::start(subject, &Config::default());
    let worker = any(&served);
    let slots = Slots::new(epochs(&served).expect("no worker is down").len());
    let keys: BTreeMap<String, usize> =
        (0..500).map(|n| format!("key:{n}")).map(|key| (key.clone(), slots.shard(key.as_bytes()))).collect();
    let mut client = served.client();
    keys.keys().for_each(|key| client.says(&format!("SET {key} {key}"), "+OK"));
    let lost = kill(&served, worker.pid).shards;
    assert_eq!(lost, worker.shards);
    let mut client = served.client();
    for (key, shard) in &keys {
        let expected = if lost.contains(shard) { "$nil".to_owned() } else { format!("${key}") };
        client.says(&format!("GET {key}"), &expected);
    }
    let kept = keys.values().filter(|shard| !lost.contains(shard)).count();
    assert!((1..500).contains(&kept), "{kept} kept");
    client.says("DBSIZE", &format!(":{kept}"));
}

/// A watch also ends for a key that was missing before and is missing afterwards.
fn watch_across_a_death(subject: &Subject) {
    let served = Served::start(subject, &Config::default());
    let worker = any(&served);
    let slots = Slots::new(epochs(&served).expect("no worker is down").len());
    let key = |is_lost: bool| {
        let mut keys = (0..).map(|n| format!("key:{n}"));
        keys.find(|key| worker.shards.contains(&slots.shard(key.as_bytes())) == is_lost).expect("there are")
    };
    // Some of them may be clients of the worker that dies.
    let mut clients: Vec<_> = (0..8).map(|_| served.client()).collect();
    clients.iter_mut().for_each(|client| client.says(&format!("WATCH {}", key(true)), "+OK"));
    kill(&served, worker.pid);
    let mut left = 0;
    for client in &mut clients {
        client.try_send(
            &[encoded("MULTI"), encoded(&format!("SET {} 1", key(false))), encoded("EXEC")].concat(),
        );
        let replies: Vec<_> = std::iter::from_fn(|| client.next_reply()).take(3).collect();
        if replies.len() == 3 {
            assert_eq!(replies, ["+OK", "+QUEUED", "nil"]);
            left += 1;
        }
    }
    assert!(left > 0, "no connection is left");
    served.client().says(&format!("GET {}", key(false)), "$nil");
}

/// Two kills in each history.
fn histories(subject: &Subject, kind: Kind, count: u64) {
    let served = Served::start(subject, &Config::default());
    let mut worker = any(&served);
    let shards = epochs(&served).expect("no worker is down").len();
    let slots = Slots::new(shards);
    for nth in 0..count {
        let keys = spread(shards.min(8), 1, &format!("h{nth}"), |key| slots.shard(key.as_bytes()));
        let lost: Vec<usize> = worker.shards.iter().copied().filter(|shard| *shard < 8).collect();
        let plan = Plan::random(kind, keys, 4, MAX_OPERATIONS - 2 * lost.len(), nth);
        let pid = std::cell::Cell::new(worker.pid);
        let die = |after: usize| Kill {
            after,
            shards: lost.clone(),
            kill: Box::new(|| pid.set(kill(&served, pid.get()).pid)),
            back: Box::new(|| ()),
        };
        let kills = vec![die(plan.actions() / 3), die(plan.actions() * 2 / 3)];
        let history = record(&[served.address], &plan, kills);
        check(&history, Limit::default()).assert_linearizable();
        worker.pid = pid.get();
    }
}

/// The suspended worker gets far more requests for its shard than may be unanswered. The other
/// worker still serves its own clients at once, and clients that wait for the suspended one get an
/// error. When the worker goes on, it has its keys.
fn suspended(subject: &Subject) {
    let served = Served::start(subject, &Config::default());
    let worker = any(&served);
    let slots = Slots::new(epochs(&served).expect("no worker is down").len());
    let key = |is_suspended: bool| {
        let mut keys = (0..).map(|n| format!("key:{n}"));
        keys.find(|key| worker.shards.contains(&slots.shard(key.as_bytes())) == is_suspended)
            .expect("there are")
    };
    let (suspended, others) = (key(true), key(false));
    served.client().says(&format!("SET {suspended} kept"), "+OK");
    let signal = |signal| {
        kill_process(Pid::from_raw(worker.pid.cast_signed()).expect("a process has a number"), signal)
            .expect("it is there");
    };
    signal(Signal::STOP);
    let _goes_on = Finally(|| signal(Signal::CONT));
    let mut waiting: Vec<_> = (0..300).map(|_| served.client()).collect();
    waiting.iter_mut().for_each(|client| client.send(&encoded(&format!("GET {suspended}")).repeat(20)));
    for nth in 0..10 {
        let since = Instant::now();
        served.client().says(&format!("SET {others} {nth}"), "+OK");
        assert!(since.elapsed() < Duration::from_secs(4), "client {nth} waits for {:?}", since.elapsed());
    }
    for client in &mut waiting {
        for _ in 0..20 {
            let reply = client.reply();
            assert!(reply.starts_with("-INDETERMINATE") || reply.starts_with("-TRYAGAIN"), "{reply}");
        }
    }
    // Further requests are refused at once, also those that need several shards.
    let mut client = served.client();
    for request in [format!("GET {suspended}"), format!("MSET {others} 1 {suspended} 1")] {
        client.send(&encoded(&request));
        assert!(client.reply().starts_with("-TRYAGAIN"), "{request}");
    }
    signal(Signal::CONT);
    let is_back = |client: &mut Client| {
        client.send(&encoded(&format!("GET {suspended}")));
        client.reply() == "$kept"
    };
    while !is_back(&mut client) {}
    waiting.iter_mut().for_each(|client| client.says(&format!("GET {suspended}"), "$kept"));
    client.says(&format!("MSET {others} 1 {suspended} 1"), "+OK");
}

/// Runs a function when it is dropped, also if the test panics.
struct Finally<F: Fn()>(F);

impl<F: Fn()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
