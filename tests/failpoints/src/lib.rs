//! Failpoints without any code in the programs: a library for `LD_PRELOAD` that stands between a
//! program and libc.
//!
//! The release programs run as they are shipped. Each function here has the name of a function of
//! libc. It counts its calls, and either calls libc's function or fails as the kernel does when the
//! resource is exhausted. A [`control::Plan`] in an environment variable says which calls fail. The
//! counts are in a page that the harness maps as well, so that it can choose the first call, one in
//! the middle, or any.
//!
//! # What it cannot see
//!
//! - System calls that do not go through libc: `rustix` makes its own (file locks, `renameat`,
//!   `O_TMPFILE`, `pipe` of the models), and so do `tempfile` and `ipc-channel` in part. Real
//!   limits (`cc-chaos exec --nofile`, `--nproc`) affect those.
//! - Calls within libc: `opendir` and `getaddrinfo` open descriptors of their own. These functions
//!   are interposed as a whole.
//! - `vfork` and `clone`: a function that returns twice cannot be wrapped. `std` starts processes
//!   with `posix_spawnp`, or with `fork` if the child needs more than that allows.
//! - Memory. A Rust program aborts when an allocation fails, by design. `cc-chaos` uses `RLIMIT_AS`
//!   for it.
//!
//! # Safety
//!
//! Each function passes its arguments on to the function of the same name and type, and reads no
//! more of them than that function does. `open`, `openat` and `fcntl` are variadic in C. Here they
//! always take the third argument: on the Linux targets (x86-64, AArch64, RISC-V) it is passed in
//! the same register either way.

#![expect(unsafe_code, reason = "functions of C are replaced and called")]

pub mod control;
mod next;
mod state;

use std::ffi::{c_char, c_int, c_uint, c_void};

use libc::{
    EADDRINUSE, EADDRNOTAVAIL, EAGAIN, ECONNREFUSED, EMFILE, ENOSPC, addrinfo, clockid_t, iovec, mode_t,
    off_t, pid_t, posix_spawn_file_actions_t, posix_spawnattr_t, pthread_attr_t, pthread_t, size_t, sockaddr,
    socklen_t, ssize_t, timespec,
};

use control::Class;
use state::{clock_offset, is_regular, set_errno, takes};

/// Replaces functions that fail by returning -1 and setting `errno`.
macro_rules! interpose {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $returns:ty, $class:ident, $error:expr $(, if $when:expr)?;)*) => {$(
        #[doc = concat!("`", stringify!($name), "`, which fails if the plan says so.")]
        ///
        /// # Safety
        ///
        /// That of the function of the same name in libc.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($arg: $type),*) -> $returns {
            // SAFETY: libc's function has this type, and gets the arguments of this one.
            unsafe {
                if $($when &&)? takes(Class::$class) {
                    set_errno($error);
                    return -1;
                }
                next::function!($name: unsafe extern "C" fn($($type),*) -> $returns)($($arg),*)
            }
        }
    )*};
}

