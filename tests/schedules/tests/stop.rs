//! `Stop` under random schedules: hooks are registered and dropped while a stop is requested.

use std::process::ExitCode;

use cc_schedules::{
    Case, Cause, Stop, run,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use shuttle::thread;

/// Number of schedules. It is enough to find each mistake that was tried: a hook registered after
/// the check for a stop, and a request that is visible before its cause.
const SCHEDULES: usize = 5_000;

fn main() -> ExitCode {
    let cases: &[Case] = &[
        ("stop::a_hook_is_called_once_however_late_it_comes", a_hook_is_called_once_however_late_it_comes),
        ("stop::a_dropped_hook_is_called_at_most_once", a_dropped_hook_is_called_at_most_once),
        ("stop::every_reader_sees_the_first_cause", every_reader_sees_the_first_cause),
        ("stop::a_hook_may_register_another", a_hook_may_register_another),
    ];
    run(cases, SCHEDULES)
}

/// A counter, and a hook that counts with it.
fn counter() -> (Arc<AtomicUsize>, impl FnOnce() + Send + Clone + 'static) {
    let count = Arc::new(AtomicUsize::new(0));
    let counts = count.clone();
    let hook = move || {
        counts.fetch_add(1, Ordering::SeqCst);
    };
    (count, hook)
}

fn request(stop: &Stop, why: Cause) -> thread::JoinHandle<()> {
    let stop = stop.clone();
    thread::spawn(move || stop.request(why))
}

/// A registration races with a request: one of them calls the hook, and not both.
fn a_hook_is_called_once_however_late_it_comes() {
    let (stop, (count, hook)) = (Stop::new(), counter());
    let requests = [request(&stop, Cause::Test), request(&stop, Cause::Break)];
    let _kept = stop.on_request(hook);
    requests.into_iter().for_each(|request| request.join().expect("no request panics"));
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

/// Dropping a registration races with a request: the hook is called at most once, and another hook
/// in any case.
fn a_dropped_hook_is_called_at_most_once() {
    let (stop, (count, hook), (others, other)) = (Stop::new(), counter(), counter());
    let (dropped, _kept) = (stop.on_request(hook), stop.on_request(other));
    let request = request(&stop, Cause::Test);
    drop(dropped);
    request.join().expect("no request panics");
    assert!(count.load(Ordering::SeqCst) <= 1);
    assert_eq!(others.load(Ordering::SeqCst), 1);
}

/// A stop that is visible has a cause, which never changes.
fn every_reader_sees_the_first_cause() {
    let stop = Stop::new();
    let requests = [request(&stop, Cause::Test), request(&stop, Cause::Deadline)];
    if stop.requested() {
        let cause = stop.cause();
        assert!(cause.is_some());
        requests.into_iter().for_each(|request| request.join().expect("no request panics"));
        assert_eq!(stop.cause(), cause);
    }
}

/// A hook is not called under the lock: it may check the stop, and register and drop another hook.
fn a_hook_may_register_another() {
    let (stop, (count, hook)) = (Stop::new(), counter());
    let (inner, request) = (stop.clone(), request(&stop, Cause::Test));
    let _kept = stop.on_request(move || {
        assert!(inner.requested());
        drop(inner.on_request(hook));
    });
    request.join().expect("no request panics");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}
