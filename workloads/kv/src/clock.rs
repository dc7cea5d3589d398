//! The time, as data, and the clocks that it is read from.
//!
//! Keys expire by a clock that only goes forward, at the same speed whatever happens to the date: a
//! correction of the wall clock neither keeps a key for ever nor takes one early. The wall clock is
//! read where a command names a date, and nowhere else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Milliseconds since the machine was started, those included in which it was suspended. The
/// processes of one machine have this clock in common; two machines do not, so between them only
/// durations travel. The model reads it once for a request; a shard never reads a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Now(pub u64);

/// Where a server reads the time: from the system, or from a [`ManualClock`] in a test. Clones are
/// the same clock.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<Manual>>);

impl Clock {
    /// A clock that a test sets. Its monotonic time begins at 1, its date in 2026.
    #[must_use]
    pub fn manual() -> (Self, ManualClock) {
        let manual =
            Arc::new(Manual { monotonic: AtomicU64::new(1), wall: AtomicU64::new(1_767_225_600_000) });
        (Self(Some(manual.clone())), ManualClock(manual))
    }

    /// The time by which keys expire. It never goes back.
    #[must_use]
    pub fn now(&self) -> Now {
        match &self.0 {
            None => {
                let time = clock_gettime(ClockId::Boottime);
                Now(time.tv_sec.unsigned_abs() * 1000 + time.tv_nsec.unsigned_abs() / 1_000_000)
            }
            Some(manual) => Now(manual.monotonic.load(Relaxed)),
        }
    }

    /// The date, in milliseconds since 1970. It may jump in either direction.
    pub(super) fn wall(&self) -> u64 {
        match &self.0 {
            None => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            }
            Some(manual) => manual.wall.load(Relaxed),
        }
    }
}

/// The hands of a clock that [`Clock::manual`] has made.
#[derive(Debug)]
pub struct ManualClock(Arc<Manual>);

#[derive(Debug)]
struct Manual {
    monotonic: AtomicU64,
    wall: AtomicU64,
}

impl ManualClock {
    /// Time passes.
    pub fn advance(&self, time: Duration) {
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.0.monotonic.fetch_add(time, Relaxed);
        self.0.wall.fetch_add(time, Relaxed);
    }

    /// The date is set, in milliseconds since 1970; no time passes.
    pub fn set_wall(&self, milliseconds: u64) {
        self.0.wall.store(milliseconds, Relaxed);
    }
}

/// The longest time that is waited for: ten years. An `Instant` has room for it on every system.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The instant after this time, or in ten years if that is earlier: `Instant::now() + time` panics
/// when it overflows.
#[must_use]
pub fn deadline_after(time: Duration) -> Instant {
    Instant::now() + time.min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_goes_forward() {
        let clock = Clock::default();
        let (first, wall) = (clock.now(), clock.wall());
        assert!(first > Now(0) && clock.now() >= first && wall > 1_700_000_000_000);
    }

    #[test]
    fn a_manual_clock_goes_as_it_is_told() {
        let (clock, hands) = Clock::manual();
        let (first, wall) = (clock.now(), clock.wall());
        hands.set_wall(7);
        assert_eq!((clock.now(), clock.wall()), (first, 7));
        hands.advance(Duration::from_secs(1));
        assert_eq!((clock.now(), clock.wall()), (Now(first.0 + 1000), 1007));
        assert!(wall > 7);
    }

    #[test]
    fn no_duration_overflows_an_instant() {
        assert!(deadline_after(Duration::MAX) > deadline_after(Duration::from_secs(3600)));
    }
}
