//! The plan and the counts of this process. The plan is read from the environment before `main`.

use std::{
    ffi::{CStr, CString, c_int},
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    control::{self, Class, Control, Plan, Role},
    next,
};

/// The plan, the page and the role, from the environment.
struct State {
    plan: Option<Plan>,
    role: Role,
    control: &'static Control,
}

static STATE: OnceLock<State> = OnceLock::new();

/// This process's calls of each class.
static CALLS: [AtomicU64; Class::ALL.len()] = [const { AtomicU64::new(0) }; Class::ALL.len()];

#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

/// Called by the loader, while the process has one thread.
extern "C" fn start() {
    if let Some(state) = State::read() {
        let _ = STATE.set(state);
    }
}

impl State {
    fn read() -> Option<Self> {
        let control = map(variable(control::CONTROL)?)?;
        let plan = variable(control::PLAN).and_then(|text| Plan::parse(text.to_str().ok()?));
        let role = if variable(control::IS_WORKER).is_some() { Role::Worker } else { Role::Coordinator };
        let name = CString::new(control::IS_WORKER).ok()?;
        // SAFETY: both strings end with a zero, and no other thread reads the environment yet.
        unsafe { libc::setenv(name.as_ptr(), c"1".as_ptr(), 1) };
        Some(Self { plan, role, control })
    }
}

fn variable(name: &str) -> Option<&'static CStr> {
    let name = CString::new(name).ok()?;
    // SAFETY: the name and the value end with a zero. No other thread changes the environment yet,
    // and no thread sets these variables later.
    unsafe {
        let value = libc::getenv(name.as_ptr());
        (!value.is_null()).then(|| CStr::from_ptr(value))
    }
}

/// Maps the page that the harness has made.
fn map(path: &CStr) -> Option<&'static Control> {
    // SAFETY: the file has this many bytes, which are zeros or counts. It stays mapped as long as
    // the process lives.
    unsafe {
        let open =
            next::function!(open: unsafe extern "C" fn(*const libc::c_char, c_int, libc::mode_t) -> c_int);
        let fd = open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC, 0);
        if fd < 0 {
            return None;
        }
        let (read_write, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        let page = libc::mmap(ptr::null_mut(), Control::BYTES, read_write, shared, fd, 0);
        libc::close(fd);
        (page != libc::MAP_FAILED).then(|| &*page.cast::<Control>())
    }
}

/// Counts a call, and returns whether it must fail.
pub(crate) fn takes(class: Class) -> bool {
    let Some(State { plan, role, control }) = STATE.get() else { return false };
    let nth = CALLS[class as usize].fetch_add(1, Ordering::Relaxed) + 1;
    control.count(*role, class, nth);
    let fails = plan.is_some_and(|plan| plan.class == class && plan.role == *role && plan.fails(nth));
    if fails {
        control.count_failed(*role, class);
    }
    fails
}

/// The offset of the wall clock, in seconds.
pub(crate) fn clock_offset() -> i64 {
    STATE.get().map_or(0, |state| state.control.clock.load(Ordering::Relaxed))
}

/// Whether a write needs disk space. Standard error never counts, because the harness judges by its
/// messages.
pub(crate) fn is_regular(fd: c_int) -> bool {
    if fd == libc::STDERR_FILENO {
        return false;
    }
    // SAFETY: `fstat` fills the buffer if it succeeds.
    unsafe {
        let mut stat = std::mem::zeroed::<libc::stat>();
        libc::fstat(fd, &raw mut stat) == 0 && stat.st_mode & libc::S_IFMT == libc::S_IFREG
    }
}

pub(crate) fn set_errno(error: c_int) {
    // SAFETY: each thread has its own `errno`.
    unsafe { *libc::__errno_location() = error };
}
