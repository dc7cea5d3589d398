//! What commands do to data: the semantics, and nothing of who calls it.

mod stats;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use hashbrown::hash_table::Entry as Place;

pub use self::stats::Stats;
use super::{
    Command, Key, Keys, Now, Part, Reply, Server, SharedBudget, Value, When,
    budget::Purse,
    command::NO_NUMBER,
    gone::Gone,
    resp::number,
    table::{Entry, NEVER, Table, cost},
};

/// Replies in the order of what they answer; mostly one.
pub type Replies = SmallVec<[Reply; 1]>;

/// What a part is answered: its commands' replies, or why it was not run.
pub type Answer = Result<Replies, Refusal>;

/// Why nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// A watched key has changed, or its shard was lost.
    Changed,
    /// There is not enough memory.
    Full,
    /// The answer would be larger than what there is room for on its way.
    Large,
    /// The shard is down.
    Down,
    /// Its owner does not answer. Nothing was done.
    Silent,
}

/// In a check's number: the key was not there.
const ABSENT: u64 = 1 << 63;

/// A key that must not have changed: it still has the version that it had when it was watched, or was not there, and has
/// not been since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Which one.
    pub key: Key,
    /// The shard's epoch then. A shard that was lost comes back with another one, and every check fails.
    pub epoch: u64,
    /// The key's number then.
    pub number: u64,
}

/// Some of the keys, and what belongs to them. It belongs to whoever may change it: a lock, an actor, a process.
///
/// It never asks the clock, never waits, and takes no more memory than its [`SharedBudget`] grants.
#[derive(Debug)]
pub struct Shard {
    table: Table,
    gone: Gone,
    purse: Purse,
    epoch: u64,
    /// The last version given.
    version: u64,
    volatile: usize,
    /// The latest time that it was told. Two threads may read the clock in one order and lock the
    /// shard in the other; for the shard, time does not go back.
    now: u64,
    /// Where the next sweep begins.
    hand: usize,
    /// The process whose only shard this is.
    server: Option<Arc<Server>>,
}

impl Shard {
    /// An empty one, of an epoch that was not there yet.
    #[must_use]
    pub fn empty(budget: &SharedBudget) -> Self {
        Self::new(budget.clone(), fastrand::u64(..))
    }

    /// An empty one of this epoch. The epoch tells it from those that were lost before it, so it
    /// must be one that was not there yet: a random number will do.
    #[must_use]
    pub fn new(budget: SharedBudget, epoch: u64) -> Self {
        let (table, gone, purse) = (Table::default(), Gone::default(), Purse::new(budget));
        Self { table, gone, purse, epoch, version: 0, volatile: 0, now: 0, hand: 0, server: None }
    }

    /// The shard of a process that has no other and serves clients itself: INFO is told what that
    /// process has done.
    #[must_use]
    pub fn of_process(self, server: Arc<Server>) -> Self {
        Self { server: Some(server), ..self }
    }

    /// Which of the shards that were at this place it is.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Runs a part as a whole, if the plan has no other: its checks, and then its commands.
    ///
    /// # Errors
    ///
    /// If a check fails or there is not enough memory. Nothing has changed.
    pub fn run(&mut self, part: &Part) -> Answer {
        self.prepare(part)?;
        Ok(self.commit(part))
    }

    /// Whether a part can be run: its checks hold, and there is memory for what it adds, which is then set aside.
    /// Whoever asks holds the shard until he calls [`commit`](Shard::commit) or [`abort`](Shard::abort).
    ///
    /// # Errors
    ///
    /// If a check fails or there is not enough memory. There is nothing to be aborted then.
    pub fn prepare(&mut self, part: &Part) -> Result<(), Refusal> {
        self.tell(part.now);
        if !part.checks.iter().all(|check| self.holds(check)) {
            return Err(Refusal::Changed);
        }
        let most = part.ops.iter().map(Command::growth).sum();
        if most == 0 || self.purse.promise(most) || self.has_room_for(&part.ops) {
            return Ok(());
        }
        self.purse.settle();
        Err(Refusal::Full)
    }

    /// Runs the commands of a part for which the shard is held.
    pub fn commit(&mut self, part: &Part) -> Replies {
        let replies = part.ops.iter().map(|command| self.command(command)).collect();
        self.purse.settle();
        replies
    }

    /// Gives up a part for which the shard is held.
    pub fn abort(&mut self) {
        self.purse.settle();
    }

    /// One command by itself.
    pub fn apply(&mut self, command: &Command, now: Now) -> Reply {
        let part = Part { shard: 0, now, checks: Vec::new(), ops: SmallVec::from_buf([command.clone()]) };
        match self.run(&part) {
            Ok(mut replies) => replies.pop().expect("one command has one reply"),
            Err(_) => Reply::out_of_memory(),
        }
    }

