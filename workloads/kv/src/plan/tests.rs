use proptest::prelude::*;

use super::*;
use crate::{Move, MoveKind, Scan, SharedBudget};

const SHARDS: usize = 5;

fn slots() -> Slots {
    Slots::new(SHARDS)
}

fn shards(of: usize) -> Vec<Shard> {
    (0..of).map(|n| Shard::new(SharedBudget::new(None), n as u64)).collect()
}

fn run(plan: &Plan, shards: &mut [Shard]) -> Reply {
    let is_asked = |shard: &usize| plan.parts().iter().any(|part| part.shard == *shard);
    plan.run(shards.iter_mut().enumerate().filter(|(shard, _)| is_asked(shard)).map(|(_, shard)| shard))
}

fn key(n: u8) -> Key {
    Key::from(&[b'k', n][..])
}

fn keys(some: &[u8]) -> Keys {
    some.iter().map(|n| key(*n)).collect()
}

fn set(n: u8, value: &[u8]) -> Command {
    Command::set(key(n), value.into())
}

fn ask(command: Command) -> Queued {
    Queued::Command(command)
}

fn exec(checks: Vec<Check>, queue: impl IntoIterator<Item = Command>) -> Plan {
    Planner::new(slots(), Now(1)).exec(checks, queue.into_iter().map(ask).collect(), 0)
}

/// Two keys of different shards, that of the lower shard first.
fn apart() -> (u8, u8) {
    let shard = |n| slots().shard(&key(n));
    let other = (1..).find(|n| shard(*n) != shard(0)).unwrap();
    if shard(0) < shard(other) { (0, other) } else { (other, 0) }
}

#[test]
fn parts_are_in_ascending_order_and_each_shard_has_one() {
    let all: Vec<u8> = (0..=255).collect();
    let plan =
        exec(vec![], [Command::Mget(keys(&all)), Command::Dbsize, Command::Del(keys(&all)), set(1, b"")]);
    let shards: Vec<_> = plan.parts().iter().map(|part| part.shard).collect();
    assert_eq!(shards, (0..SHARDS).collect::<Vec<_>>());
    assert_eq!(Plan::new(Command::Get(key(1)), slots(), Now(1)).parts().len(), 1);
}

#[test]
fn if_one_part_is_refused_nothing_is_done() {
    let (low, high) = apart();
    let mut shards = shards(SHARDS);
    let check = Check { key: key(high), epoch: 77, number: 0 };
    assert_eq!(run(&exec(vec![check], [set(low, b"1"), set(high, b"1")]), &mut shards), Reply::NilArray);
    let full = slots().shard(&key(high));
    shards[full] = Shard::new(SharedBudget::new(Some(10)), 0);
    let pairs = vec![(key(low), Value::number(1)), (key(high), Value::number(1))];
    let plan = Plan::new(Command::Mset(pairs.clone()), slots(), Now(1));
    assert_eq!(run(&plan, &mut shards), Reply::out_of_memory());
    let Reply::Error(text) = run(&exec(vec![], [Command::Mset(pairs)]), &mut shards) else { panic!() };
    assert!(text.starts_with("EXECABORT"), "{text}");
    assert_eq!(run(&Plan::new(Command::Dbsize, slots(), Now(1)), &mut shards), Reply::Int(0));
}

#[test]
fn a_shard_that_is_down_is_said_to_be() {
    let (low, high) = apart();
    let plan = Plan::new(Command::Mget(keys(&[low, high])), slots(), Now(1));
    let shard = slots().shard(&key(high));
    let answers = [
        (slots().shard(&key(low)), Ok([Reply::Array(vec![Reply::Nil])].into())),
        (shard, Err(Refusal::Down)),
    ];
    assert_eq!(plan.reply(answers), Reply::down(shard));
    let plan = Plan::new(Command::Get(key(high)), slots(), Now(1));
    assert_eq!(plan.reply([(shard, Err(Refusal::Down))]), Reply::down(shard));
}

