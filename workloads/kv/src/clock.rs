//! Time as data, and the clocks that it is read from.
//!
//! Keys expire by a monotonic clock: a correction of the wall clock neither keeps a key too long
//! nor removes it too early. The wall clock is read only where a command names a date.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Milliseconds since the machine was started, including the time during which it was suspended.
/// All processes of a machine share this clock. Two machines do not, so only durations are sent
/// between them. The model reads the clock once per request; a shard never reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Now(pub u64);

/// The source of the time: the system, or a [`ManualClock`] in a test. Clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<Manual>>);

impl Clock {
    /// A clock that a test sets. Its monotonic time begins at 1, its date at the start of 2026.
    #[must_use]
    pub fn manual() -> (Self, ManualClock) {
        let manual = Arc::new(Manual {
            monotonic: AtomicU64::new(1),
            wall: AtomicU64::new(1_767_225_600_000),
            date_offset: AtomicI64::new(0),
        });
        (Self(Some(manual.clone())), ManualClock(manual))
    }

    /// The time by which keys expire. It never decreases.
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

    /// The date at a time that was read from this clock a moment ago, in milliseconds since 1970.
    ///
    /// The difference between the two clocks is kept as long as it is almost the same, so a date
    /// that is turned into a time and back stays the same. If the date is changed, it follows.
    pub(super) fn date(&self, Now(at): Now) -> u64 {
        let Now(now) = self.now();
        let measured = self.wall().cast_signed().wrapping_sub(now.cast_signed());
        let kept = match &self.0 {
            None => &DATE_OFFSET,
            Some(manual) => &manual.date_offset,
        };
        let mut offset = kept.load(Relaxed);
        if offset.abs_diff(measured) > DATE_TOLERANCE {
            // Two threads may both measure it; either value is right.
            kept.store(measured, Relaxed);
            offset = measured;
        }
        at.saturating_add_signed(offset)
    }

    /// The date in microseconds since 1970.
    pub(super) fn wall_micros(&self) -> u64 {
        match &self.0 {
            None => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
            }
            Some(_) => self.wall().saturating_mul(1000),
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

/// The date minus the monotonic time of the system, in milliseconds, when it was last measured.
static DATE_OFFSET: AtomicI64 = AtomicI64::new(0);
/// A smaller change of the offset, in milliseconds, is taken for the time between reading the two
/// clocks.
const DATE_TOLERANCE: u64 = 20;

/// Sets the time of a clock that [`Clock::manual`] has created.
#[derive(Debug)]
pub struct ManualClock(Arc<Manual>);

#[derive(Debug)]
struct Manual {
    monotonic: AtomicU64,
    wall: AtomicU64,
    date_offset: AtomicI64,
}

impl ManualClock {
    /// Advances the monotonic time and the date.
    pub fn advance(&self, time: Duration) {
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.0.monotonic.fetch_add(time, Relaxed);
        self.0.wall.fetch_add(time, Relaxed);
    }

    /// Sets the date, in milliseconds since 1970, without advancing the monotonic time.
    pub fn set_wall(&self, milliseconds: u64) {
        self.0.wall.store(milliseconds, Relaxed);
    }
}

/// The longest time to a deadline: ten years, which an `Instant` can represent on every system.
const MAX_WAIT: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The instant after this time, at most ten years away. `Instant::now() + time` would panic on
/// overflow.
#[must_use]
pub fn deadline_after(time: Duration) -> Instant {
    Instant::now() + time.min(MAX_WAIT)
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
    fn a_date_stays_the_same_until_it_is_changed() {
        let (clock, hands) = Clock::manual();
        let (first, date) = (clock.now(), clock.date(clock.now()));
        hands.advance(Duration::from_secs(5));
        assert_eq!((clock.date(first), clock.date(clock.now())), (date, date + 5000));
        hands.set_wall(date + 5010);
        assert_eq!(clock.date(first), date, "a small difference is one of measuring");
        hands.set_wall(date);
        assert_eq!(clock.date(first), date - 5000);
    }

    #[test]
    fn no_duration_overflows_an_instant() {
        assert!(deadline_after(Duration::MAX) > deadline_after(Duration::from_secs(3600)));
    }
}