    /// Removes expired entries at the next so many places, and says whether to go on soon, since many were.
    /// Entries expire without it; it gives back the memory of those that nobody asks for.
    pub fn sweep(&mut self, now: Now, places: usize) -> bool {
        self.tell(now);
        let (mut removed, places) = (0, places.min(self.table.places()));
        if self.volatile == 0 {
            return false;
        }
        for _ in 0..places {
            self.hand = if self.hand + 1 < self.table.places() { self.hand + 1 } else { 0 };
            if self.table.at(self.hand).is_some_and(|entry| !entry.is_live(self.now)) {
                let entry = self.table.remove_at(self.hand).expect("it is there");
                self.forget(&entry);
                removed += 1;
            }
        }
        self.purse.settle();
        removed * 16 > places
    }

    /// Whether the answer to a part, if it is a copy, has at most this many bytes of values, or is
    /// one value: no value is so large that it cannot be told. To be asked before the part is run
    /// or prepared.
    #[must_use]
    pub fn answer_fits(&self, part: &Part, room: u64) -> bool {
        // A value that the part itself sets may be in place of the one that is there.
        match &part.ops[..] {
            [Command::Mget(keys)] if keys.len() > 1 => self.copied(keys, 0) <= room,
            [] | [_] => true,
            ops => {
                let set = part.longest_set();
                let copied = |command: &Command| match command {
                    Command::Get(key) => self.copied([key], set),
                    Command::Mget(keys) => self.copied(keys, set),
                    _ => 0,
                };
                ops.iter().map(copied).sum::<u64>() <= room
            }
        }
    }

