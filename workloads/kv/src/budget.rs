//! The memory budget, which shards and connections share.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// The memory that the shards and connections of a process may take together. What is not granted
/// is refused; nothing is evicted.
#[derive(Clone, Debug)]
pub struct SharedBudget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: u64,
    granted: AtomicU64,
}

impl SharedBudget {
    /// A budget of this many bytes; `None` is without limit.
    #[must_use]
    pub fn new(limit: Option<u64>) -> Self {
        Self(Arc::new(Shared { limit: limit.unwrap_or(u64::MAX), granted: AtomicU64::new(0) }))
    }

    /// Takes bytes from the budget; they must be [given](SharedBudget::give) back. Returns false
    /// and takes nothing if fewer are left.
    #[must_use]
    pub fn take(&self, bytes: u64) -> bool {
        let more = |granted: u64| granted.checked_add(bytes).filter(|granted| *granted <= self.0.limit);
        self.0.granted.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    /// Gives back bytes that were taken.
    pub fn give(&self, bytes: u64) {
        let before = self.0.granted.fetch_sub(bytes, Relaxed);
        debug_assert!(before >= bytes, "no more comes back than was taken");
    }

    /// Whether at least half of it is granted.
    pub(super) fn is_half_granted(&self) -> bool {
        self.granted() >= self.0.limit.div_ceil(2)
    }

    /// The bytes that are granted: those in use, and the small reserves of the shards.
    #[must_use]
    pub fn granted(&self) -> u64 {
        self.0.granted.load(Relaxed)
    }
}

/// A shard's share of a budget. It keeps a reserve, so that most changes do not access the shared
/// counter.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: SharedBudget,
    /// The bytes that are taken from the budget at once.
    chunk: i64,
    /// Granted bytes that are not used.
    reserve: i64,
    used: u64,
}

/// Maximum bytes that a reservation takes ahead.
const MAX_CHUNK: u64 = 64 * 1024;
/// A chunk is at most one part in this many of the whole budget, because the reserve of one shard
/// is not available to the others.
const CHUNK_PARTS: u64 = 4096;

impl Reservation {
    pub(super) fn new(budget: SharedBudget) -> Self {
        let chunk = (budget.0.limit / CHUNK_PARTS).min(MAX_CHUNK) as i64;
        Self { budget, chunk, reserve: 0, used: 0 }
    }

    /// The bytes in use.
    pub(super) fn used(&self) -> u64 {
        self.used
    }

    /// Makes sure that this many bytes can be [spent](Reservation::spend). Returns whether the
    /// budget has granted them.
    #[inline]
    pub(super) fn reserve(&mut self, bytes: u64) -> bool {
        i64::try_from(bytes).is_ok_and(|bytes| bytes <= self.reserve || self.top_up(bytes - self.reserve))
    }

    #[cold]
    fn top_up(&mut self, missing: i64) -> bool {
        let granted = [missing.saturating_add(self.chunk), missing]
            .into_iter()
            .find(|bytes| self.budget.take(bytes.unsigned_abs()));
        self.reserve += granted.unwrap_or(0);
        granted.is_some()
    }

    /// Changes the number of bytes in use.
    #[inline]
    pub(super) fn spend(&mut self, bytes: i64) {
        self.reserve -= bytes;
        self.used = self.used.checked_add_signed(bytes).expect("no more is freed than was used");
        debug_assert!(self.reserve >= 0, "only what was promised is spent");
    }

    /// Gives back the part of the reserve that is more than a chunk, if it is more than two.
    #[inline]
    pub(super) fn release_excess(&mut self) {
        if self.reserve > 2 * self.chunk {
            self.budget.give((self.reserve - self.chunk).unsigned_abs());
            self.reserve = self.chunk;
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.give(self.used.saturating_add_signed(self.reserve));
    }
}

/// The bytes of a budget that an object occupies. Dropping it gives them back.
#[derive(Debug)]
pub struct Charge {
    budget: SharedBudget,
    taken: u64,
    /// The first bytes, which are not counted.
    uncounted: usize,
}

/// Bytes of a connection that are not counted, so that a client can still send a DEL when memory is
/// full.
const UNCOUNTED: usize = 2 * super::connection::READ;

impl Charge {
    /// A charge of no bytes.
    #[must_use]
    pub fn new(budget: SharedBudget) -> Self {
        Self { budget, taken: 0, uncounted: 0 }
    }

    /// A charge for the memory that a connection uses on behalf of its client.
    pub(super) fn of_connection(budget: SharedBudget) -> Self {
        Self { budget, taken: 0, uncounted: UNCOUNTED }
    }

    /// Whether it has taken nothing.
    pub(super) fn is_zero(&self) -> bool {
        self.taken == 0
    }

    /// Sets the charge to this many bytes. Returns whether the budget allows it; if not, the charge
    /// is unchanged.
    #[must_use = "what there is no room for must not be kept"]
    pub fn is(&mut self, bytes: usize) -> bool {
        let wanted = bytes.saturating_sub(self.uncounted) as u64;
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
    fn a_reservation_gives_back_what_it_does_not_need() {
        let budget = SharedBudget::new(Some(1 << 20));
        let mut reservation = Reservation::new(budget.clone());
        assert!(reservation.reserve(1 << 20) && !reservation.reserve((1 << 20) + 1));
        reservation.spend(100);
        reservation.release_excess();
        assert_eq!(budget.granted(), 100 + (1 << 20) / CHUNK_PARTS);
        reservation.spend(-100);
        drop(reservation);
        assert_eq!(budget.granted(), 0);
    }
}
