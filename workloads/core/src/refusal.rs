//! Libraries that panic where the system refuses them a thread or a descriptor.
//!
//! What such a call needs cannot be looked for beforehand: it may be gone by then. So the panic is
//! caught, and becomes the error that the library does not return.

use std::{
    cell::Cell,
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::Once,
};

use crate::error::{Error, Result};

thread_local! {
    /// The panics of this thread are the errors of a call of [`returned`].
    static IS_RETURNED: Cell<bool> = const { Cell::new(false) };
}

/// Calls the library, and returns its panic as the error of `who`. The text that a panic prints is
/// left out, since the error says the same.
///
/// # Errors
///
/// If it panics on this thread.
pub fn returned<T>(who: &str, library: impl FnOnce() -> T) -> Result<T> {
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
    let called = catch_unwind(AssertUnwindSafe(library));
    IS_RETURNED.set(before);
    called.map_err(|panic| Error::panicked(who, &*panic))
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
