use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{super::MoveKind, *};

fn key(key: impl AsRef<[u8]>) -> Key {
    Key::from(key.as_ref())
}

fn set(name: &str, value: &[u8]) -> Command {
    Command::set(key(name), value.into())
}

fn set_for(key: Key, value: Value, after: Option<i64>) -> Command {
    let expiry = after.map_or(Expiry::Never, Expiry::After);
    Command::Set { key, value, expiry, when: When::Always, reply: SetReply::Status }
}

fn expire(name: &str, after: i64) -> Command {
    Command::Expire { key: key(name), expiry: Expiry::After(after), when: ExpireWhen::default() }
}

fn part(checks: Vec<Check>, ops: impl IntoIterator<Item = Command>) -> Part {
    Part { shard: 0, now: Now(1), checks, ops: ops.into_iter().collect() }
}

fn with_room(bytes: u64) -> (Shard, SharedBudget) {
    let budget = SharedBudget::new(Some(bytes));
    (Shard::new(budget.clone(), 1), budget)
}

fn shard() -> Shard {
    Shard::new(SharedBudget::new(None), 1)
}

fn watched(shard: &mut Shard, name: &str) -> Check {
    let Reply::Array(numbers) = shard.apply(&Command::Versions([key(name)].into()), Now(1)) else { panic!() };
    let [Reply::Int(epoch), Reply::Int(number)] = numbers[..] else { panic!("{numbers:?}") };
    Check { key: key(name), epoch: epoch as u64, number: number as u64 }
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let (mut shard, budget) = with_room(10_000);
    assert_eq!(shard.apply(&set("a", &[1; 5_000]), Now(1)), Reply::Ok);
    assert_eq!(shard.apply(&set("b", &[1; 5_000]), Now(1)), Reply::out_of_memory());
    assert_eq!(shard.apply(&set("a", &[2; 9_000]), Now(1)), Reply::Ok, "it takes the old one's place");
    let pairs = vec![(key("a"), [3; 10][..].into()), (key("c"), [3; 9_990][..].into())];
    assert_eq!(shard.apply(&Command::Mset(pairs), Now(1)), Reply::out_of_memory(), "all or nothing");
    assert_eq!(shard.apply(&Command::Get(key("a")), Now(1)), Reply::bulk([2; 9_000]));
    assert_eq!(shard.apply(&Command::Del([key("a")].into()), Now(1)), Reply::Int(1));
    assert_eq!(shard.apply(&set("b", &[1; 5_000]), Now(1)), Reply::Ok);
    drop(shard);
    assert_eq!(budget.granted(), 0);
}

#[test]
fn what_is_set_aside_is_there_and_comes_back() {
    let (mut shard, budget) = with_room(1 << 20);
    let part = part(vec![], [set("a", &[0; 1 << 19])]);
    assert_eq!(shard.prepare(&part), Ok(()));
    assert!(!budget.take(1 << 19));
    shard.abort();
    assert!(budget.take(1 << 19));
    assert_eq!(shard.run(&part), Err(Refusal::Full));
    budget.give(1 << 19);
    assert_eq!(shard.run(&part), Ok([Reply::Ok].into()));
}

#[test]
fn a_watched_key_that_changes_is_noticed() {
    let changes: [fn(&mut Shard); 6] = [
        |shard| _ = shard.apply(&set("a", b"1"), Now(1)),
        |shard| _ = shard.apply(&Command::Add(key("a"), 0), Now(1)),
        |shard| _ = shard.apply(&expire("a", 100), Now(1)),
        |shard| _ = shard.apply(&Command::Del([key("a")].into()), Now(1)),
        |shard| _ = shard.apply(&Command::Flushdb, Now(1)),
        |shard| *shard = Shard::new(SharedBudget::new(None), 2),
    ];
    for change in changes {
        let mut shard = shard();
        shard.apply(&set("a", b"1"), Now(1));
        let check = watched(&mut shard, "a");
        shard.apply(&Command::Get(key("a")), Now(1));
        shard.apply(&set("b", b"1"), Now(1));
        assert!(shard.run(&part(vec![check.clone()], [])).is_ok());
        change(&mut shard);
        assert_eq!(shard.run(&part(vec![check], [set("c", b"1")])), Err(Refusal::Changed));
        assert_eq!(shard.apply(&Command::Get(key("c")), Now(1)), Reply::Nil);
    }
}

