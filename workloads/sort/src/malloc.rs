//! Settings of the memory allocator, which decide whether freed memory is returned to the system.

/// Below this room for a chunk, memory is scarce.
const SCARCE_ROOM: u64 = 1 << 20;

/// The value of both thresholds, which is glibc's initial one. A block of this size or more is a
/// mapping of its own, which is unmapped when it is freed. At most this much free memory is kept at
/// the end of an arena.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const THRESHOLD: i32 = 128 << 10;

/// Makes this process return the memory that it frees, if a chunk has little room.
///
/// By default, glibc raises both thresholds when a large block is freed, since the next block may
/// be as large: from then on it keeps twice that size in the arena of each thread (`mallopt(3)`,
/// `M_MMAP_THRESHOLD`). With a megabyte per worker, that is more than the workers may use. If
/// memory is not scarce, the default saves time.
pub(super) fn return_freed_memory(room: u64) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if room < SCARCE_ROOM {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            // Set both, since glibc may have raised both.
            for parameter in [libc::M_MMAP_THRESHOLD, libc::M_TRIM_THRESHOLD] {
                #[expect(
                    unsafe_code,
                    reason = "setting a parameter of the allocator touches none of its blocks"
                )]
                // Fails only for a value out of range, and then changes nothing.
                unsafe {
                    libc::mallopt(parameter, THRESHOLD)
                };
            }
        });
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = room < SCARCE_ROOM;
}
