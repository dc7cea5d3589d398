//! A shard: the data of some keys, and the semantics of the commands on them.

pub(super) mod scan;
mod stats;
mod strings;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use hashbrown::hash_table::Entry as Slot;

pub use self::stats::Stats;
use super::{
    Command, ExpireWhen, Expiry, Key, Keys, Move, Now, Part, Reply, Server, SetReply, SharedBudget, TtlUnit,
    Value, When,
    budget::Reservation,
    command::NOT_AN_INTEGER,
    resp::{MAX_BULK, number},
    table::{Entry, NEVER, Table, cost},
    tombstones::Tombstones,
};

/// The replies of a part's commands, in order; usually one.
pub type Replies = SmallVec<[Reply; 1]>;

/// The result of a part: the replies of its commands, or the reason why it did not run.
pub type Answer = Result<Replies, Refusal>;

/// Why a part did not run. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// A watched key has changed, or its shard was lost.
    Changed,
    /// There is not enough memory for the data.
    Full,
    /// The answer would need more memory than there is for replies in flight.
    Large,
    /// The shard is down: its owner has died, and there is no new one yet.
    Down,
    /// The shard's owner does not answer in time.
    Silent,
}

/// Flag in [`Check::number`]: the key was absent.
const ABSENT: u64 = 1 << 63;

/// The condition that a watched key has not changed: it still has the version that it had at the
/// time of WATCH, or it was absent and has been absent ever since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The watched key.
    pub key: Key,
    /// The shard's epoch at the time of WATCH. A shard that replaces a lost one has another epoch,
    /// so every check of it fails.
    pub epoch: u64,
    /// The key's version at the time of WATCH. If the key was absent: a flag and the shard's
    /// last version. All ones for [`Check::absent`].
    pub number: u64,
}

/// The number of a check that the key is absent, no matter since when. No shard assigns this
/// version.
const ABSENT_NOW: u64 = u64::MAX;

impl Check {
    /// The condition that a key is absent.
    #[must_use]
    pub fn absent(key: Key) -> Self {
        Self { key, epoch: 0, number: ABSENT_NOW }
    }
}

/// The data of a part of the keys. Its owner (a lock, an actor, a process) calls it from one thread
/// at a time.
///
/// A shard reads no clock, does not block, and takes no more memory than its [`SharedBudget`]
/// grants.
#[derive(Debug)]
pub struct Shard {
    table: Table,
    tombstones: Tombstones,
    reservation: Reservation,
    epoch: u64,
    /// The last version that was assigned.
    version: u64,
    volatile: usize,
    /// The latest time that was passed in. It never decreases: two threads may read the clock in
    /// one order and acquire the shard in the other.
    now: u64,
    /// The time of the last part, which may be earlier.
    part_time: u64,
    /// The clock hand: the bucket at which the last sweep ended.
    hand: usize,
    /// The server of this shard's process, if this is the process's only shard.
    server: Option<Arc<Server>>,
}

impl Shard {
    /// An empty shard with a new random epoch.
    #[must_use]
    pub fn empty(budget: &SharedBudget) -> Self {
        Self::new(budget.clone(), fastrand::u64(..))
    }

    /// An empty shard with this epoch. Clients recognize by the epoch that an earlier shard was
    /// lost, so it must never have been used before; a random number suffices.
    #[must_use]
    pub fn new(budget: SharedBudget, epoch: u64) -> Self {
        let (table, tombstones, reservation) =
            (Table::default(), Tombstones::default(), Reservation::new(budget));
        let (version, volatile, now, part_time, hand) = (0, 0, 0, 0, 0);
        Self { table, tombstones, reservation, epoch, version, volatile, now, part_time, hand, server: None }
    }

    /// Makes INFO include the figures of the shard's process. For a process that owns only this
    /// shard and serves clients itself.
    #[must_use]
    pub fn of_process(self, server: Arc<Server>) -> Self {
        Self { server: Some(server), ..self }
    }