#[test]
fn versions_are_in_the_order_of_the_keys() {
    let (low, high) = apart();
    let mut shards = shards(SHARDS);
    run(&Plan::new(set(high, b""), slots(), Now(1)), &mut shards);
    let plan = Plan::new(Command::Versions(keys(&[high, low, high])), slots(), Now(1));
    let epoch = |n| Reply::Int(slots().shard(&key(n)) as i64);
    // The key is absent, and its shard has not assigned any version.
    let absent = Reply::Int(i64::MIN);
    let expected = [epoch(high), Reply::Int(1), epoch(low), absent, epoch(high), Reply::Int(1)];
    assert_eq!(run(&plan, &mut shards), Reply::Array(expected.into()));
}

#[test]
fn answers_may_come_in_any_order_and_parts_may_be_sent_away() {
    let mut shards = shards(SHARDS);
    let all: Vec<u8> = (0..40).collect();
    for n in &all {
        run(&Plan::new(set(*n, &[*n]), slots(), Now(1)), &mut shards);
    }
    let mut plan = Plan::new(Command::Mget(keys(&all)), slots(), Now(1));
    let parts = plan.take_parts();
    let sent = serde_json::to_vec(&parts).unwrap();
    let parts: Vec<Part> = serde_json::from_slice(&sent).unwrap();
    let answers: Vec<_> = parts.iter().rev().map(|part| (part.shard, shards[part.shard].run(part))).collect();
    assert_eq!(plan.reply(answers), Reply::Array(all.iter().map(|n| Reply::bulk([*n])).collect()));
}

fn commands() -> impl Strategy<Value = Command> {
    let some = || prop::collection::vec(0..12u8, 1..8).prop_map(|some| keys(&some));
    prop_oneof![
        (0..12u8, any::<u8>()).prop_map(|(n, value)| set(n, &[value])),
        (0..12u8).prop_map(|n| Command::Get(key(n))),
        some().prop_map(Command::Mget),
        some().prop_map(Command::Del),
        some().prop_map(Command::Exists),
        prop::collection::vec((0..12u8, any::<i64>()), 1..8).prop_map(|pairs| Command::Mset(
            pairs.into_iter().map(|(n, value)| (key(n), Value::number(value))).collect()
        )),
        Just(Command::Dbsize),
        Just(Command::Flushdb),
        Just(Command::Flushdb),
        (0..12u8).prop_map(|n| Command::Getdel(key(n))),
        (0..12u8, any::<u8>()).prop_map(|(n, more)| Command::Append(key(n), [more][..].into())),
    ]
}

/// Several keys of one shard, or of several: MSETNX sets all or none.
#[test]
fn msetnx_sets_nothing_if_one_key_is_there() {
    let mut shards = shards(SHARDS);
    let pairs = |some: &[u8]| some.iter().map(|n| (key(*n), Value::number(1))).collect();
    let mut msetnx =
        |some: &[u8]| run(&Plan::new(Command::Msetnx(pairs(some)), slots(), Now(1)), &mut shards);
    let some: Vec<u8> = (0..20).collect();
    assert_eq!(msetnx(&some), Reply::Int(1));
    assert_eq!(msetnx(&[30, 31, 32, 33, 34, 5]), Reply::Int(0));
    assert_eq!(msetnx(&[30, 31, 32, 33, 34]), Reply::Int(1));
    assert_eq!(msetnx(&[30]), Reply::Int(0));
    assert_eq!(msetnx(&[40]), Reply::Int(1));
}

