//! Bounds: few descriptors to do with, and how much memory a run takes.

use std::{
    fs::File,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::tree;

/// From here on, this process and its children have no more descriptors than these.
pub fn limit_descriptors(most: usize) {
    let limit = Some(most as u64);
    setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit }).expect("it is less than before");
    let opened = (0..most).map_while(|_| File::open("/dev/null").ok()).collect::<Vec<_>>();
    assert!(opened.len() < most, "the limit does not hold");
}

/// The most memory that this process and its descendants have during a run, in bytes, beyond what they had before. It
/// is looked at again and again, since the kernel keeps no maximum for a family.
pub fn peak_memory(run: impl FnOnce()) -> u64 {
    let (before, peak, ended) = (tree::memory(), AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                peak.fetch_max(tree::memory(), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
        });
        // Also when the run panics, or the thread would never end.
        let _end = Ending(&ended);
        run();
    });
    peak.into_inner().saturating_sub(before)
}

struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