    /// The shard's epoch: a shard that replaces a lost one has another.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Runs the only part of a plan atomically: first its checks, then its commands.
    ///
    /// # Errors
    ///
    /// If a check fails or there is not enough memory. Then nothing has changed.
    pub fn run(&mut self, part: &Part) -> Answer {
        self.prepare(part)?;
        Ok(self.commit(part))
    }

    /// The first phase of a plan with several parts: verifies the checks and reserves the memory
    /// that the part may add. The caller must keep holding the shard until it calls
    /// [`commit`](Shard::commit) or [`abort`](Shard::abort).
    ///
    /// # Errors
    ///
    /// If a check fails or there is not enough memory. Then the part must not be aborted.
    pub fn prepare(&mut self, part: &Part) -> Result<(), Refusal> {
        self.advance_clock(part.now);
        if !part.checks.iter().all(|check| self.holds(check)) {
            return Err(Refusal::Changed);
        }
        let max_growth = part.ops.iter().map(|command| self.max_growth(command, part)).sum();
        if max_growth == 0 || self.reservation.reserve(max_growth) || self.has_room_for(part) {
            return Ok(());
        }
        self.reservation.release_excess();
        Err(Refusal::Full)
    }

    /// The second phase: runs the commands of a prepared part.
    pub fn commit(&mut self, part: &Part) -> Replies {
        let replies = part.ops.iter().map(|command| self.command(command)).collect();
        self.reservation.release_excess();
        replies
    }

    /// Cancels a prepared part and releases the memory that it has reserved.
    pub fn abort(&mut self) {
        self.reservation.release_excess();
    }

    /// Runs one command that is the whole plan.
    pub fn apply(&mut self, command: &Command, now: Now) -> Reply {
        let part = Part { shard: 0, now, checks: Vec::new(), ops: SmallVec::from_buf([command.clone()]) };
        match self.run(&part) {
            Ok(mut replies) => replies.pop().expect("one command has one reply"),
            Err(_) => Reply::out_of_memory(),
        }
    }

    /// Removes expired entries from the next buckets. Returns whether many had expired, so that
    /// another sweep is worthwhile.
    ///
    /// Clients never see expired entries; the sweep frees the memory of those that no client asks
    /// for.
    pub fn sweep(&mut self, now: Now, buckets: usize) -> bool {
        self.advance_clock(now);
        let (mut removed, buckets) = (0, buckets.min(self.table.buckets()));
        if self.volatile == 0 {
            return false;
        }
        for _ in 0..buckets {
            self.hand = if self.hand + 1 < self.table.buckets() { self.hand + 1 } else { 0 };
            if self.table.get_bucket(self.hand).is_some_and(|entry| !entry.is_live(self.now)) {
                let entry = self.table.remove_bucket(self.hand).expect("the bucket is occupied");
                self.on_removed(&entry);
                removed += 1;
            }
        }
        self.reservation.release_excess();
        removed * 16 > buckets
    }

    /// Whether the values in the answer to a part have at most `room` bytes. True for an answer of
    /// one value, because each single value must be readable. Call it before the part is run or
    /// prepared.
    #[must_use]
    pub fn answer_fits(&self, part: &Part, room: u64) -> bool {
        // GET and MGET may read a value that the part itself sets.
        match &part.ops[..] {
            [Command::Mget(keys)] if keys.len() > 1 => self.copied_bytes(keys, 0) <= room,
            [command @ (Command::Keys(_) | Command::Scan(_))] => self.listed_bytes(command) <= room,
            [] | [_] => true,
            ops => {
                let set = part.longest_set().saturating_add(part.appended());
                // A value may be moved to the key first.
                let moved = |command: &Command| match command {
                    Command::Move(mover) => self.copied_bytes([&mover.from], set),
                    _ => 0,
                };
                let set = ops.iter().map(moved).max().map_or(set, |moved| set.max(moved as usize));
                let copied = |command: &Command| match command {
                    Command::Get(key)
                    | Command::Getdel(key)
                    | Command::Getex(key, _)
                    | Command::Getrange(key, ..)
                    | Command::Set { key, reply: SetReply::Old, .. } => self.copied_bytes([key], set),
                    Command::Mget(keys) => self.copied_bytes(keys, set),
                    command => self.listed_bytes(command),
                };
                ops.iter().map(copied).sum::<u64>() <= room
            }
        }
    }