    fn copied<'a>(&self, keys: impl IntoIterator<Item = &'a Key>, least: usize) -> u64 {
        let length = |key| self.live(key).map_or(0, |entry| entry.value.len()).max(least);
        keys.into_iter().map(|key: &Key| length(key) as u64).sum()
    }

    /// What INFO tells of it.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (keys, volatile) = (self.table.len() as u64, self.volatile as u64);
        let process = self.server.as_deref().map(Server::tally);
        Stats { epoch: self.epoch, keys, volatile, memory: self.purse.used(), process }
    }

    fn tell(&mut self, Now(now): Now) {
        self.now = self.now.max(now);
    }

    fn holds(&self, check: &Check) -> bool {
        check.epoch == self.epoch
            && match (self.live(&check.key), check.number & ABSENT) {
                (Some(entry), 0) => entry.version == check.number,
                (None, ABSENT) => self.last_version(&check.key) <= check.number & !ABSENT,
                _ => false,
            }
    }

    /// What a check of the key has to say: its version; or, if it is not there, the last version given, since it has a
    /// higher one when it has been there meanwhile.
    fn number(&self, key: &[u8]) -> u64 {
        self.live(key).map_or(self.version | ABSENT, |entry| entry.version)
    }

    /// The last version of a key that has gone or expired.
    fn last_version(&self, key: &[u8]) -> u64 {
        let gone = || self.gone.version(self.table.hash(key));
        self.table.get(key).map_or_else(gone, |entry| entry.version)
    }

    /// Looks exactly how much more is needed, when there is not enough for anything.
    #[cold]
    fn has_room_for(&mut self, ops: &[Command]) -> bool {
        let growth = ops.iter().map(|command| self.exact_growth(command)).sum();
        self.purse.promise(growth)
    }

    fn exact_growth(&self, command: &Command) -> u64 {
        let grows = |key: &Key, value: usize| {
            let before = self.table.get(key).map_or(0, Entry::cost);
            cost(key, value).saturating_sub(before)
        };
        match command {
            Command::Set { key, value, .. } => grows(key, value.len()),
            Command::Add(key, _) => grows(key, DIGITS),
            Command::Mset(pairs) => pairs.iter().map(|(key, value)| grows(key, value.len())).sum(),
            _ => 0,
        }
    }

    fn command(&mut self, command: &Command) -> Reply {
        match command {
            Command::Get(key) => self.get(key),
            Command::Set { key, value, after, when } => self.set(key, value, *after, *when),
            Command::Add(key, by) => self.add(key, *by),
            Command::Strlen(key) => Reply::Int(self.live(key).map_or(0, |entry| entry.value.len() as i64)),
            Command::Type(key) => Reply::simple(self.live(key).map_or("none", |_| "string")),
            Command::Ttl { key, is_fine } => self.ttl(key, *is_fine),
            Command::Expire(key, after) => self.expire(key, *after),
            Command::Persist(key) => self.persist(key),
            Command::Mget(keys) => Reply::Array(keys.iter().map(|key| self.get(key)).collect()),
            Command::Mset(pairs) => self.mset(pairs),
            Command::Del(keys) => self.count(keys, |shard, key| shard.delete(key)),
            Command::Exists(keys) => self.count(keys, |shard, key| shard.live(key).is_some()),
            Command::Dbsize => Reply::Int(self.table.len() as i64),
            Command::Flushdb => self.flush(),
            Command::Versions(keys) => self.versions(keys),
            Command::Stats => self.stats().into(),
        }
    }

    fn live(&self, key: &[u8]) -> Option<&Entry> {
        self.table.get(key).filter(|entry| entry.is_live(self.now))
    }

    /// The entry, to be changed: it gets a new version. One that has expired is gone for good.
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

    fn forget(&mut self, entry: &Entry) {
        self.gone.leaves(self.table.hash(&entry.key), entry.version);
        self.volatile -= usize::from(entry.expires != NEVER);
        self.purse.spend(-(entry.cost() as i64));
    }

    fn get(&self, key: &[u8]) -> Reply {
        self.live(key).map_or(Reply::Nil, |entry| Reply::Bulk(entry.value.clone()))
    }

    fn set(&mut self, key: &Key, value: &Value, after: Option<i64>, when: When) -> Reply {
        let is_wanted = match when {
            When::Always => true,
            When::Absent => self.live(key).is_none(),
            When::Present => self.live(key).is_some(),
        };
        if !is_wanted {
            return Reply::Nil;
        }
        let expires = after.map_or(NEVER, |after| self.now.saturating_add_signed(after));
        self.put(key, value.clone(), expires);
        Reply::Ok
    }

    fn put(&mut self, key: &Key, value: Value, expires: u64) {
        self.version += 1;
        let (version, cost) = (self.version, cost(key, value.len()) as i64);
        let before = match self.table.place(key) {
            Place::Occupied(mut place) => {
                let entry = place.get_mut();
                let before = (entry.cost(), entry.expires != NEVER);
                (entry.value, entry.expires, entry.version) = (value, expires, version);
                before
            }
            Place::Vacant(place) => {
                place.insert(Entry { key: key.clone(), value, expires, version });
                (0, false)
            }
        };
        self.volatile = self.volatile + usize::from(expires != NEVER) - usize::from(before.1);
        self.purse.spend(cost - before.0 as i64);
    }

    fn add(&mut self, key: &Key, by: i64) -> Reply {
        let (before, expires) = match self.live(key) {
            Some(entry) => (number(&entry.value), entry.expires),
            None => (Some(0), NEVER),
        };
        let Some(before) = before else { return NO_NUMBER };
        let Some(sum) = before.checked_add(by) else {
            return Reply::error("ERR increment or decrement would overflow");
        };
        self.put(key, Value::number(sum), expires);
        Reply::Int(sum)
    }

    fn ttl(&self, key: &Key, is_fine: bool) -> Reply {
        Reply::Int(match self.live(key) {
            None => -2,
            Some(Entry { expires: NEVER, .. }) => -1,
            Some(entry) if is_fine => (entry.expires - self.now) as i64,
            Some(entry) => ((entry.expires - self.now + 500) / 1000) as i64,
        })
    }

    fn expire(&mut self, key: &Key, after: i64) -> Reply {
        let expires = self.now.saturating_add_signed(after);
        if after <= 0 {
            return Reply::Int(self.delete(key).into());
        }
        self.expires(key, expires)
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

    fn delete(&mut self, key: &[u8]) -> bool {
        let Some(entry) = self.table.remove(key) else { return false };
        self.forget(&entry);
        entry.is_live(self.now)
    }

    fn count(&mut self, keys: &Keys, mut is: impl FnMut(&mut Self, &Key) -> bool) -> Reply {
        Reply::Int(keys.iter().filter(|key| is(self, key)).count() as i64)
    }

    fn flush(&mut self) -> Reply {
        for entry in self.table.iter() {
            self.gone.leaves(self.table.hash(&entry.key), entry.version);
        }
        self.table.clear();
        self.volatile = 0;
        self.purse.spend(-(self.purse.used() as i64));
        Reply::Ok
    }

    fn versions(&self, keys: &Keys) -> Reply {
        let numbers = keys.iter().map(|key| Reply::Int(self.number(key) as i64));
        Reply::Array(std::iter::once(Reply::Int(self.epoch as i64)).chain(numbers).collect())
    }
}

/// A number has no more.
const DIGITS: usize = 20;

impl Part {
    /// The length of the longest value that it sets.
    #[must_use]
    pub fn longest_set(&self) -> usize {
        self.ops.iter().map(Command::longest_set).max().unwrap_or(0)
    }

    /// How many values its answer has, at most.
    #[must_use]
    pub fn values(&self) -> usize {
        let values = |command: &Command| match command {
            Command::Get(_) => 1,
            Command::Mget(keys) => keys.len(),
            _ => 0,
        };
        self.ops.iter().map(values).sum()
    }
}

impl Command {
    /// The length of the longest value that it sets.
    fn longest_set(&self) -> usize {
        match self {
            Self::Set { value, .. } => value.len(),
            Self::Add(..) => DIGITS,
            Self::Mset(pairs) => pairs.iter().map(|(_, value)| value.len()).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// So much more memory it may take, at most.
    fn growth(&self) -> u64 {
        match self {
            Self::Set { key, value, .. } => cost(key, value.len()),
            Self::Add(key, _) => cost(key, DIGITS),
            Self::Mset(pairs) => pairs.iter().map(|(key, value)| cost(key, value.len())).sum(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests;
