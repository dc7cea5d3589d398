//! How much memory there may be in all.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// What the shards and connections of a process share of memory. What is not granted is not taken: nothing is evicted.
#[derive(Clone, Debug)]
pub struct SharedBudget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: u64,
    granted: AtomicU64,
}

impl SharedBudget {
    /// Up to so many bytes; `None` is no limit.
    #[must_use]
    pub fn new(limit: Option<u64>) -> Self {
        Self(Arc::new(Shared { limit: limit.unwrap_or(u64::MAX), granted: AtomicU64::new(0) }))
    }

    /// Asks for this many bytes, which are [given](SharedBudget::give) back one day; or for none, if
    /// there are not as many left.
    #[must_use]
    pub fn take(&self, bytes: u64) -> bool {
        let more = |granted: u64| granted.checked_add(bytes).filter(|granted| *granted <= self.0.limit);
        self.0.granted.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    /// Gives back what was taken.
    pub fn give(&self, bytes: u64) {
        let before = self.0.granted.fetch_sub(bytes, Relaxed);
        debug_assert!(before >= bytes, "no more comes back than was taken");
    }

    /// How much has been granted: what is kept, and a little that shards have at hand.
    #[must_use]
    pub fn granted(&self) -> u64 {
        self.0.granted.load(Relaxed)
    }
}

/// A shard's part of a budget, with some at hand, so that most changes need not ask.
#[derive(Debug)]
pub(super) struct Purse {
    budget: SharedBudget,
    /// So much is asked for at once.
    chunk: i64,
    /// Granted and not used.
    spare: i64,
    used: u64,
}

/// No more is asked for at once, and no more than this part of the whole: what one shard has at hand is not to be had by
/// the others.
const CHUNK: (u64, u64) = (64 * 1024, 4096);

impl Purse {
    pub(super) fn new(budget: SharedBudget) -> Self {
        let chunk = (budget.0.limit / CHUNK.1).min(CHUNK.0) as i64;
        Self { budget, chunk, spare: 0, used: 0 }
    }

    /// What is used.
    pub(super) fn used(&self) -> u64 {
        self.used
    }

    /// Sees to it that so many more bytes can be [spent](Purse::spend).
    #[inline]
    pub(super) fn promise(&mut self, bytes: u64) -> bool {
        i64::try_from(bytes).is_ok_and(|bytes| bytes <= self.spare || self.top_up(bytes - self.spare))
    }

    #[cold]
    fn top_up(&mut self, missing: i64) -> bool {
        let granted = [missing.saturating_add(self.chunk), missing]
            .into_iter()
            .find(|bytes| self.budget.take(bytes.unsigned_abs()));
        self.spare += granted.unwrap_or(0);
        granted.is_some()
    }

    /// More is used, or less.
    #[inline]
    pub(super) fn spend(&mut self, bytes: i64) {
        self.spare -= bytes;
        self.used = self.used.checked_add_signed(bytes).expect("no more is freed than was used");
        debug_assert!(self.spare >= 0, "only what was promised is spent");
    }

    /// Gives back what is more than enough to have at hand.
    #[inline]
    pub(super) fn settle(&mut self) {
        if self.spare > 2 * self.chunk {
            self.budget.give((self.spare - self.chunk).unsigned_abs());
            self.spare = self.chunk;
        }
    }
}

impl Drop for Purse {
    fn drop(&mut self) {
        self.budget.give(self.used.saturating_add_signed(self.spare));
    }
}

/// What something takes of a budget as long as it is kept; dropped, it is given back.
#[derive(Debug)]
pub struct Charge {
    budget: SharedBudget,
    taken: u64,
    /// So many bytes are not counted.
    free: usize,
}

/// Bytes of a connection that are not counted, so that a client can still ask for something to be
/// deleted when memory is full.
const FREE: usize = 2 * super::connection::READ;

impl Charge {
    /// Nothing is taken yet.
    #[must_use]
    pub fn new(budget: SharedBudget) -> Self {
        Self { budget, taken: 0, free: 0 }
    }

    /// The same, for what a connection keeps on a client's behalf.
    pub(super) fn of_connection(budget: SharedBudget) -> Self {
        Self { budget, taken: 0, free: FREE }
    }

    /// Whether nothing is taken.
    pub(super) fn is_zero(&self) -> bool {
        self.taken == 0
    }

    /// So many bytes are kept now. Whether there is room for them; if not, no more are counted than before.
    #[must_use = "what there is no room for must not be kept"]
    pub fn is(&mut self, bytes: usize) -> bool {
        let wanted = bytes.saturating_sub(self.free) as u64;
        if wanted <= self.taken {
            if wanted < self.taken {
                self.budget.give(self.taken - wanted);
            }
        } else if !self.budget.take(wanted - self.taken) {
            return false;
        }
        self.taken = wanted;
        true
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.give(self.taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_granted_than_there_is() {
        let budget = SharedBudget::new(Some(100));
        assert!(budget.take(60) && !budget.take(41) && budget.take(40) && !budget.take(u64::MAX));
        budget.give(100);
        assert_eq!(budget.granted(), 0);
        assert!(SharedBudget::new(None).take(u64::MAX));
    }

    #[test]
    fn a_purse_gives_back_what_it_does_not_need() {
        let budget = SharedBudget::new(Some(1 << 20));
        let mut purse = Purse::new(budget.clone());
        assert!(purse.promise(1 << 20) && !purse.promise((1 << 20) + 1));
        purse.spend(100);
        purse.settle();
        assert_eq!(budget.granted(), 100 + (1 << 20) / CHUNK.1);
        purse.spend(-100);
        drop(purse);
        assert_eq!(budget.granted(), 0);
    }
}