    fn copied_bytes<'a>(&self, keys: impl IntoIterator<Item = &'a Key>, least: usize) -> u64 {
        let length = |key| self.live(key).map_or(0, |entry| entry.value.len()).max(least);
        keys.into_iter().map(|key: &Key| length(key) as u64).sum()
    }

    /// The shard's figures for INFO.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (keys, volatile) = (self.table.len() as u64, self.volatile as u64);
        let process = self.server.as_deref().map(Server::tally);
        Stats { epoch: self.epoch, keys, volatile, memory: self.reservation.used(), process }
    }

    fn advance_clock(&mut self, Now(now): Now) {
        (self.now, self.part_time) = (self.now.max(now), now);
    }

    fn holds(&self, check: &Check) -> bool {
        if check.number == ABSENT_NOW {
            return self.live(&check.key).is_none();
        }
        check.epoch == self.epoch
            && match (self.live(&check.key), check.number & ABSENT) {
                (Some(entry), 0) => entry.version == check.number,
                (None, ABSENT) => self.last_version(&check.key) <= check.number & !ABSENT,
                _ => false,
            }
    }

    /// The number for a check of the key: its version, or, if it is absent, [`ABSENT`] and the last
    /// version that was assigned. If the key is created later, its version is higher.
    fn watch_number(&self, key: &[u8]) -> u64 {
        self.live(key).map_or(self.version | ABSENT, |entry| entry.version)
    }

    /// The last version of a key that was removed or has expired.
    fn last_version(&self, key: &[u8]) -> u64 {
        let tombstone = || self.tombstones.version(self.table.hash(key));
        self.table.get(key).map_or_else(tombstone, |entry| entry.version)
    }

    /// Computes exactly how much memory is needed, if there is not enough for the upper bound.
    #[cold]
    fn has_room_for(&mut self, part: &Part) -> bool {
        let growth = part.ops.iter().map(|command| self.exact_growth(command, part)).sum();
        self.reservation.reserve(growth)
    }

    /// An upper bound for the memory that a command adds, the keys in its reply included.
    fn max_growth(&self, command: &Command, part: &Part) -> u64 {
        match command {
            Command::Move(mover) if mover.kind.keeps_source() => {
                let now = self.live(&mover.from).map_or(0, |entry| entry.value.len());
                // Earlier commands of the part may set it or lengthen it.
                cost(&mover.to, now.max(part.longest_set()).saturating_add(part.appended()))
            }
            Command::Keys(_) | Command::Scan(_) => self.listed_bytes(command),
            command => command.growth(),
        }
    }

    fn exact_growth(&self, command: &Command, part: &Part) -> u64 {
        let grows = |key: &Key, value: usize| {
            let before = self.table.get(key).map_or(0, Entry::cost);
            cost(key, value).saturating_sub(before)
        };
        match command {
            Command::Set { key, value, .. } => grows(key, value.len()),
            Command::Add(key, _) => grows(key, MAX_DIGITS),
            Command::AddFloat(key, _) => grows(key, MAX_FLOAT_DIGITS),
            Command::Mset(pairs) | Command::Msetnx(pairs) => {
                pairs.iter().map(|(key, value)| grows(key, value.len())).sum()
            }
            // What an entry has already is subtracted, but it may be removed before.
            Command::Setrange(key, offset, value) if part.ops.len() == 1 => {
                grows(key, strings::end(*offset, value))
            }
            command => self.max_growth(command, part),
        }
    }

    fn command(&mut self, command: &Command) -> Reply {
        match command {
            Command::Get(key) => self.get(key),
            Command::Set { key, value, expiry, when, reply } => {
                self.set(key, value, (*expiry, *when), *reply)
            }
            Command::Add(key, by) => self.add(key, *by),
            Command::Strlen(key) => Reply::Int(self.live(key).map_or(0, |entry| entry.value.len() as i64)),
            Command::Type(key) => Reply::simple(self.live(key).map_or("none", |_| "string")),
            Command::Ttl { key, unit } => self.ttl(key, *unit),
            Command::Expire { key, expiry, when } => self.expire(key, *expiry, *when),
            Command::Persist(key) => self.persist(key),
            Command::Mget(keys) => Reply::Array(keys.iter().map(|key| self.get(key)).collect()),
            Command::Mset(pairs) => self.mset(pairs),
            Command::Del(keys) => self.count(keys, |shard, key| shard.delete(key)),
            Command::Exists(keys) => self.count(keys, |shard, key| shard.live(key).is_some()),
            Command::Dbsize => Reply::Int(self.table.len() as i64),
            Command::Flushdb => self.flush(),
            Command::Versions(keys) => self.versions(keys),
            Command::Stats => self.stats().into(),
            Command::AddFloat(key, by) => self.add_float(key, by),
            Command::Getdel(key) => {
                let value = self.get(key);
                self.delete(key);
                value
            }
            Command::Getex(key, expiry) => self.getex(key, *expiry),
            Command::Append(key, value) => self.append(key, value),
            Command::Getrange(key, first, last) => self.getrange(key, *first, *last),
            Command::Setrange(key, offset, value) => self.setrange(key, *offset, value),
            Command::Msetnx(pairs) => self.msetnx(pairs),
            Command::Move(mover) => self.move_entry(mover),
            Command::Entry(key) => self.entry(key),
            Command::Keys(pattern) => self.keys(pattern),
            Command::Scan(scan) => self.scan(scan),
            Command::Randomkey => self.random_key(),
        }
    }

    fn live(&self, key: &[u8]) -> Option<&Entry> {
        self.table.get(key).filter(|entry| entry.is_live(self.now))
    }

    /// Gives the entry a new version and returns it for a change. Removes it if it has expired.
    fn touch(&mut self, key: &[u8]) -> Option<&mut Entry> {
        self.version += 1;
        if self.table.get(key)?.is_live(self.now) {
            let entry = self.table.get_mut(key)?;
            entry.version = self.version;
            return Some(entry);
        }
        self.delete(key);
        None
    }

    fn on_removed(&mut self, entry: &Entry) {
        self.tombstones.record(self.table.hash(&entry.key), entry.version);
        self.volatile -= usize::from(entry.expires != NEVER);
        self.reservation.spend(-(entry.cost() as i64));
    }

    fn get(&self, key: &[u8]) -> Reply {
        self.live(key).map_or(Reply::Nil, |entry| Reply::Bulk(entry.value.clone()))
    }

    fn set(&mut self, key: &Key, value: &Value, how: (Expiry, When), reply: SetReply) -> Reply {
        let (expiry, when) = how;
        let old = if reply == SetReply::Old { Some(self.get(key)) } else { None };
        let is_wanted = match when {
            When::Always => true,
            When::Absent => self.live(key).is_none(),
            When::Present => self.live(key).is_some(),
        };
        if is_wanted {
            let expires = match expiry {
                Expiry::Never | Expiry::At(_) => NEVER,
                Expiry::Keep => self.live(key).map_or(NEVER, |entry| entry.expires),
                Expiry::After(after) => self.now.saturating_add_signed(after),
            };
            self.put(key, value.clone(), expires);
            if expires <= self.now {
                self.delete(key);
            }
        }
        match (reply, old) {
            (_, Some(old)) => old,
            (SetReply::Number, _) => Reply::Int(is_wanted.into()),
            _ if is_wanted => Reply::Ok,
            _ => Reply::Nil,
        }
    }

    fn put(&mut self, key: &Key, value: Value, expires: u64) {
        self.version += 1;
        let (version, cost) = (self.version, cost(key, value.len()) as i64);
        let before = match self.table.slot(key) {
            Slot::Occupied(mut slot) => {
                let entry = slot.get_mut();
                let before = (entry.cost(), entry.expires != NEVER);
                (entry.value, entry.expires, entry.version) = (value, expires, version);
                before
            }
            Slot::Vacant(slot) => {
                slot.insert(Entry { key: key.clone(), value, expires, version });
                (0, false)
            }
        };
        self.volatile = self.volatile + usize::from(expires != NEVER) - usize::from(before.1);
        self.reservation.spend(cost - before.0 as i64);
    }

    fn add(&mut self, key: &Key, by: i64) -> Reply {
        let (before, expires) = match self.live(key) {
            Some(entry) => (number(&entry.value), entry.expires),
            None => (Some(0), NEVER),
        };
        let Some(before) = before else { return NOT_AN_INTEGER };
        let Some(sum) = before.checked_add(by) else {
            return Reply::error("ERR increment or decrement would overflow");
        };
        self.put(key, Value::number(sum), expires);
        Reply::Int(sum)
    }

    fn ttl(&self, key: &Key, unit: TtlUnit) -> Reply {
        let Some(entry) = self.live(key) else { return Reply::Int(-2) };
        if entry.expires == NEVER {
            return Reply::Int(-1);
        }
        let left = (entry.expires - self.now) as i64;
        Reply::Int(match unit {
            TtlUnit::Seconds => (left + 500) / 1000,
            TtlUnit::Milliseconds => left,
            // The date is added for the time of the part.
            TtlUnit::Date(_) | TtlUnit::FineDate(_) => (entry.expires - self.part_time) as i64,
        })
    }

    fn expire(&mut self, key: &Key, expiry: Expiry, when: ExpireWhen) -> Reply {
        let Expiry::After(after) = expiry else { return Reply::Int(0) };
        let expires = self.now.saturating_add_signed(after);
        let Some(entry) = self.live(key) else { return Reply::Int(0) };
        let has_expiry = entry.expires != NEVER;
        let is_right = when.expires.is_none_or(|should| should == has_expiry)
            && when.later.is_none_or(|is_later| {
                if is_later { expires > entry.expires } else { expires < entry.expires }
            });
        if !is_right {
            return Reply::Int(0);
        }
        if after <= 0 {
            return Reply::Int(self.delete(key).into());
        }
        self.expires(key, expires)
    }

    fn getex(&mut self, key: &Key, expiry: Expiry) -> Reply {
        let value = self.get(key);
        match expiry {
            Expiry::Never => drop(self.persist(key)),
            expiry => drop(self.expire(key, expiry, ExpireWhen::default())),
        }
        value
    }

    fn persist(&mut self, key: &Key) -> Reply {
        if self.live(key).is_none_or(|entry| entry.expires == NEVER) {
            return Reply::Int(0);
        }
        self.expires(key, NEVER)
    }

    fn expires(&mut self, key: &Key, expires: u64) -> Reply {
        let Some(entry) = self.touch(key) else { return Reply::Int(0) };
        let before = std::mem::replace(&mut entry.expires, expires);
        self.volatile = self.volatile + usize::from(expires != NEVER) - usize::from(before != NEVER);
        Reply::Int(1)
    }

    fn mset(&mut self, pairs: &[(Key, Value)]) -> Reply {
        for (key, value) in pairs {
            self.put(key, value.clone(), NEVER);
        }
        Reply::Ok
    }

    fn msetnx(&mut self, pairs: &[(Key, Value)]) -> Reply {
        if pairs.iter().any(|(key, _)| self.live(key).is_some()) {
            return Reply::Int(0);
        }
        self.mset(pairs);
        Reply::Int(1)
    }

    fn move_entry(&mut self, Move { from, to, kind }: &Move) -> Reply {
        let Some(entry) = self.live(from) else { return kind.missing() };
        let (value, expires) = (entry.value.clone(), entry.expires);
        if kind.needs_absence() && self.live(to).is_some() {
            return Reply::Int(0);
        }
        if from != to {
            if !kind.keeps_source() {
                self.delete(from);
            }
            self.put(to, value, expires);
        }
        kind.moved()
    }

    /// For a move to another shard: see [`Command::Entry`].
    fn entry(&self, key: &Key) -> Reply {
        let Some(entry) = self.live(key) else { return Reply::Nil };
        let left = if entry.expires == NEVER { -1 } else { (entry.expires - self.now) as i64 };
        let numbers = [left, self.epoch as i64, entry.version as i64].map(Reply::Int);
        Reply::Array(std::iter::once(Reply::Bulk(entry.value.clone())).chain(numbers).collect())
    }

    fn delete(&mut self, key: &[u8]) -> bool {
        let Some(entry) = self.table.remove(key) else { return false };
        self.on_removed(&entry);
        entry.is_live(self.now)
    }

    fn count(&mut self, keys: &Keys, mut is: impl FnMut(&mut Self, &Key) -> bool) -> Reply {
        Reply::Int(keys.iter().filter(|key| is(self, key)).count() as i64)
    }

    fn flush(&mut self) -> Reply {
        for entry in self.table.iter() {
            self.tombstones.record(self.table.hash(&entry.key), entry.version);
        }
        self.table.clear();
        self.volatile = 0;
        self.reservation.spend(-(self.reservation.used() as i64));
        Reply::Ok
    }

    fn versions(&self, keys: &Keys) -> Reply {
        let numbers = keys.iter().map(|key| Reply::Int(self.watch_number(key) as i64));
        Reply::Array(std::iter::once(Reply::Int(self.epoch as i64)).chain(numbers).collect())
    }
}

