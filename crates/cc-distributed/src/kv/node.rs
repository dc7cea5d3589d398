//! A node: the worker's side, which owns shards and executes requests on them.
//!
//! It has one thread and never waits. A plan that needs a shard that is held queues at that shard,
//! and other plans go on. Every plan acquires its shards in ascending order, on one node as on
//! several, so no two plans can wait for each other: there is no deadlock. Each queue is first in,
//! first out, so the requests of one connection are executed in their order.

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
    stateful::{self, Responses, StatefulService, Waker},
};

/// What a node is told once, when its session begins.
#[derive(Serialize, Deserialize)]
pub(super) struct NodeSetup {
    /// The first of its shards.
    pub(super) first: usize,
    /// How many shards it has.
    pub(super) shards: usize,
    /// Maximum bytes of memory that they may use.
    pub(super) max_memory: Option<u64>,
}

/// A request to a node. The parts are all those that the node has of one plan.
#[derive(Serialize, Deserialize)]
pub(super) enum Request<P> {
    /// Executes a plan that has no other parts.
    Run(P),
    /// Prepares a plan that has parts on other nodes: holds the shards until the end, and answers
    /// whether the parts can be executed.
    Prepare(P),
    /// Executes the plan that was prepared by the request of this number.
    Commit(u64),
    /// Gives up the plan of the request of this number, at any stage of its preparation.
    Abort(u64),
}

/// Answers by shard. It is empty if all parts are prepared, or if the answer is too large to send.
/// After a refusal it has only the refusing shard.
pub(super) type Response = SmallVec<[(usize, Answer); 1]>;

/// Begins a session in a worker, with empty shards.
pub(super) fn open(_: Waker, setup: &[u8]) -> Result<Box<dyn StatefulService>> {
    Ok(Box::new(node(setup)?))
}

fn node(setup: &[u8]) -> Result<Node> {
    let setup: NodeSetup = postcard::from_bytes(setup).map_err(|error| Error::worker("node setup", error))?;
    let NodeSetup { first, shards, max_memory } = setup;
    // Checked before anything is allocated: no coordinator may make this process abort.
    if shards == 0 || first.checked_add(shards).is_none_or(|end| end > SLOTS) {
        return Err(Error::worker(
            "node setup",
            format!("{shards} shards from {first} on; there are {SLOTS} slots"),
        ));
    }
    let budget = SharedBudget::new(max_memory);
    // The answer to a whole plan is no larger than what may be stored.
    let max_answer = max_memory.map_or(u64::MAX, |bytes| bytes / shards as u64);
    let slot = |_| ShardSlot { shard: Shard::empty(&budget), holder: None, queue: VecDeque::new() };
    Ok(Node {
        shards: Shards { max_answer, first, slots: (0..shards).map(slot).collect() },
        plans: HashMap::new(),
        freed: Vec::new(),
        clock: Clock::default(),
        swept: Instant::now(),
    })
}

struct Node {
    shards: Shards,
    /// Plans that wait for a shard, or are prepared and wait for their end, by the number of their
    /// request.
    plans: HashMap<u64, PreparingPlan>,
    /// Shards that were released, and not offered to the next plan in their queue yet.
    freed: Vec<usize>,
    /// The node's own clock. Machines have no common clock, so the time in a part is not used here.
    clock: Clock,
    swept: Instant,
}

/// A shard, the plan that holds it, and the plans that wait for it.
struct ShardSlot {
    shard: Shard,
    holder: Option<u64>,
    /// Numbers of plans. Some may have been aborted.
    queue: VecDeque<u64>,
}

/// A node's parts of a plan that has not ended.
struct PreparingPlan {
    parts: Parts,
    /// How many of its shards it holds: those of the first parts.
    held: usize,
    /// Whether it has no parts on other nodes, so that it is committed as soon as it is prepared.
    is_whole: bool,
    is_prepared: bool,
}

