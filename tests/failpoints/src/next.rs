//! libc's functions, whose names the functions of this library have.

use std::{
    ffi::{CStr, c_void},
    sync::atomic::{AtomicPtr, Ordering},
};

/// The next function of this name, looked up once.
macro_rules! function {
    ($name:ident: $type:ty) => {{
        static FOUND: std::sync::atomic::AtomicPtr<std::ffi::c_void> =
            std::sync::atomic::AtomicPtr::new(std::ptr::null_mut());
        const NAME: &std::ffi::CStr =
            match std::ffi::CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => panic!("the name of a function has no zero in it"),
            };
        std::mem::transmute::<*mut std::ffi::c_void, $type>($crate::next::find(&FOUND, NAME))
    }};
}
pub(crate) use function;

/// The function's address. It allocates nothing, because it may be called in any state of the
/// process.
pub(crate) fn find(found: &AtomicPtr<c_void>, name: &CStr) -> *mut c_void {
    let known = found.load(Ordering::Relaxed);
    if !known.is_null() {
        return known;
    }
    // SAFETY: the name ends with a zero.
    let next = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    if next.is_null() {
        // SAFETY: `abort` does not return. There is no function to call, and a panic must not
        // unwind through C.
        unsafe { libc::abort() };
    }
    found.store(next, Ordering::Relaxed);
    next
}