#[test]
fn a_watched_key_that_appears_or_expires_is_noticed() {
    let mut shard = shard();
    let check = watched(&mut shard, "a");
    shard.apply(&set("a", b"1"), Now(1));
    assert_eq!(shard.run(&part(vec![check], [])), Err(Refusal::Changed));
    shard.apply(&expire("a", 10), Now(1));
    let check = watched(&mut shard, "a");
    let later = |now| Part { now: Now(now), ..part(vec![check.clone()], []) };
    assert!(shard.run(&later(10)).is_ok());
    assert_eq!(shard.run(&later(11)), Err(Refusal::Changed));
}

#[test]
fn a_watched_key_that_is_not_there_does_not_change_when_others_go() {
    let mut shard = shard();
    for other in 0..10_000 {
        let check = watched(&mut shard, "a");
        shard.apply(&set(&format!("{other}"), b"1"), Now(1));
        shard.apply(&Command::Del([key(format!("{other}"))].into()), Now(1));
        assert!(shard.run(&part(vec![check], [])).is_ok(), "{other}");
    }
}

#[test]
fn time_does_not_go_back() {
    let mut shard = shard();
    shard.apply(&set_for(key("a"), b"1"[..].into(), Some(10)), Now(5));
    assert_eq!(shard.apply(&Command::Get(key("a")), Now(15)), Reply::Nil);
    assert_eq!(shard.apply(&Command::Get(key("a")), Now(14)), Reply::Nil);
}

#[test]
fn a_sweep_removes_what_has_expired_and_no_more_than_it_may() {
    let mut shard = shard();
    for n in 0..1000 {
        let after = (n % 2 == 0).then_some(10);
        let (key, value) = (key(format!("key:{n}")), b"value"[..].into());
        shard.apply(&set_for(key, value, after), Now(0));
    }
    assert!(!shard.sweep(Now(9), 10_000));
    assert_eq!((shard.stats().keys, shard.stats().volatile), (1000, 500));
    assert!(shard.sweep(Now(10), 100));
    assert!((900..1000).contains(&shard.stats().keys));
    while shard.sweep(Now(10), 100) {}
    for _ in 0..100 {
        shard.sweep(Now(10), 100);
    }
    assert_eq!((shard.stats().keys, shard.stats().volatile), (500, 0));
    assert_eq!(shard.stats().memory, 500 * cost(b"key:1", 5));
}

#[test]
fn a_table_that_was_large_becomes_small() {
    let mut shard = shard();
    let all: Keys = (0..50_000).map(|n| key(n.to_string())).collect();
    for key in &all {
        shard.apply(&Command::Add(key.clone(), 1), Now(0));
    }
    assert_eq!(shard.apply(&Command::Del(all), Now(0)), Reply::Int(50_000));
    assert!(shard.table.buckets() < 4_096);
}

#[test]
fn stats_travel_as_replies() {
    let stats = Stats { epoch: u64::MAX, keys: 1, volatile: 2, memory: 3, process: None };
    assert_eq!(Stats::try_from(Reply::from(stats)), Ok(stats));
    assert!(Stats::try_from(Reply::Ok).is_err());
}

/// A simple model of a shard.
#[derive(Default)]
struct Naive(BTreeMap<Key, (Vec<u8>, Option<u64>)>);

