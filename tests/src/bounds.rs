//! Bounds: a limit on descriptors, and the peak of memory.

use std::{
    fs::File,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::tree;

/// Limits the open descriptors of this process and of each child to `most`.
pub fn limit_descriptors(most: usize) {
    let limit = Some(most as u64);
    setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit }).expect("it is less than before");
    let opened = (0..most).map_while(|_| File::open("/dev/null").ok()).collect::<Vec<_>>();
    assert!(opened.len() < most, "the limit does not hold");
}

/// The peak of the memory of this process and its descendants during a run, in bytes, less what
/// they had before. It polls, because the kernel keeps no maximum for a group of processes.
pub fn peak_memory(run: impl FnOnce()) -> u64 {
    let before = tree::memory();
    let peak = AtomicU64::new(0);
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                peak.fetch_max(tree::memory(), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
        });
        // Set on a panic as well; otherwise the scope would wait for the thread for ever.
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
