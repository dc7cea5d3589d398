//! Laws: the cases that every workload with a job must pass, in every model.
//!
//! After a stop or a Break no more work begins, however full the queues are; what was pushed before
//! is right. A source that panics does not look like the end of the input. The result does not
//! depend on the number of workers. A worker that dies or hangs is replaced, and no output is lost
//! or doubled. The cases are written here once. A workload provides an ordinary job and a way to
//! judge a run.

use std::{
    ops::{ControlFlow, Range},
    process, thread,
    time::{Duration, Instant},
};

use cc_workloads::{Cause, Ctx, Sink};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    case::{Case, Needs},
    failpoint::Failpoint,
    fault::{Action, Fault},
    source::breaks_off,
    stops::{assert_prompt, pushes_once_it_has_asked, stopped_in, stopped_in_a_jam},
    subject::Subject,
    tree,
    workload::Batch,
};

/// What a workload provides to be tested by the laws.
pub trait Laws: Batch {
    /// A job as a user would type it, with its planned faults and the files that it needs.
    type Invocation;
    /// The expected result of a run.
    type Expected;
    /// The actual result of a run.
    type RunResult;
    /// What is pushed to the sink: an output, or what a printer makes of it.
    type Pushed;

    /// A job that has many tasks.
    fn ordinary() -> Self::Invocation;

    /// Places in the middle of the ordinary job: while a task is at one of them, no model has
    /// finished all other tasks.
    fn middle() -> Vec<Place>;

    /// Places in the ordinary job, and how often a task ends its worker there. No task is given up
    /// after that number of deaths.
    fn deadly() -> Vec<(Place, u32)>;

    /// Places in the ordinary job at which a worker dies once: the end of the case's name, and the
    /// place.
    fn deaths() -> Vec<(String, Place)>;

    /// Places in the ordinary job at which a worker hangs.
    fn hangs() -> Vec<Place> {
        Self::middle()
    }

    /// Where a worker hangs, and where the worker that takes over its task waits.
    fn late() -> (Place, Place) {
        let place = || Self::middle().swap_remove(0);
        (place(), place())
    }

    /// Jobs that are run with a stop already requested.
    fn stopped() -> Vec<Self::Invocation> {
        vec![Self::ordinary()]
    }

    /// Jobs whose outputs fill every queue, and the window if it is not the default.
    fn jams() -> Vec<(Self::Invocation, Option<usize>)> {
        vec![(Self::ordinary(), None)]
    }

    /// Jobs, and after how many pushes their sink returns Break.
    fn breaks() -> Vec<(Self::Invocation, Vec<usize>)>;

    /// Jobs that end with a Break, and how much may have begun by then.
    fn cut() -> Vec<Cut<Self::Invocation>>;

    /// Jobs whose source of tasks panics at the second task, and the source's name.
    fn sources() -> Vec<(Self::Invocation, &'static str)> {
        vec![(Self::ordinary(), "source")]
    }

    /// Jobs that are run with few and many workers, and with narrow windows.
    fn varied() -> Vec<Self::Invocation>;

    /// Jobs during which threads are counted.
    fn counted() -> Vec<Self::Invocation> {
        vec![Self::ordinary()]
    }

