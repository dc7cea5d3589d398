//! Turns a library's panic into an error, for libraries that panic when the system refuses a thread
//! or a descriptor.
//!
//! Checking for free resources before the call does not help: they may be taken by the time of the
//! call.

use std::{
    cell::Cell,
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::Once,
};

use crate::error::{Error, Result};

thread_local! {
    /// Whether a call of [`returned`] is running on this thread: its panics are returned, not
    /// printed.
    static IS_RETURNED: Cell<bool> = const { Cell::new(false) };
}

/// Calls the library and returns its panic as an error of `name`. The panic hook prints nothing for
/// it, since the error has the same text.
///
/// # Errors
///
/// If it panics on this thread.
pub fn returned<T>(name: &str, library: impl FnOnce() -> T) -> Result<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !IS_RETURNED.get() {
                print(panic);
            }
        }));
    });
    let before = IS_RETURNED.replace(true);
    // Unwind safe: a caller whose call has panicked drops what the closure used, and returns the
    // error.
    let called = catch_unwind(AssertUnwindSafe(library));
    IS_RETURNED.set(before);
    called.map_err(|panic| Error::panicked(name, &*panic))
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex},
        thread,
    };

    use super::*;

    /// The only test of this program that replaces the hook.
    #[test]
    fn a_panic_is_the_error_and_only_others_are_printed() {
        let printed = Arc::new(Mutex::new(Vec::new()));
        let print = printed.clone();
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| match panic.payload().downcast_ref::<&str>().copied() {
            Some(text @ ("refused" | "planned")) => print.lock().unwrap().push(text.to_owned()),
            _ => before(panic),
        }));
        let why = returned("thread", || panic!("refused")).unwrap_err().to_string();
        assert_eq!(why, "thread: panicked: refused");
        assert_eq!(returned("thread", || 7).unwrap(), 7);
        let other = thread::Builder::new().spawn(|| panic!("planned")).unwrap();
        assert!(other.join().is_err());
        assert_eq!(*printed.lock().unwrap(), ["planned"]);
    }
}