/// Maximum bytes of a number in decimal digits.
const MAX_DIGITS: usize = 20;
/// Maximum bytes of a decimal number: an `f64` without an exponent, or one with 17 decimals.
const MAX_FLOAT_DIGITS: usize = 400;

impl Part {
    /// The length of the longest value that the part sets.
    #[must_use]
    pub fn longest_set(&self) -> usize {
        self.ops.iter().map(Command::longest_set).max().unwrap_or(0)
    }

    /// An upper bound for the number of values in the part's answer.
    #[must_use]
    pub fn values(&self) -> usize {
        let values = |command: &Command| match command {
            Command::Get(_)
            | Command::Getdel(_)
            | Command::Getex(..)
            | Command::Getrange(..)
            | Command::Entry(_)
            | Command::Set { reply: SetReply::Old, .. } => 1,
            Command::Mget(keys) => keys.len(),
            _ => 0,
        };
        self.ops.iter().map(values).sum()
    }

    /// How many bytes the part may append to a value.
    #[must_use]
    pub fn appended(&self) -> usize {
        let appended = |command: &Command| match command {
            Command::Append(_, value) => value.len(),
            _ => 0,
        };
        self.ops.iter().map(appended).fold(0, usize::saturating_add)
    }
}

impl Command {
    /// The length of the longest value that the command sets.
    fn longest_set(&self) -> usize {
        match self {
            Self::Set { value, .. } | Self::Append(_, value) => value.len(),
            Self::Setrange(_, offset, value) => strings::end(*offset, value).min(MAX_BULK),
            Self::Add(..) => MAX_DIGITS,
            Self::AddFloat(..) => MAX_FLOAT_DIGITS,
            Self::Mset(pairs) | Self::Msetnx(pairs) => {
                pairs.iter().map(|(_, value)| value.len()).max().unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// An upper bound for the memory that the command adds.
    fn growth(&self) -> u64 {
        match self {
            Self::Set { key, value, .. } | Self::Append(key, value) => cost(key, value.len()),
            Self::Setrange(_, _, value) if value.is_empty() => 0,
            Self::Setrange(key, offset, value) => match strings::end(*offset, value) {
                // It is refused.
                end if end > MAX_BULK => 0,
                end => cost(key, end),
            },
            Self::Add(key, _) => cost(key, MAX_DIGITS),
            Self::AddFloat(key, _) => cost(key, MAX_FLOAT_DIGITS),
            Self::Mset(pairs) | Self::Msetnx(pairs) => {
                pairs.iter().map(|(key, value)| cost(key, value.len())).sum()
            }
            // The source is removed first, with its value.
            Self::Move(mover) => cost(&mover.to, 0),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests;