// ANCHOR: kv-work
impl StatefulService for Node {
    fn handle(&mut self, number: u64, request: &[u8], responses: &mut Responses) -> Result<(), String> {
        let response = match postcard::from_bytes(request).map_err(|error| error.to_string())? {
            Request::Run(parts) => self.begin(number, parts, true)?,
            Request::Prepare(parts) => self.begin(number, parts, false)?,
            Request::Commit(prepared) => Some(self.commit(prepared)?),
            Request::Abort(prepared) => Some(self.abort(prepared)),
        };
        responses.extend(response.map(|response| (number, encoded(&response))));
        while let Some(shard) = self.freed.pop() {
            self.offer(shard, responses);
        }
        Ok(())
    }

    fn poll(&mut self, _: &mut Responses) -> Option<Duration> {
        if self.swept.elapsed() >= SWEEP {
            self.swept = Instant::now();
            let now = self.clock.now();
            let count = self.shards.slots.len();
            for slot in &mut self.shards.slots {
                // A held shard has memory reserved for its plan, which a sweep would release.
                if slot.holder.is_none() {
                    kv::sweep(count, |places| slot.shard.sweep(now, places));
                }
            }
        }
        let has_volatile = self.shards.slots.iter().any(|slot| slot.shard.stats().volatile > 0);
        has_volatile.then(|| SWEEP.saturating_sub(self.swept.elapsed()))
    }
}

impl Node {
    /// Begins a plan. None if it has to wait for a shard.
    fn begin(&mut self, number: u64, mut parts: Parts, is_whole: bool) -> Result<Option<Response>, String> {
        let is_own = |part: &Part| self.shards.has(part.shard);
        if !parts.iter().all(is_own) || !parts.is_sorted_by(|one, other| one.shard < other.shard) {
            return Err("the request has shards of another node, or not in ascending order".to_owned());
        }
        let now = self.clock.now();
        for part in &mut parts {
            part.now = now;
        }
        // The usual case, without an entry in `plans`.
        if let ([part], true) = (&parts[..], is_whole)
            && self.shards.slot_of(part).is_free()
        {
            return Ok(Some([(part.shard, self.shards.run(part))].into()));
        }
        self.plans.insert(number, PreparingPlan { parts, held: 0, is_whole, is_prepared: false });
        Ok(self.advance(number))
    }

    /// Acquires the shards of a plan until one is held by another plan. With all shards, prepares
    /// the plan, and commits it if it is whole.
    fn advance(&mut self, number: u64) -> Option<Response> {
        let plan = self.plans.get_mut(&number).expect("the callers have checked it");
        while let Some(part) = plan.parts.get(plan.held) {
            let slot = self.shards.slot_of(part);
            if slot.holder != Some(number) && !slot.is_free() {
                slot.queue.push_back(number);
                return None;
            }
            slot.holder = Some(number);
            plan.held += 1;
        }
        match self.shards.prepare(&plan.parts) {
            Ok(()) if !plan.is_whole => {
                plan.is_prepared = true;
                Some(Response::new())
            }
            Ok(()) => {
                let response = self.shards.commit(&plan.parts);
                self.release(number);
                Some(response)
            }
            Err(refusal) => {
                self.release(number);
                Some(refusal)
            }
        }
    }

    fn commit(&mut self, number: u64) -> Result<Response, String> {
        let plan = self.plans.get(&number).filter(|plan| plan.is_prepared);
        let plan = plan.ok_or_else(|| format!("a commit of request {number}, which is not prepared"))?;
        let response = self.shards.commit(&plan.parts);
        self.release(number);
        Ok(response)
    }

    /// Gives up a plan. If it was refused, there is nothing left to abort.
    fn abort(&mut self, number: u64) -> Response {
        if let Some(plan) = self.plans.get(&number).filter(|plan| plan.is_prepared) {
            self.shards.abort(&plan.parts);
        }
        self.release(number);
        Response::new()
    }

    /// Releases the shards that a plan holds, and forgets the plan.
    fn release(&mut self, number: u64) {
        let Some(plan) = self.plans.remove(&number) else { return };
        for part in &plan.parts[..plan.held] {
            self.shards.slot_of(part).holder = None;
            self.freed.push(part.shard);
        }
    }