impl Naive {
    fn command(&mut self, command: &Command, now: u64) -> Reply {
        self.0.retain(|_, (_, expires)| expires.is_none_or(|expires| expires > now));
        let map = &mut self.0;
        let get =
            |map: &BTreeMap<Key, (Vec<u8>, _)>, key| map.get(key).map_or(Reply::Nil, |it| Reply::bulk(&it.0));
        match command {
            Command::Get(key) => get(map, key),
            Command::Set { key, value, expiry, when, reply } => {
                let (old, is_there) = (get(map, key), map.contains_key(key));
                let is_set = !matches!((when, is_there), (When::Absent, true) | (When::Present, false));
                if is_set {
                    let expires = match expiry {
                        Expiry::After(after) => Some(now.saturating_add_signed(*after)),
                        Expiry::Keep => map.get(key).and_then(|entry| entry.1),
                        _ => None,
                    };
                    map.insert(key.clone(), (value.to_vec(), expires));
                }
                match reply {
                    SetReply::Old => old,
                    SetReply::Number => Reply::Int(is_set.into()),
                    SetReply::Status => {
                        if is_set {
                            Reply::Ok
                        } else {
                            Reply::Nil
                        }
                    }
                }
            }
            Command::Add(key, by) => {
                let entry = map.entry(key.clone()).or_insert((b"0".to_vec(), None));
                let number =
                    String::from_utf8(entry.0.clone()).ok().and_then(|text| text.parse::<i64>().ok());
                // As in Redis, `00` is no number.
                let Some(before) = number.filter(|number| number.to_string().as_bytes() == entry.0) else {
                    return NOT_AN_INTEGER;
                };
                let Some(sum) = before.checked_add(*by) else {
                    return Reply::error("ERR increment or decrement would overflow");
                };
                entry.0 = sum.to_string().into_bytes();
                Reply::Int(sum)
            }
            Command::Strlen(key) => Reply::Int(map.get(key).map_or(0, |it| it.0.len() as i64)),
            Command::Type(key) => Reply::simple(if map.contains_key(key) { "string" } else { "none" }),
            Command::Ttl { key, unit } => Reply::Int(match map.get(key) {
                None => -2,
                Some((_, None)) => -1,
                Some((_, Some(expires))) if *unit == TtlUnit::Seconds => {
                    ((expires - now + 500) / 1000) as i64
                }
                Some((_, Some(expires))) => (expires - now) as i64,
            }),
            Command::Expire { key, expiry: Expiry::After(after), when } => {
                let Some(entry) = map.get_mut(key) else { return Reply::Int(0) };
                let expires = now.saturating_add_signed(*after);
                let is_refused = match (when.expires, when.later, entry.1) {
                    (Some(true), _, None) | (Some(false), _, Some(_)) | (_, Some(true), None) => true,
                    (_, Some(true), Some(before)) => expires <= before,
                    (_, Some(false), Some(before)) => expires >= before,
                    _ => false,
                };
                if is_refused {
                    return Reply::Int(0);
                }
                entry.1 = Some(expires);
                if *after <= 0 {
                    map.remove(key);
                }
                Reply::Int(1)
            }
            Command::Getdel(key) => map.remove(key).map_or(Reply::Nil, |(value, _)| Reply::bulk(value)),
            Command::Getex(key, expiry) => {
                let Some(entry) = map.get_mut(key) else { return Reply::Nil };
                if let Expiry::After(after) = expiry {
                    entry.1 = Some(now.saturating_add_signed(*after));
                } else {
                    entry.1 = None;
                }
                Reply::bulk(&entry.0)
            }
            Command::Append(key, more) => {
                let entry = map.entry(key.clone()).or_default();
                entry.0.extend_from_slice(more);
                Reply::Int(entry.0.len() as i64)
            }
            Command::Getrange(key, first, last) => {
                let value = map.get(key).map_or(&[][..], |entry| &entry.0);
                let length = value.len() as i64;
                let at = |index: i64| if index < 0 { (length + index).max(0) } else { index };
                let wanted = at(*first)..=at(*last);
                let is_reversed = *first < 0 && *last < 0 && first > last;
                let is_in = |(index, _): &(i64, _)| !is_reversed && wanted.contains(index);
                Reply::bulk((0..).zip(value).filter(is_in).map(|(_, byte)| *byte).collect::<Vec<u8>>())
            }
            Command::Setrange(key, offset, part) => {
                if part.is_empty() {
                    return Reply::Int(map.get(key).map_or(0, |entry| entry.0.len() as i64));
                }
                let entry = map.entry(key.clone()).or_default();
                for (at, byte) in (*offset as usize..).zip(&**part) {
                    entry.0.resize(entry.0.len().max(at + 1), 0);
                    entry.0[at] = *byte;
                }
                Reply::Int(entry.0.len() as i64)
            }
            Command::Msetnx(pairs) => {
                let is_set = !pairs.iter().any(|(key, _)| map.contains_key(key));
                if is_set {
                    map.extend(pairs.iter().map(|(key, value)| (key.clone(), (value.to_vec(), None))));
                }
                Reply::Int(is_set.into())
            }
            Command::Move(mover) => {
                let Some(entry) = map.get(&mover.from).cloned() else { return mover.kind.missing() };
                if mover.kind.needs_absence() && map.contains_key(&mover.to) {
                    return Reply::Int(0);
                }
                if !mover.kind.keeps_source() {
                    map.remove(&mover.from);
                }
                map.insert(mover.to.clone(), entry);
                mover.kind.moved()
            }
            Command::Persist(key) => {
                Reply::Int(map.get_mut(key).is_some_and(|entry| entry.1.take().is_some()).into())
            }
            Command::Mget(keys) => Reply::Array(keys.iter().map(|key| get(map, key)).collect()),
            Command::Mset(pairs) => {
                map.extend(pairs.iter().map(|(key, value)| (key.clone(), (value.to_vec(), None))));
                Reply::Ok
            }
            Command::Del(keys) => {
                Reply::Int(keys.iter().filter(|key| map.remove(*key).is_some()).count() as i64)
            }
            Command::Exists(keys) => {
                Reply::Int(keys.iter().filter(|key| map.contains_key(*key)).count() as i64)
            }
            Command::Dbsize => Reply::Int(map.len() as i64),
            Command::Flushdb => {
                map.clear();
                Reply::Ok
            }
            other => unreachable!("{other:?} is tested elsewhere"),
        }
    }
}