    /// The name of a law's case, or `None` if the workload has cases of its own instead.
    fn name(law: &'static str) -> Option<&'static str> {
        Some(law)
    }

    /// The same job with one more planned fault.
    fn with(invocation: Self::Invocation, fault: Fault) -> Self::Invocation;

    /// The job, without its faults.
    fn job(invocation: &Self::Invocation) -> Self::Job;

    /// Computes the expected result, with no fault in force, and leaves nothing behind.
    fn expected(invocation: &Self::Invocation) -> Self::Expected;

    /// Runs the job with a sink of the case's own.
    fn run(subject: &Subject, invocation: &Self::Invocation, ctx: &Ctx, out: &mut dyn Sink<Self::Pushed>);

    /// Runs the job with a sink that returns Break at push number `most`, if given.
    fn observe(
        subject: &Subject,
        invocation: &Self::Invocation,
        ctx: &Ctx,
        most: Option<usize>,
    ) -> Self::RunResult;

    /// The number of pushes.
    fn pushes(run_result: &Self::RunResult) -> usize;

    /// Asserts that the result is complete and right.
    fn assert_whole(run_result: &Self::RunResult, expected: &Self::Expected, invocation: &Self::Invocation);

    /// Asserts that the result of a run that ended early is right as far as it goes.
    fn assert_part(run_result: &Self::RunResult, expected: &Self::Expected, invocation: &Self::Invocation);

    /// Asserts that nothing was pushed.
    fn assert_nothing(run_result: &Self::RunResult, _invocation: &Self::Invocation) {
        assert_eq!(Self::pushes(run_result), 0, "something was done");
    }

    /// Asserts how much a run shows that ended with a Break at push number `most`.
    fn assert_broken_off(_subject: &Subject, run_result: &Self::RunResult, most: usize) {
        assert_eq!(Self::pushes(run_result), most);
    }

    /// Asserts that the output of the work at this place is missing.
    fn assert_lacks(_run_result: &Self::RunResult, _place: &Place) {}
}

/// A place in the work: the end of a failpoint's name, and how far the work has come at least.
#[derive(Clone, Debug)]
pub struct Place {
    /// See [`Fault::name`].
    pub name: String,
    /// See [`Fault::from`].
    pub from: u64,
}

impl Place {
    /// The place with this name, at `from` or later.
    pub fn new(name: impl Into<String>, from: u64) -> Self {
        Self { name: name.into(), from }
    }