interpose! {
    fn fork() -> pid_t, Process, EAGAIN;

    fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int, Descriptor, EMFILE;
    fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int, Descriptor, EMFILE;
    fn openat(dir: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int, Descriptor, EMFILE;
    fn openat64(dir: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int, Descriptor, EMFILE;
    fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int, Descriptor, EMFILE;
    fn socketpair(domain: c_int, kind: c_int, protocol: c_int, ends: *mut c_int) -> c_int, Descriptor, EMFILE;
    fn pipe(ends: *mut c_int) -> c_int, Descriptor, EMFILE;
    fn pipe2(ends: *mut c_int, flags: c_int) -> c_int, Descriptor, EMFILE;
    fn eventfd(initial: c_uint, flags: c_int) -> c_int, Descriptor, EMFILE;
    fn epoll_create1(flags: c_int) -> c_int, Descriptor, EMFILE;
    fn memfd_create(name: *const c_char, flags: c_uint) -> c_int, Descriptor, EMFILE;
    fn accept(socket: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int, Descriptor, EMFILE;
    fn accept4(socket: c_int, address: *mut sockaddr, length: *mut socklen_t, flags: c_int) -> c_int,
        Descriptor, EMFILE;
    fn dup(fd: c_int) -> c_int, Descriptor, EMFILE;
    fn fcntl(fd: c_int, command: c_int, argument: *mut c_void) -> c_int, Descriptor, EMFILE,
        if matches!(command, libc::F_DUPFD | libc::F_DUPFD_CLOEXEC);

    fn write(fd: c_int, bytes: *const c_void, count: size_t) -> ssize_t, Disk, ENOSPC, if is_regular(fd);
    fn writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t, Disk, ENOSPC, if is_regular(fd);
    fn pwrite(fd: c_int, bytes: *const c_void, count: size_t, at: off_t) -> ssize_t, Disk, ENOSPC;
    fn pwrite64(fd: c_int, bytes: *const c_void, count: size_t, at: off_t) -> ssize_t, Disk, ENOSPC;
    fn fallocate(fd: c_int, mode: c_int, at: off_t, length: off_t) -> c_int, Disk, ENOSPC;
    fn ftruncate(fd: c_int, length: off_t) -> c_int, Disk, ENOSPC;
    fn ftruncate64(fd: c_int, length: off_t) -> c_int, Disk, ENOSPC;
    fn sendfile(to: c_int, from: c_int, at: *mut off_t, count: size_t) -> ssize_t, Disk, ENOSPC, if is_regular(to);
    fn copy_file_range(from: c_int, from_at: *mut off_t, to: c_int, to_at: *mut off_t, count: size_t, flags: c_uint)
        -> ssize_t, Disk, ENOSPC;
    fn mkdir(path: *const c_char, mode: mode_t) -> c_int, Disk, ENOSPC;
    fn rename(from: *const c_char, to: *const c_char) -> c_int, Disk, ENOSPC;

    fn bind(socket: c_int, address: *const sockaddr, length: socklen_t) -> c_int, Address, EADDRINUSE;
    fn listen(socket: c_int, backlog: c_int) -> c_int, Address, EADDRINUSE;
    fn connect(socket: c_int, address: *const sockaddr, length: socklen_t) -> c_int, Address,
        // Unix sockets have no ports that could run out.
        if i32::from((*address).sa_family) == libc::AF_UNIX { ECONNREFUSED } else { EADDRNOTAVAIL };
}

/// Replaces functions that return the error.
macro_rules! interpose_returning {
    ($(fn $name:ident($($arg:ident: $type:ty),* $(,)?), $class:ident, $error:expr;)*) => {$(
        #[doc = concat!("`", stringify!($name), "`, which fails if the plan says so.")]
        ///
        /// # Safety
        ///
        /// That of the function of the same name in libc.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($arg: $type),*) -> c_int {
            if takes(Class::$class) {
                return $error;
            }
            // SAFETY: libc's function has this type, and gets the arguments of this one.
            unsafe { next::function!($name: unsafe extern "C" fn($($type),*) -> c_int)($($arg),*) }
        }
    )*};
}

interpose_returning! {
    fn pthread_create(
        thread: *mut pthread_t,
        attributes: *const pthread_attr_t,
        main: extern "C" fn(*mut c_void) -> *mut c_void,
        argument: *mut c_void,
    ), Thread, EAGAIN;
    fn posix_spawn(
        pid: *mut pid_t,
        path: *const c_char,
        actions: *const posix_spawn_file_actions_t,
        attributes: *const posix_spawnattr_t,
        arguments: *const *mut c_char,
        environment: *const *mut c_char,
    ), Process, EAGAIN;
    fn posix_spawnp(
        pid: *mut pid_t,
        file: *const c_char,
        actions: *const posix_spawn_file_actions_t,
        attributes: *const posix_spawnattr_t,
        arguments: *const *mut c_char,
        environment: *const *mut c_char,
    ), Process, EAGAIN;
    fn posix_fallocate(fd: c_int, at: off_t, length: off_t), Disk, ENOSPC;
    fn getaddrinfo(
        host: *const c_char,
        service: *const c_char,
        hints: *const addrinfo,
        found: *mut *mut addrinfo,
    ), Lookup, libc::EAI_AGAIN;
}

/// `opendir`, which fails if the plan says so.
///
/// # Safety
///
/// That of the function of the same name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn opendir(path: *const c_char) -> *mut libc::DIR {
    // SAFETY: libc's function has this type, and gets the arguments of this one.
    unsafe {
        if takes(Class::Descriptor) {
            set_errno(EMFILE);
            return std::ptr::null_mut();
        }
        next::function!(opendir: unsafe extern "C" fn(*const c_char) -> *mut libc::DIR)(path)
    }
}

/// `clock_gettime`, with the offset that the harness sets for the wall clock.
///
/// # Safety
///
/// That of the function of the same name in libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    // SAFETY: libc's function has this type, and gets the arguments of this one; it has filled
    // `time` if it succeeded.
    unsafe {
        let status = next::function!(clock_gettime: unsafe extern "C" fn(clockid_t, *mut timespec) -> c_int)(
            clock, time,
        );
        if status == 0 && clock == libc::CLOCK_REALTIME {
            (*time).tv_sec += clock_offset();
        }
        status
    }
}