#[test]
fn a_scan_and_keys_and_a_random_key_are_of_all_shards() {
    let mut shards = shards(SHARDS);
    let ask = |shards: &mut Vec<Shard>, command| run(&Plan::new(command, slots(), Now(1)), shards);
    let sorted = |reply| {
        let Reply::Array(mut all) = reply else { panic!("{reply:?}") };
        all.sort_unstable_by_key(|key| format!("{key:?}"));
        all
    };
    assert_eq!(ask(&mut shards, Command::Randomkey), Reply::Nil);
    for n in 0..=255 {
        ask(&mut shards, set(n, b""));
    }
    let all: Vec<_> = (0..=255).map(|n| Reply::bulk(&*key(n))).collect();
    let expected = sorted(Reply::Array(all));
    let star = Value::from(&b"k*"[..]);
    assert_eq!(sorted(ask(&mut shards, Command::Keys(star.clone()))), expected);
    assert_eq!(ask(&mut shards, Command::Keys((&b"x*"[..]).into())), Reply::Array(Vec::new()));
    let (mut cursor, mut scanned, mut pages) = (0, Vec::new(), 0);
    loop {
        let pattern = Some(star.clone());
        let scan = Scan { cursor, count: 10, pattern, is_void: false, only_whole: false };
        let Reply::Array(page) = ask(&mut shards, Command::Scan(scan.into())) else { panic!() };
        let [Reply::Bulk(next), Reply::Array(keys)] = &page[..] else { panic!("{page:?}") };
        scanned.extend(keys.iter().cloned());
        (cursor, pages) = (std::str::from_utf8(next).unwrap().parse().unwrap(), pages + 1);
        if cursor == 0 {
            break;
        }
    }
    assert!(pages >= 20, "{pages}");
    assert_eq!(sorted(Reply::Array(scanned)), expected);
    let random: std::collections::HashSet<_> =
        (0..400).map(|_| format!("{:?}", ask(&mut shards, Command::Randomkey))).collect();
    assert!(random.len() > 20);
}

/// Few keys: the first reply has all of them.
#[test]
fn a_scan_of_few_keys_is_one_page() {
    let mut shards = shards(SHARDS);
    (0..9).for_each(|n| _ = run(&Plan::new(set(n, b""), slots(), Now(1)), &mut shards));
    let scan = Scan { cursor: 0, count: 10, pattern: None, is_void: false, only_whole: false };
    let plan = Plan::new(Command::Scan(scan.into()), slots(), Now(1));
    let Reply::Array(page) = run(&plan, &mut shards) else { panic!() };
    assert_eq!(page[0], Reply::bulk("0"));
    let Reply::Array(keys) = &page[1] else { panic!() };
    assert_eq!(keys.len(), 9);
}

#[test]
fn a_scan_ends_before_a_shard_that_is_down() {
    let scan = Scan { cursor: 0, count: 10, pattern: None, is_void: false, only_whole: false };
    let plan = Plan::new(Command::Scan(scan.into()), slots(), Now(1));
    assert!(!plan.is_isolated());
    let page = || Ok([Reply::Array(vec![Reply::Int(0), Reply::Array(vec![Reply::bulk("a")])])].into());
    let down = || Err(Refusal::Down);
    let Reply::Array(items) = plan.reply([(0, page()), (1, page()), (2, down()), (3, page()), (4, page())])
    else {
        panic!()
    };
    let next = u64::from(Cursor::start(2)).to_string();
    assert_eq!(items, [Reply::bulk(next), Reply::Array(vec![Reply::bulk("a"), Reply::bulk("a")])]);
    assert_eq!(plan.reply([(0, down()), (1, page())]), Reply::down(0));
}

#[test]
fn a_move_within_a_shard_has_one_part() {
    let mut shards = shards(SHARDS);
    run(&Plan::new(set(0, b"x"), slots(), Now(1)), &mut shards);
    let same = (1..).find(|n| slots().shard(&key(*n)) == slots().shard(&key(0))).unwrap();
    let what = Move { from: key(0), to: key(same), kind: MoveKind::Rename };
    let plan = Plan::new(Command::Move(what.into()), slots(), Now(1));
    assert_eq!(plan.parts().len(), 1);
    assert_eq!(run(&plan, &mut shards), Reply::Ok);
    assert_eq!(run(&Plan::new(Command::Get(key(same)), slots(), Now(1)), &mut shards), Reply::bulk("x"));
    assert_eq!(run(&plan, &mut shards), Reply::error("ERR no such key"));
}

proptest! {
    #[test]
    fn many_shards_are_as_one(batches in prop::collection::vec(prop::collection::vec(commands(), 1..6), 1..12)) {
        let (mut many, mut one) = (shards(SHARDS), shards(1));
        for batch in batches {
            if let [command] = &batch[..] {
                let expected = one[0].apply(command, Now(1));
                prop_assert_eq!(run(&Plan::new(command.clone(), slots(), Now(1)), &mut many), expected);
            } else {
                let expected = batch.iter().map(|command| one[0].apply(command, Now(1))).collect();
                prop_assert_eq!(run(&exec(vec![], batch), &mut many), Reply::Array(expected));
            }
        }
    }
}
