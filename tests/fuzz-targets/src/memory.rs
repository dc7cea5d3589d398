//! Measures memory: an allocator that counts the bytes of each thread.

#![expect(unsafe_code, reason = "an allocator is an unsafe trait")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    /// Bytes that this thread has allocated, less those that it has freed, also for other threads.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    /// The maximum of `LIVE` since [`peak`] began.
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// Counts, and passes every call on to the system's allocator.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(bytes: isize) {
    let live = LIVE.get() + bytes;
    LIVE.set(live);
    MOST.set(MOST.get().max(live));
}

// SAFETY: every call is passed on unchanged to an allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's guarantees are those that the system's allocator needs.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's guarantees are those that the system's allocator needs.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both blocks may exist for a moment.
        count(size as isize);
        count(-(layout.size() as isize));
        // SAFETY: the caller's guarantees are those that the system's allocator needs.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's guarantees are those that the system's allocator needs.
        unsafe { System.dealloc(at, layout) }
    }
}

/// Runs `work`, and returns its result and the peak of this thread's memory, less what it had
/// before.
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = LIVE.get();
    MOST.set(before);
    let done = work();
    (done, u64::try_from(MOST.get() - before).unwrap_or(0))
}
