//! A node: the worker's side, which owns shards and runs what is asked of them.
//!
//! It has one thread and never waits. A plan that finds a shard held lines up at it, and others go on. Shards are had in
//! ascending order, here as between nodes, so that no two plans wait for each other; and first come, first served, so that
//! what one connection asks is run in its order.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use cc_workloads::{
    Error, Result,
    kv::{self, Answer, Clock, Part, Parts, Refusal, SLOTS, SWEEP, Shard, SharedBudget},
};
use prost::bytes::Bytes;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::cluster::{
    encode,
    keeper::{self, Answers, Keeper, Waker},
};

/// What a node is told in the beginning.
#[derive(Serialize, Deserialize)]
pub(super) struct Brief {
    /// Its shards: the first of them, and how many.
    pub(super) first: usize,
    pub(super) shards: usize,
    /// What they may take, in bytes.
    pub(super) max_memory: Option<u64>,
}

/// What a node is asked: parts of one plan, which are all those that it has of it.
#[derive(Serialize, Deserialize)]
pub(super) enum Ask<P> {
    /// The plan has no others.
    Run(P),
    /// It has: hold the shards until the end, and say whether the parts can be run.
    Prepare(P),
    /// What was asked under this number is to be run.
    Commit(u64),
    /// It is not, and it does not matter how far it had come.
    Abort(u64),
}

/// Shards' answers. None, if all are prepared, or if what was done cannot be told, since it is too large; if one refuses,
/// that one's.
pub(super) type Told = SmallVec<[(usize, Answer); 1]>;

/// Begins with a brief in a worker. The shards are new, whatever was at their place before.
pub(super) fn keep(brief: &[u8], _: Waker) -> Result<Box<dyn Keeper>> {
    Ok(Box::new(node(brief)?))
}

fn node(brief: &[u8]) -> Result<Node> {
    let brief: Brief = postcard::from_bytes(brief).map_err(|error| Error::worker("brief", error))?;
    let Brief { first, shards, max_memory } = brief;
    // Checked before anything is made of them: a coordinator must not be able to have this process
    // abort.
    if shards == 0 || first.checked_add(shards).is_none_or(|end| end > SLOTS) {
        return Err(Error::worker(
            "brief",
            format!("{shards} shards from {first} on; there are {SLOTS} slots"),
        ));
    }
    let budget = SharedBudget::new(max_memory);
    // The answer to a whole plan has no more than what may be kept.
    let room = max_memory.map_or(u64::MAX, |bytes| bytes / shards as u64);
    let place = |_| Place { shard: Shard::empty(&budget), holder: None, queue: VecDeque::new() };
    let places = Places { room, first, places: (0..shards).map(place).collect() };
    let (plans, freed, clock) = (HashMap::new(), Vec::new(), Clock::default());
    Ok(Node { places, plans, freed, clock, swept: Instant::now() })
}

struct Node {
    places: Places,
    /// Those that wait for a shard, or for their end.
    plans: HashMap<u64, Plan>,
    /// Shards that were let go, and not given to the next yet.
    freed: Vec<usize>,
    /// The node's own: machines have no clock in common, so the time that a part names is not used
    /// here.
    clock: Clock,
    swept: Instant,
}

/// A shard, who holds it, and who is next.
struct Place {
    shard: Shard,
    holder: Option<u64>,
    /// Some of them may not be there any more.
    queue: VecDeque<u64>,
}

/// What a node has of a plan.
struct Plan {
    parts: Parts,
    /// So many of its shards are held for it.
    held: usize,
    is_whole: bool,
    is_prepared: bool,
}

// ANCHOR: kv-work
impl Keeper for Node {
    fn take(&mut self, number: u64, question: &[u8], answers: &mut Answers) -> Result<(), String> {
        let told = match postcard::from_bytes(question).map_err(|error| error.to_string())? {
            Ask::Run(parts) => self.begin(number, parts, true)?,
            Ask::Prepare(parts) => self.begin(number, parts, false)?,
            Ask::Commit(which) => Some(self.commit(which)?),
            Ask::Abort(which) => Some(self.abort(which)),
        };
        answers.extend(told.map(|told| (number, encoded(&told))));
        while let Some(shard) = self.freed.pop() {
            self.next(shard, answers);
        }
        Ok(())
    }

    fn tend(&mut self, _: &mut Answers) -> Option<Duration> {
        if self.swept.elapsed() >= SWEEP {
            self.swept = Instant::now();
            let (now, shards) = (self.clock.now(), self.places.places.len());
            // A shard that is held has memory set aside, which a sweep would give back.
            let free = self.places.places.iter_mut().filter(|place| place.holder.is_none());
            free.for_each(|place| kv::sweep(shards, |places| place.shard.sweep(now, places)));
        }
        let has_volatile = self.places.places.iter().any(|place| place.shard.stats().volatile > 0);
        has_volatile.then(|| SWEEP.saturating_sub(self.swept.elapsed()))
    }
}

impl Node {
    /// Begins with a plan. There is nothing to be told yet if it has to wait.
    fn begin(&mut self, number: u64, mut parts: Parts, is_whole: bool) -> Result<Option<Told>, String> {
        let is_ours = |part: &Part| self.places.has(part.shard);
        if !parts.iter().all(is_ours) || !parts.is_sorted_by(|one, other| one.shard < other.shard) {
            return Err("parts that are not of this node, or not in order".to_owned());
        }
        let now = self.clock.now();
        parts.iter_mut().for_each(|part| part.now = now);
        if let ([part], true) = (&parts[..], is_whole)
            && self.places.of(part).is_free()
        {
            return Ok(Some([(part.shard, self.places.run(part))].into()));
        }
        self.plans.insert(number, Plan { parts, held: 0, is_whole, is_prepared: false });
        Ok(self.advance(number))
    }

