//! Memory that is freed, and whether the process keeps it.

/// Smaller rooms for chunks mean that memory is scarce, for each worker.
const SCARCE: u64 = 1 << 20;

/// From this size on a block is a mapping of its own, which is gone when it is freed; and no more than this is kept at
/// the end of an arena. It is where glibc begins.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MOST: i32 = 128 << 10;

/// With so little room for a chunk, sees to it that this process gives back what it frees.
///
/// Left alone, glibc takes a large block that was freed as a sign that more of that size will come, and from then on keeps
/// twice as much in the arena of each thread (`mallopt(3)`, `M_MMAP_THRESHOLD`). Among eight workers with a megabyte each
/// that is more than they have. Where memory is not scarce it saves time.
pub(super) fn give_back(room: u64) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if room < SCARCE {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            // Both, since both may have grown already.
            for parameter in [libc::M_MMAP_THRESHOLD, libc::M_TRIM_THRESHOLD] {
                #[expect(
                    unsafe_code,
                    reason = "setting a parameter of the allocator touches none of its blocks"
                )]
                // Fails only for a value out of range; then memory is kept as before.
                unsafe {
                    libc::mallopt(parameter, MOST)
                };
            }
        });
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = room < SCARCE;
}