    /// Offers a released shard to the first plan in its queue. The shard stays in `freed`, so it is
    /// offered again until a plan holds it or the queue is empty.
    fn offer(&mut self, shard: usize, responses: &mut Responses) {
        let slot = self.shards.slot(shard);
        if slot.holder.is_some() {
            return;
        }
        let Some(number) = slot.queue.pop_front() else { return };
        self.freed.push(shard);
        if self.plans.contains_key(&number) {
            self.shards.slot(shard).holder = Some(number);
            responses.extend(self.advance(number).map(|response| (number, encoded(&response))));
        }
    }
}
// ANCHOR_END: kv-work

fn encoded(response: &Response) -> Bytes {
    let response = encode(response);
    if stateful::is_too_large(&response) { encode(&Response::new()).into() } else { response.into() }
}

/// All shards of a node.
struct Shards {
    /// Maximum bytes of values in the answer to a part.
    max_answer: u64,
    /// The number of the first shard.
    first: usize,
    slots: Vec<ShardSlot>,
}

impl Shards {
    fn has(&self, shard: usize) -> bool {
        (self.first..self.first + self.slots.len()).contains(&shard)
    }

    fn slot(&mut self, shard: usize) -> &mut ShardSlot {
        &mut self.slots[shard - self.first]
    }

    fn slot_of(&mut self, part: &Part) -> &mut ShardSlot {
        self.slot(part.shard)
    }

    fn run(&mut self, part: &Part) -> Answer {
        self.check_size(part).and_then(|()| self.slot_of(part).shard.run(part))
    }

    /// Refuses a part if its answer would be too large.
    fn check_size(&mut self, part: &Part) -> Result<(), Refusal> {
        let max_answer = self.max_answer;
        if self.slot_of(part).shard.answer_fits(part, max_answer) { Ok(()) } else { Err(Refusal::Large) }
    }

    /// Prepares all parts. If one is refused, prepares none, and returns the refusal.
    fn prepare(&mut self, parts: &[Part]) -> Result<(), Response> {
        for (at, part) in parts.iter().enumerate() {
            if let Err(refusal) = self.check_size(part).and_then(|()| self.slot_of(part).shard.prepare(part))
            {
                self.abort(&parts[..at]);
                return Err([(part.shard, Err(refusal))].into());
            }
        }
        Ok(())
    }

    fn commit(&mut self, parts: &[Part]) -> Response {
        parts.iter().map(|part| (part.shard, Ok(self.slot_of(part).shard.commit(part)))).collect()
    }

    fn abort(&mut self, parts: &[Part]) {
        for part in parts {
            self.slot_of(part).shard.abort();
        }
    }
}

impl ShardSlot {
    /// Whether a plan can acquire it at once. Not if others wait: they come first.
    fn is_free(&self) -> bool {
        self.holder.is_none() && self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(first: usize, shards: usize) -> Vec<u8> {
        encode(&NodeSetup { first, shards, max_memory: None })
    }

    #[test]
    fn a_setup_with_impossible_shards_is_refused() {
        for (first, shards) in
            [(0, 0), (0, 1 << 40), (SLOTS, 1), (1, SLOTS), (usize::MAX, 1), (1, usize::MAX)]
        {
            assert!(node(&setup(first, shards)).is_err(), "{shards} shards from {first} on");
        }
    }

    /// Replaces each byte of a request by a length that fits into no memory.
    #[test]
    fn a_request_with_impossible_lengths_is_an_error() {
        let ops = SmallVec::from_buf([kv::Command::Mget([(&b"key"[..]).into()].into())]);
        let part = Part { shard: 0, now: kv::Now(1), checks: Vec::new(), ops };
        let request = encode(&Request::Run(Parts::from_buf([part])));
        for at in 0..request.len() {
            let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
            let bytes = [&request[..at], &huge, &request[at + 1..]].concat();
            // Some bytes are numbers of shards or commands, and refused as such. None may abort the
            // process.
            let _ = node(&setup(0, 8)).unwrap().handle(1, &bytes, &mut Responses::new());
        }
    }
}