    /// Gets a plan the shards that it needs, until it has to line up; or has it prepared, and run if it is whole.
    fn advance(&mut self, number: u64) -> Option<Told> {
        let plan = self.plans.get_mut(&number).expect("whoever calls has looked");
        while let Some(part) = plan.parts.get(plan.held) {
            let place = self.places.of(part);
            if place.holder != Some(number) && !place.is_free() {
                place.queue.push_back(number);
                return None;
            }
            place.holder = Some(number);
            plan.held += 1;
        }
        match self.places.prepare(&plan.parts) {
            Ok(()) if !plan.is_whole => {
                plan.is_prepared = true;
                Some(Told::new())
            }
            Ok(()) => {
                let told = self.places.commit(&plan.parts);
                self.release(number);
                Some(told)
            }
            Err(refused) => {
                self.release(number);
                Some(refused)
            }
        }
    }

    fn commit(&mut self, number: u64) -> Result<Told, String> {
        let plan = self.plans.get(&number).filter(|plan| plan.is_prepared);
        let told = self.places.commit(&plan.ok_or("a commit of nothing")?.parts);
        self.release(number);
        Ok(told)
    }

    /// There is nothing to be aborted if it was refused.
    fn abort(&mut self, number: u64) -> Told {
        if let Some(plan) = self.plans.get(&number).filter(|plan| plan.is_prepared) {
            self.places.abort(&plan.parts);
        }
        self.release(number);
        Told::new()
    }

    /// Lets go what is held for a plan, and forgets it.
    fn release(&mut self, number: u64) {
        let Some(plan) = self.plans.remove(&number) else { return };
        for part in &plan.parts[..plan.held] {
            self.places.of(part).holder = None;
            self.freed.push(part.shard);
        }
    }

    /// Gives a shard to those who line up at it, until one keeps it.
    fn next(&mut self, shard: usize, answers: &mut Answers) {
        let place = self.places.at(shard);
        if place.holder.is_some() {
            return;
        }
        let Some(number) = place.queue.pop_front() else { return };
        self.freed.push(shard);
        if self.plans.contains_key(&number) {
            self.places.at(shard).holder = Some(number);
            answers.extend(self.advance(number).map(|told| (number, encoded(&told))));
        }
    }
}
// ANCHOR_END: kv-work

fn encoded(told: &Told) -> Bytes {
    let told = encode(told);
    if keeper::is_too_large(&told) { encode(&Told::new()).into() } else { told.into() }
}

/// All shards of a node.
struct Places {
    /// Most bytes of values in the answer to a part.
    room: u64,
    first: usize,
    places: Vec<Place>,
}

impl Places {
    fn has(&self, shard: usize) -> bool {
        (self.first..self.first + self.places.len()).contains(&shard)
    }

    fn at(&mut self, shard: usize) -> &mut Place {
        &mut self.places[shard - self.first]
    }

    fn of(&mut self, part: &Part) -> &mut Place {
        self.at(part.shard)
    }

    fn run(&mut self, part: &Part) -> Answer {
        self.fits(part).and_then(|()| self.of(part).shard.run(part))
    }

    /// Whether there is room for the answer on its way.
    fn fits(&mut self, part: &Part) -> Result<(), Refusal> {
        let room = self.room;
        if self.of(part).shard.answer_fits(part, room) { Ok(()) } else { Err(Refusal::Large) }
    }

    /// Prepares all, or none and returns which was refused.
    fn prepare(&mut self, parts: &[Part]) -> Result<(), Told> {
        for (at, part) in parts.iter().enumerate() {
            if let Err(why) = self.fits(part).and_then(|()| self.of(part).shard.prepare(part)) {
                self.abort(&parts[..at]);
                return Err([(part.shard, Err(why))].into());
            }
        }
        Ok(())
    }

    fn commit(&mut self, parts: &[Part]) -> Told {
        parts.iter().map(|part| (part.shard, Ok(self.of(part).shard.commit(part)))).collect()
    }

    fn abort(&mut self, parts: &[Part]) {
        parts.iter().for_each(|part| self.of(part).shard.abort());
    }
}

impl Place {
    /// Whether whoever comes need not line up.
    fn is_free(&self) -> bool {
        self.holder.is_none() && self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brief(first: usize, shards: usize) -> Vec<u8> {
        encode(&Brief { first, shards, max_memory: None })
    }

    #[test]
    fn a_brief_with_impossible_shards_is_refused() {
        for (first, shards) in
            [(0, 0), (0, 1 << 40), (SLOTS, 1), (1, SLOTS), (usize::MAX, 1), (1, usize::MAX)]
        {
            assert!(node(&brief(first, shards)).is_err(), "{shards} shards from {first} on");
        }
    }

    /// Each byte of a question is replaced by a length that no memory has room for.
    #[test]
    fn a_question_with_impossible_lengths_is_an_error() {
        let ops = SmallVec::from_buf([kv::Command::Mget([(&b"key"[..]).into()].into())]);
        let part = Part { shard: 0, now: kv::Now(1), checks: Vec::new(), ops };
        let question = encode(&Ask::Run(Parts::from_buf([part])));
        for at in 0..question.len() {
            let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
            let bytes = [&question[..at], &huge, &question[at + 1..]].concat();
            // Some of them are numbers of shards or commands, and refused as such; none takes the
            // process along.
            let _ = node(&brief(0, 8)).unwrap().take(1, &bytes, &mut Answers::new());
        }
    }
}
