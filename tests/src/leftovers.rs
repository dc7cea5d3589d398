//! What a run leaves behind, which must be nothing.

use std::{
    collections::BTreeMap,
    env, fs,
    path::PathBuf,
    process, thread,
    time::{Duration, Instant},
};

use crate::tree;

/// The threads, children, open descriptors and temporary files of this process.
#[derive(Debug, PartialEq, Eq)]
pub struct Belongings {
    threads: usize,
    children: Vec<u32>,
    descriptors: BTreeMap<String, PathBuf>,
    temporary: Vec<PathBuf>,
}

impl Belongings {
    /// Reads the current state. Orphans of descendants count as children: see [`crate::isolate`].
    #[must_use]
    pub fn now() -> Self {
        let me = process::id();
        Self {
            threads: tree::threads(me).len(),
            children: tree::children(me),
            descriptors: descriptors(),
            temporary: files(env::temp_dir()),
        }
    }

    /// Asserts that the current state soon equals this one. A thread that was joined, or a scope
    /// that was left, can return a moment before the kernel updates `/proc`.
    ///
    /// # Panics
    ///
    /// If something was left behind.
    pub fn check(&self) {
        self.check_by(|now| now == self);
    }

    /// Like [`Belongings::check`], except for descriptors.
    ///
    /// # Panics
    ///
    /// If a thread, child or file was left behind.
    pub fn check_all_but_descriptors(&self) {
        let but_descriptors = |of: &Self| (of.threads, of.children.clone(), of.temporary.clone());
        self.check_by(|now| but_descriptors(now) == but_descriptors(self));
    }

    /// Polls, because the kernel has no event for the moment when a thread or a descriptor
    /// disappears from `/proc`.
    fn check_by(&self, is_same: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(2);
        let mut now = Self::now();
        while !is_same(&now) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
            now = Self::now();
        }
        let doing = || tree::describe(process::id());
        assert!(is_same(&now), "left behind: before {self:#?}\nafter {now:#?}\n{}", doing());
    }
}

fn descriptors() -> BTreeMap<String, PathBuf> {
    // The descriptor that reads the directory is listed too; it is closed when its target is looked
    // up.
    let named = files("/proc/self/fd".into()).into_iter().filter_map(|fd| {
        let name = fd.file_name()?.to_str()?.to_owned();
        Some((name, fs::read_link(fd).ok()?))
    });
    named.collect()
}

fn files(dir: PathBuf) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("the directory is there");
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files
}