fn commands() -> impl Strategy<Value = Command> {
    let a_key = || (0..6u8).prop_map(|n| key([b'k', n]));
    let a_value = || {
        prop_oneof![
            (-3..3i64).prop_map(Value::number),
            Just(Value::number(i64::MAX)),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Value::from(&bytes[..])),
        ]
    };
    let some = move || prop::collection::vec(a_key(), 1..5).prop_map(Keys::from);
    let when = prop::sample::select(vec![When::Always, When::Absent, When::Present]);
    let unit = prop::sample::select(vec![TtlUnit::Seconds, TtlUnit::Milliseconds, TtlUnit::FineDate(0)]);
    let reply = prop::sample::select(vec![SetReply::Status, SetReply::Old, SetReply::Number]);
    let expiry = || {
        let after = (-3..3000i64).prop_map(Expiry::After);
        prop_oneof![2 => Just(Expiry::Never), 1 => Just(Expiry::Keep), 2 => after]
    };
    let expire_when = prop_oneof![
        3 => Just(ExpireWhen::default()),
        1 => any::<(Option<bool>, Option<bool>)>().prop_map(|(expires, later)| ExpireWhen { expires, later }),
    ];
    let kinds = vec![MoveKind::Rename, MoveKind::Renamenx, MoveKind::Copy, MoveKind::Replace];
    let moves = (a_key(), a_key(), prop::sample::select(kinds))
        .prop_map(|(from, to, kind)| Command::Move(Move { from, to, kind }.into()));
    let getex = (a_key(), prop::option::of(-3..3000i64))
        .prop_map(|(key, after)| Command::Getex(key, after.map_or(Expiry::Never, Expiry::After)));
    let strings = prop_oneof![
        (a_key(), a_value()).prop_map(|(key, value)| Command::Append(key, value)),
        (a_key(), -50..50i64, -50..50i64).prop_map(|(key, first, last)| Command::Getrange(key, first, last)),
        (a_key(), 0..60u64, a_value()).prop_map(|(key, at, part)| Command::Setrange(key, at, part)),
        a_key().prop_map(Command::Getdel),
        getex,
        moves,
        prop::collection::vec((a_key(), a_value()), 1..4).prop_map(Command::Msetnx),
    ];
    prop_oneof![
        5 => strings,
        1 => a_key().prop_map(Command::Get),
        1 => (a_key(), a_value(), expiry(), when, reply)
            .prop_map(|(key, value, expiry, when, reply)| Command::Set { key, value, expiry, when, reply }),
        1 => (a_key(), -2..3i64).prop_map(|(key, by)| Command::Add(key, by)),
        1 => a_key().prop_map(Command::Strlen),
        1 => a_key().prop_map(Command::Type),
        1 => (a_key(), unit).prop_map(|(key, unit)| Command::Ttl { key, unit }),
        1 => (a_key(), -10..3000i64, expire_when).prop_map(|(key, after, when)| Command::Expire {
            key,
            expiry: Expiry::After(after),
            when
        }),
        1 => a_key().prop_map(Command::Persist),
        1 => some().prop_map(Command::Mget),
        1 => prop::collection::vec((a_key(), a_value()), 1..4).prop_map(Command::Mset),
        1 => some().prop_map(Command::Del),
        1 => some().prop_map(Command::Exists),
        1 => Just(Command::Flushdb),
    ]
}