    /// A fault at this place.
    fn fault(&self, failpoint: &Failpoint, action: Action, times: u32) -> Fault {
        failpoint.fault(&self.name, self.from, action, times)
    }
}

/// A job that ends with a Break, and how many pieces of work may have begun by then.
pub struct Cut<A> {
    /// The job.
    pub invocation: A,
    /// The run's window.
    pub window: usize,
    /// The push at which the sink returns Break.
    pub most: usize,
    /// A failpoint that every piece of work passes once when it begins.
    pub place: Place,
    /// How many pieces may begin.
    pub begun: Range<usize>,
    /// How many pieces the whole job has.
    pub all: usize,
    /// What the pieces are called in the message.
    pub what: &'static str,
}

/// The cases that every workload with a job begins with.
#[must_use]
pub fn of_every_batch<W: Laws>() -> Vec<Case> {
    let case = |law, run: fn(&Subject)| W::name(law).map(|name| Case::new(name, run));
    let of_processes = |law, run| case(law, run).map(|case| case.needs(Needs::Processes));
    let of_watched = |law, run| case(law, run).map(|case| case.needs(Needs::Watched));
    let laws = [
        case("stop_before_the_start", stop_before_the_start::<W>),
        case("stop_while_the_sink_stalls", stop_while_the_sink_stalls::<W>),
        case("stop_by_its_own_sink", stop_by_its_own_sink::<W>),
        case("break_after_some", break_after_some::<W>),
        case("break_ends_the_work", break_ends_the_work::<W>),
        case("panic_in_the_source", panic_in_the_source::<W>),
        case("one_worker", |subject| with_workers::<W>(subject, 1, None)),
        case("three_workers", |subject| with_workers::<W>(subject, 3, None)),
        case("sixty_four_workers", |subject| with_workers::<W>(subject, 64, None)),
        case("window_of_one", |subject| with_workers::<W>(subject, 2, Some(1))),
        case("one_worker_window_of_one", |subject| with_workers::<W>(subject, 1, Some(1))),
        case("no_threads_but_the_models", no_threads_but_the_models::<W>)
            .map(|case| case.needs(Needs::CountedThreads)),
        of_processes("killed_and_stopped", |subject| dies_and_is_stopped::<W>(subject, Action::Kill)),
        of_processes("suspended_and_stopped", |subject| dies_and_is_stopped::<W>(subject, Action::Suspend)),
        of_processes("killed_many_times", |subject| many_die::<W>(subject, Action::Kill)),
        of_processes("aborted_many_times", |subject| many_die::<W>(subject, Action::Abort)),
        of_watched("suspended_worker_is_replaced", suspended_worker_is_replaced::<W>),
        of_watched("late_worker_is_not_believed_twice", late_worker_is_not_believed_twice::<W>),
    ];
    let mut cases: Vec<Case> = laws.into_iter().flatten().map(Case::about_options).collect();
    for (name, action) in [("killed", Action::Kill), ("aborted", Action::Abort)] {
        for (end, place) in W::deaths() {
            let case = move |subject: &Subject| dies_once::<W>(subject, action, &place);
            let case = Case::new(format!("{name}_{end}"), case).needs(Needs::Processes);
            cases.push(case.about_options());
        }
    }
    cases
}

fn stop_before_the_start<W: Laws>(subject: &Subject) {
    for invocation in W::stopped() {
        let ctx = subject.ctx(2);
        ctx.stop.request(Cause::Test);
        let since = Instant::now();
        let run_result = W::observe(subject, &invocation, &ctx, None);
        let took = since.elapsed();
        W::assert_nothing(&run_result, &invocation);
        assert_prompt(took);
    }
}

/// A stop is requested while the sink blocks and every queue is full.
fn stop_while_the_sink_stalls<W: Laws>(subject: &Subject) {
    for (invocation, window) in W::jams() {
        let ctx = in_window(subject, window);
        stopped_in_a_jam(&ctx, |sink| W::run(subject, &invocation, &ctx, sink));
    }
}

/// The sink requests a stop within a push, and still asks for more.
fn stop_by_its_own_sink<W: Laws>(subject: &Subject) {
    for (invocation, window) in W::jams() {
        let ctx = in_window(subject, window);
        let pushes = pushes_once_it_has_asked(&ctx, |sink| W::run(subject, &invocation, &ctx, sink));
        assert_eq!(pushes, 1, "pushed after the request");
    }
}

fn in_window(subject: &Subject, window: Option<usize>) -> Ctx {
    window.map_or_else(|| subject.ctx(2), |window| subject.ctx_with_window(2, window))
}

/// A sink that returns Break is given no more, and what it has is right.
fn break_after_some<W: Laws>(subject: &Subject) {
    for (invocation, pushes) in W::breaks() {
        let expected = W::expected(&invocation);
        for most in pushes {
            let ctx = subject.ctx(2);
            let run_result = W::observe(subject, &invocation, &ctx, Some(most));
            W::assert_part(&run_result, &expected, &invocation);
            W::assert_broken_off(subject, &run_result, most);
            if W::pushes(&run_result) < most {
                // The job has fewer tasks than `most`, so it was complete before the Break.
                W::assert_whole(&run_result, &expected, &invocation);
            } else {
                assert_eq!(ctx.stop.cause(), Some(Cause::Break), "the run was not asked to stop");
            }
        }
    }
}

/// After a Break, no more work begins.
fn break_ends_the_work<W: Laws>(subject: &Subject) {
    for (nth, cut) in W::cut().into_iter().enumerate() {
        let Cut { invocation, window, most, place, begun, all, what } = cut;
        let notes = Failpoint::new(&format!("notes{nth}"));
        let noted = W::with(invocation, place.fault(&notes, Action::Note, u32::MAX));
        let run_result = W::observe(subject, &noted, &subject.ctx_with_window(2, window), Some(most));
        assert_eq!(W::pushes(&run_result), most);
        let hits = notes.hits();
        assert!(begun.contains(&hits), "{hits} of {all} {what} were begun");
    }
}

/// The source of tasks panics, which must not look like the end of the input.
fn panic_in_the_source<W: Laws>(subject: &Subject) {
    for (invocation, source) in W::sources() {
        breaks_off::<W>(subject, &W::job(&invocation), source, 1);
    }
}

/// The result does not depend on the number of workers or on the window.
pub fn with_workers<W: Laws>(subject: &Subject, workers: usize, window: Option<usize>) {
    for invocation in W::varied() {
        let ctx = match window {
            Some(window) => subject.ctx_with_window(workers, window),
            None => subject.ctx(workers),
        };
        let expected = W::expected(&invocation);
        W::assert_whole(&W::observe(subject, &invocation, &ctx, None), &expected, &invocation);
    }
}

/// Neither the kernels nor their libraries start threads.
fn no_threads_but_the_models<W: Laws>(subject: &Subject) {
    let most = subject.threads(2);
    for invocation in W::counted() {
        let mut count = Threads(0);
        W::run(subject, &invocation, &subject.ctx(2), &mut count);
        assert!((1..=most).contains(&count.0), "{} threads instead of {most}", count.0);
    }
}

/// The maximum number of threads of this process at a push.
struct Threads(usize);

impl<T> Sink<T> for Threads {
    fn push(&mut self, _: T) -> ControlFlow<()> {
        self.0 = self.0.max(tree::threads(process::id()).len());
        ControlFlow::Continue(())
    }
}

/// A worker dies once, and the output does not show it.
pub fn dies_once<W: Laws>(subject: &Subject, action: Action, place: &Place) {
    let failpoint = Failpoint::new("failpoint");
    hit::<W>(subject, place.fault(&failpoint, action, 1));
    assert_eq!(failpoint.hits(), 1, "no worker died");
}

/// Runs the ordinary job with this fault; the output does not show it.
fn hit<W: Laws>(subject: &Subject, fault: Fault) {
    let invocation = W::with(W::ordinary(), fault);
    let expected = W::expected(&invocation);
    W::assert_whole(&W::observe(subject, &invocation, &subject.ctx(2), None), &expected, &invocation);
}

/// Workers die at many places, at some of them more than once.
fn many_die<W: Laws>(subject: &Subject, action: Action) {
    let places = W::deadly();
    let failpoints: Vec<Failpoint> =
        (0..places.len()).map(|n| Failpoint::new(&format!("failpoint{n}"))).collect();
    let invocation =
        failpoints.iter().zip(&places).fold(W::ordinary(), |invocation, (failpoint, (place, times))| {
            W::with(invocation, place.fault(failpoint, action, *times))
        });
    let expected = W::expected(&invocation);
    W::assert_whole(&W::observe(subject, &invocation, &subject.ctx(2), None), &expected, &invocation);
    let deaths = places.iter().map(|(_, times)| *times as usize).sum::<usize>();
    assert_eq!(failpoints.iter().map(Failpoint::hits).sum::<usize>(), deaths);
}

/// A stop while a dead worker is being replaced, or while a worker hangs.
fn dies_and_is_stopped<W: Laws>(subject: &Subject, action: Action) {
    for (nth, place) in W::middle().into_iter().enumerate() {
        let failpoint = Failpoint::halting(&format!("failpoint{nth}"));
        let invocation = W::with(W::ordinary(), place.fault(&failpoint, action, 1));
        let expected = W::expected(&invocation);
        let is_down = |pid| {
            if action == Action::Suspend {
                tree::wait_until_stopped(pid);
            }
        };
        let run = |ctx: &Ctx| W::observe(subject, &invocation, ctx, None);
        let run_result = stopped_in(&failpoint, &subject.ctx(2), is_down, run);
        W::assert_part(&run_result, &expected, &invocation);
        if action == Action::Suspend {
            W::assert_lacks(&run_result, &place);
        }
    }
}

fn suspended_worker_is_replaced<W: Laws>(subject: &Subject) {
    for (nth, place) in W::hangs().into_iter().enumerate() {
        // The models notice within two seconds; the rest is for the work, in a debug build on a
        // busy machine.
        replaced::<W>(subject, &format!("failpoint{nth}"), &place, Duration::from_secs(10));
    }
}

/// A worker that hangs is noticed in time, and other workers do its tasks.
pub fn replaced<W: Laws>(subject: &Subject, failpoint: &str, place: &Place, within: Duration) {
    let failpoint = Failpoint::new(failpoint);
    let since = Instant::now();
    hit::<W>(subject, place.fault(&failpoint, Action::Suspend, 1));
    assert_eq!(failpoint.hits(), 1, "no worker was suspended");
    assert!(since.elapsed() < within, "noticed after {:?}", since.elapsed());
}

/// A worker hangs, is replaced, and then goes on: its late results are not shown a second time.
fn late_worker_is_not_believed_twice<W: Laws>(subject: &Subject) {
    let (suspended, retried) = W::late();
    let failpoint = Failpoint::halting("failpoint");
    let gate = Failpoint::halting("gate");
    let invocation = W::with(W::ordinary(), suspended.fault(&failpoint, Action::Suspend, 1));
    // The worker that takes over the task, once the first is suspected, waits until the first has
    // been woken.
    let invocation = W::with(invocation, retried.fault(&gate, Action::Block, 1));
    let expected = W::expected(&invocation);
    let run_result = thread::scope(|scope| {
        let (failpoint, gate) = (&failpoint, &gate);
        scope.spawn(move || {
            let suspended = failpoint.reached();
            let _ = gate.reached();
            // The model may have ended the suspended worker meanwhile.
            let pid = Pid::from_raw(suspended.cast_signed()).expect("a process has a number");
            let _ = kill_process(pid, Signal::CONT);
            gate.open();
        });
        W::observe(subject, &invocation, &subject.ctx(2), None)
    });
    W::assert_whole(&run_result, &expected, &invocation);
}
