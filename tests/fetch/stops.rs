//! Early ends that are particular to `fetch`: a stop waits neither for a server nor for a name
//! lookup.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use cc_conformance::{
    case::Case,
    failpoint::{Failpoint, fifo},
    fault::{Action, Fault},
    stops::assert_prompt,
    subject::Subject,
    tree,
};
use cc_peers::origin::{Origin, Settings};
use cc_workloads::{Cause, Ctx, fetch::Failure};

use super::{
    origin,
    run_result::{Invocation, RunResult},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("stop_in_flight", in_flight),
        Case::new("stop_in_the_middle_of_bodies", in_bodies),
        Case::new("stop_while_told_to_come_back_later", between_attempts),
        Case::new("stop_in_a_name_lookup", in_a_lookup),
        Case::new("a_name_lookup_that_is_not_answered_times_out", unanswered_lookup),
        Case::new("results_come_as_they_are_completed", as_they_are_completed),
    ]
}

/// Runs while another thread requests a stop once `until` returns. Returns the time from the
/// request to the end of the run.
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

/// A job whose timeout is longer than any stop may take.
pub(super) fn patient(origin: &Origin, paths: &[&str]) -> Invocation {
    Invocation::of(origin, paths.iter().copied()).but(|settings| settings.timeout = Duration::from_secs(60))
}

fn stopped_at_peak(subject: &Subject, path: &str, peak: usize) {
    let origin = origin(Settings::default());
    let ctx = subject.ctx(2);
    let peak = if subject.facts.is_reference { 1 } else { peak };
    let invocation = patient(&origin, &vec![path; 40]);
    let took = stopped_when(
        &ctx,
        || origin.wait_for_peak(peak),
        || {
            let run_result = RunResult::of(subject, &invocation, &ctx);
            assert_eq!((run_result.outputs, run_result.error), (vec![], None));
        },
    );
    assert_prompt(took);
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
        RunResult::of(subject, &patient(&origin, &["/limited/1"]), &ctx);
    });
    assert_prompt(took);
}

/// A URL with a host whose lookup waits at the failpoint, and the fault for that. When the
/// failpoint opens, the lookup fails without asking a server, because a part of the name is too
/// long.
fn unanswered(failpoint: &Failpoint) -> (String, Fault) {
    let host = format!("{}.test", "a".repeat(64));
    (format!("http://{host}/"), failpoint.fault(&format!("lookup {host}"), 0, Action::Block, 1000))
}

fn in_a_lookup(subject: &Subject) {
    let (ctx, failpoint) = (subject.ctx(2), Failpoint::halting("failpoint"));
    let (url, fault) = unanswered(&failpoint);
    let invocation =
        Invocation::urls([url]).but(|settings| settings.timeout = Duration::from_secs(60)).with(fault);
    let reached = || _ = failpoint.reached();
    let took = stopped_when(&ctx, reached, || {
        let run_result = RunResult::of(subject, &invocation, &ctx);
        assert_eq!((run_result.outputs, run_result.error), (vec![], None));
    });
    assert_prompt(took);
    // Lets the thread of the lookup end, as it does when the system answers late.
    failpoint.open();
}

fn unanswered_lookup(subject: &Subject) {
    let (origin, failpoint) = (origin(Settings::default()), Failpoint::new("failpoint"));
    fifo(Path::new("failpoint/gate"));
    let (url, fault) = unanswered(&failpoint);
    for (timeout, deadline, why) in [(200, 60_000, Failure::TimedOut), (60_000, 400, Failure::Deadline)] {
        let (timeout, deadline) = (Duration::from_millis(timeout), Duration::from_millis(deadline));
        let plain = format!("http://{}/plain/1", origin.address());
        let invocation = Invocation::urls([plain, url.clone()]).with(fault.clone()).but(|settings| {
            (settings.timeout, settings.deadline, settings.retries) = (timeout, Some(deadline), 0);
        });
        let run_result = RunResult::whole(subject, &invocation);
        let failed: Vec<_> =
            run_result.outputs.iter().filter_map(|output| output.outcome.as_ref().err()).collect();
        assert_eq!((failed, run_result.totals.fetched), (vec![&why], 1));
    }
    assert!(failpoint.hits() >= 2, "the name was not looked up");
    failpoint.open();
}

/// The sink returns Break at the first result; the others never come.
fn as_they_are_completed(subject: &Subject) {
    let origin = origin(Settings::default());
    let ctx = subject.ctx(2);
    let invocation = patient(&origin, &["/plain/1", "/silent/2", "/silent/3"]);
    let run_result = RunResult::until(subject, &invocation, &ctx, Some(1));
    assert_eq!(run_result.outputs[0].index, 0);
}