proptest! {
    #[test]
    fn a_shard_does_what_a_naive_one_does(steps in prop::collection::vec((commands(), 0..2000u64, any::<bool>()), 1..60)) {
        let budget = SharedBudget::new(None);
        let (mut shard, mut naive, mut now) = (Shard::new(budget.clone(), 1), Naive::default(), 0);
        for (command, later, sweeps) in steps {
            now += later;
            prop_assert_eq!(shard.apply(&command, Now(now)), naive.command(&command, now), "{:?}", command);
            if sweeps {
                // Removes all expired entries, so that both have the same number of keys.
                shard.sweep(Now(now), usize::MAX);
                prop_assert_eq!(shard.apply(&Command::Dbsize, Now(now)), naive.command(&Command::Dbsize, now));
                let all = |(key, (value, _)): (&Key, &(Vec<u8>, _))| cost(key, value.len());
                prop_assert_eq!(shard.stats().memory, naive.0.iter().map(all).sum::<u64>());
                let volatile = naive.0.values().filter(|(_, expires)| expires.is_some()).count();
                prop_assert_eq!(shard.stats().volatile, volatile as u64);
            }
        }
        drop(shard);
        prop_assert_eq!(budget.granted(), 0);
    }

    #[test]
    fn no_more_memory_is_granted_than_there_is(steps in prop::collection::vec(commands(), 1..80), limit in 0..1500u64) {
        let budget = SharedBudget::new(Some(limit));
        let mut shard = Shard::new(budget.clone(), 1);
        for command in steps {
            shard.apply(&command, Now(1));
            prop_assert!(shard.stats().memory <= budget.granted() && budget.granted() <= limit);
        }
    }
}

/// Creates and removes a key in every possible way: its number must differ each time.
#[test]
fn a_key_that_comes_and_goes_has_another_number() {
    let mut shard = Shard::new(SharedBudget::new(None), 1);
    let key = || Key::from(&b"k"[..]);
    let set = |after| set_for(key(), b"v"[..].into(), after);
    let del = || Command::Del(Keys::from_iter([key()]));
    let mut seen = vec![shard.watch_number(b"k")];
    let mut now = 1;
    let mut then = |shard: &mut Shard, command: Option<Command>, by: u64| {
        now += by;
        shard.advance_clock(Now(now));
        command.map(|command| shard.apply(&command, Now(now)));
        let number = shard.watch_number(b"k");
        assert!(!seen.contains(&number), "{number} again in {seen:?}");
        seen.push(number);
    };
    for _ in 0..3 {
        then(&mut shard, Some(set(None)), 0);
        then(&mut shard, Some(del()), 0);
        then(&mut shard, Some(set(Some(5))), 0);
        then(&mut shard, None, 5);
        then(&mut shard, Some(set(None)), 0);
        then(&mut shard, Some(Command::Flushdb), 0);
        then(&mut shard, Some(set(Some(5))), 0);
        then(&mut shard, None, 5);
        // Removing an expired entry does not change the key's number.
        let before = shard.watch_number(b"k");
        shard.sweep(Now(0), 1000); // the shard's time does not go back
        assert_eq!((shard.watch_number(b"k"), shard.table.len()), (before, 0));
    }
}

#[test]
fn an_answer_fits_if_its_values_do_or_it_is_one() {
    let mut shard = shard();
    for name in ["a", "b"] {
        shard.apply(&set(name, &[0; 1000]), Now(1));
    }
    let get = |name| Command::Get(key(name));
    let both = || Command::Mget([key("a"), key("b")].into_iter().collect());
    for (ops, bytes) in [
        (vec![get("a"), get("b")], 2000),
        (vec![both()], 2000),
        (vec![both(), get("c")], 2000),
        // The GET may read the value that the part sets.
        (vec![set("a", &[0; 3000]), get("a"), get("c")], 6000),
    ] {
        let part = part(vec![], ops);
        assert!(shard.answer_fits(&part, bytes) && !shard.answer_fits(&part, bytes - 1), "{part:?}");
    }
    assert!(shard.answer_fits(&part(vec![], [get("a")]), 0));
    assert!(shard.answer_fits(&part(vec![], [set("a", &[0; 1000]), get("c")]), 1000));
}
