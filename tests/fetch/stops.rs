//! Early ends: nothing more is wanted, or somebody asks for a stop. Nobody waits for a server after that.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use cc_conformance::{
    case::Case,
    fault::{Action, Fault},
    stops::{prompt, pushes_once_it_has_asked, stopped_in_a_jam},
    subject::Subject,
    trap::{Trap, fifo},
    tree,
};
use cc_peers::origin::{Origin, Settings};
use cc_workloads::{Cause, Ctx, fetch::Failure};

use super::{
    Fetch,
    observe::{Asked, Observed},
    origin,
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("stop_in_flight", in_flight),
        Case::new("stop_in_the_middle_of_bodies", in_bodies),
        Case::new("stop_while_told_to_come_back_later", between_attempts),
        Case::new("stop_in_a_name_lookup", in_a_lookup),
        Case::new("a_name_lookup_that_is_not_answered_times_out", unanswered_lookup),
        Case::new("stop_before_the_start", before_the_start),
        Case::new("stop_while_the_sink_stalls", in_a_jam),
        Case::new("stop_by_its_own_sink", by_its_own_sink),
        Case::new("break_after_some", break_after_some),
        Case::new("results_come_as_they_are_completed", as_they_are_completed),
    ]
}

/// Does a run beside a thread that asks it to stop when `until` returns; how long it went on after that.
pub(super) fn stopped_when(ctx: &Ctx, until: impl FnOnce() + Send, run: impl FnOnce()) -> Duration {
    thread::scope(|scope| {
        let stopper = scope.spawn(|| {
            until();
            let since = Instant::now();
            ctx.stop.request(Cause::Test);
            since
        });
        run();
        let ended = Instant::now();
        ended - stopper.join().expect("the stopper does not panic")
    })
}

/// Longer than any stop may take.
fn patient(origin: &Origin, paths: &[&str]) -> Asked {
    Asked::of(origin, paths.iter().copied()).but(|settings| settings.timeout = Duration::from_secs(60))
}

fn stopped_at_peak(subject: &Subject, path: &str, peak: usize) {
    let origin = origin(Settings::default());
    let ctx = subject.ctx(2);
    let peak = if subject.facts.is_reference { 1 } else { peak };
    let asked = patient(&origin, &vec![path; 40]);
    let took = stopped_when(
        &ctx,
        || origin.wait_for_peak(peak),
        || {
            let observed = Observed::of(subject, &asked, &ctx);
            assert_eq!((observed.outputs, observed.error), (vec![], None));
        },
    );
    prompt(took);
}

fn in_flight(subject: &Subject) {
    stopped_at_peak(subject, "/silent/1", 32);
}

fn in_bodies(subject: &Subject) {
    stopped_at_peak(subject, "/trickle/1", 32);
}

fn between_attempts(subject: &Subject) {
    let origin = origin(Settings::default());
    let ctx = subject.ctx(2);
    let waits = || {
        origin.wait_for_peak(1);
        tree::wait_until_quiet();
    };
    let took = stopped_when(&ctx, waits, || {
        Observed::of(subject, &patient(&origin, &["/limited/1"]), &ctx);
    });
    prompt(took);
}

/// A host whose lookup waits at the trap. Once that is open, the system has no address for it, and
/// need not ask anyone: a part of it is too long.
fn unanswered(trap: &Trap) -> (String, Fault) {
    let host = format!("{}.test", "a".repeat(64));
    (format!("http://{host}/"), trap.fault(&format!("lookup {host}"), 0, Action::Block, 1000))
}

fn in_a_lookup(subject: &Subject) {
    let (ctx, trap) = (subject.ctx(2), Trap::halting("trap"));
    let (url, fault) = unanswered(&trap);
    let asked = Asked::urls([url]).but(|settings| settings.timeout = Duration::from_secs(60)).with(fault);
    let reached = || _ = trap.reached();
    let took = stopped_when(&ctx, reached, || {
        let observed = Observed::of(subject, &asked, &ctx);
        assert_eq!((observed.outputs, observed.error), (vec![], None));
    });
    prompt(took);
    // The thread that looks up the name ends now, as it does where the system answers after all.
    trap.open();
}

fn unanswered_lookup(subject: &Subject) {
    let (origin, trap) = (origin(Settings::default()), Trap::new("trap"));
    fifo(Path::new("trap/gate"));
    let (url, fault) = unanswered(&trap);
    for (timeout, deadline, why) in [(200, 60_000, Failure::TimedOut), (60_000, 400, Failure::Deadline)] {
        let (timeout, deadline) = (Duration::from_millis(timeout), Duration::from_millis(deadline));
        let plain = format!("http://{}/plain/1", origin.address());
        let asked = Asked::urls([plain, url.clone()]).with(fault.clone()).but(|settings| {
            (settings.timeout, settings.deadline, settings.retries) = (timeout, Some(deadline), 0);
        });
        let observed = Observed::whole(subject, &asked);
        let failed: Vec<_> =
            observed.outputs.iter().filter_map(|output| output.outcome.as_ref().err()).collect();
        assert_eq!((failed, observed.totals.fetched), (vec![&why], 1));
    }
    assert!(trap.strikes() >= 2, "the name was not looked up");
    trap.open();
}

fn before_the_start(subject: &Subject) {
    let origin = origin(Settings::default());
    let ctx = subject.ctx(2);
    ctx.stop.request(Cause::Test);
    let since = Instant::now();
    let observed = Observed::of(subject, &patient(&origin, &["/plain/1", "x"]), &ctx);
    assert_eq!((observed.outputs, origin.stats().requests), (vec![], 0));
    prompt(since.elapsed());
}

fn in_a_jam(subject: &Subject) {
    let origin = origin(Settings::default());
    let ctx = subject.ctx(2);
    let asked = patient(&origin, &["/plain/1"; 200]);
    stopped_in_a_jam(&ctx, |sink| subject.run::<Fetch>(&asked.0, &ctx, sink));
}

fn by_its_own_sink(subject: &Subject) {
    let origin = origin(Settings::default());
    let ctx = subject.ctx(2);
    let asked = patient(&origin, &["/plain/1"; 100]);
    let pushes = pushes_once_it_has_asked(&ctx, |sink| subject.run::<Fetch>(&asked.0, &ctx, sink));
    assert_eq!(pushes, 1, "pushed after the request");
}

fn break_after_some(subject: &Subject) {
    let origin = origin(Settings::default());
    for most in [1, 5] {
        let ctx = subject.ctx(2);
        let observed = Observed::until(subject, &patient(&origin, &["/plain/1"; 100]), &ctx, Some(most));
        assert_eq!((observed.outputs.len(), ctx.stop.cause()), (most, Some(Cause::Break)));
    }
}

/// The first result is enough, and the others never come.
fn as_they_are_completed(subject: &Subject) {
    let origin = origin(Settings::default());
    let ctx = subject.ctx(2);
    let asked = patient(&origin, &["/plain/1", "/silent/2", "/silent/3"]);
    let observed = Observed::until(subject, &asked, &ctx, Some(1));
    assert_eq!(observed.outputs[0].index, 0);
}
