//! The interface of the preloaded library and the program that preloads it: names, classes, and a
//! shared page of memory.
//!
//! `cc-chaos` includes this file as a module, because a `cdylib` cannot be linked.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// The environment variable with the [`Plan`]. Without it no call fails.
pub const PLAN: &str = "CC_FAILPOINT";

/// The environment variable with the name of the file of the [`Control`] page, which has
/// [`Control::BYTES`] bytes. Without it the library does nothing.
pub const CONTROL: &str = "CC_FAILPOINT_CONTROL";

/// The environment variable that the first process sets for its descendants: a process that has it
/// is a worker.
pub const IS_WORKER: &str = "CC_FAILPOINT_IS_WORKER";

/// A kind of resource, and so a set of library functions that fail in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A thread cannot be started: `EAGAIN`.
    Thread,
    /// A process cannot be started: `EAGAIN`.
    Process,
    /// The process has no descriptor left: `EMFILE`.
    Descriptor,
    /// There is no space left for a regular file or a directory: `ENOSPC`.
    Disk,
    /// An address cannot be listened at or connected to: `EADDRINUSE`, `EADDRNOTAVAIL`,
    /// `ECONNREFUSED`.
    Address,
    /// A host name cannot be looked up at present: `EAI_AGAIN`.
    Lookup,
}

impl Class {
    /// All classes, in the order of the enumeration.
    pub const ALL: [Self; 6] =
        [Self::Thread, Self::Process, Self::Descriptor, Self::Disk, Self::Address, Self::Lookup];

    /// Its name in a [`Plan`].
    pub const fn name(self) -> &'static str {
        match self {
            Self::Thread => "thread",
            Self::Process => "process",
            Self::Descriptor => "descriptor",
            Self::Disk => "disk",
            Self::Address => "address",
            Self::Lookup => "lookup",
        }
    }
}

/// The processes of a program whose calls are counted and fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The process that was started first.
    Coordinator,
    /// Its descendants. Each has its own count.
    Worker,
}

impl Role {
    /// Both roles, in the order of the enumeration.
    pub const ALL: [Self; 2] = [Self::Coordinator, Self::Worker];

    /// Its name in a [`Plan`].
    pub const fn name(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Worker => "worker",
        }
    }
}

/// Which calls fail: `class:role:first:calls`, with numbers in decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The functions that fail.
    pub class: Class,
    /// The processes in which they fail.
    pub role: Role,
    /// The first call of the class that fails, counted from 1 in each process.
    pub first: u64,
    /// The number of calls that fail, from `first` on.
    pub calls: u64,
}

impl Plan {
    /// Reads a plan. It allocates nothing, because it is called before `main`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(':');
        let class = fields.next()?;
        let role = fields.next()?;
        Some(Self {
            class: Class::ALL.into_iter().find(|known| known.name() == class)?,
            role: Role::ALL.into_iter().find(|known| known.name() == role)?,
            first: fields.next()?.parse().ok()?,
            calls: fields.next()?.parse().ok()?,
        })
    }

    /// Whether the `nth` call of its class fails.
    pub const fn fails(&self, nth: u64) -> bool {
        nth >= self.first && nth - self.first < self.calls
    }
}

/// A page that all processes of a run share with the harness. It keeps its counts when a process is
/// killed.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Control {
    /// The offset of the wall clock, in seconds.
    pub clock: AtomicI64,
    /// The number of calls for each role and class. For workers, it is that of the worker with the
    /// most calls.
    pub calls: [[AtomicU64; Class::ALL.len()]; Role::ALL.len()],
    /// The number of calls that the library let fail, for each role and class, over all processes.
    pub failed: [[AtomicU64; Class::ALL.len()]; Role::ALL.len()],
}

impl Control {
    /// The size of the file.
    pub const BYTES: usize = size_of::<Self>();

    /// Counts a call, which is the `nth` of its process.
    pub fn count(&self, role: Role, class: Class, nth: u64) {
        self.calls[role as usize][class as usize].fetch_max(nth, Ordering::Relaxed);
    }

    /// Counts a call that fails.
    pub fn count_failed(&self, role: Role, class: Class) {
        self.failed[role as usize][class as usize].fetch_add(1, Ordering::Relaxed);
    }
}
