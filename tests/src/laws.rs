//! Laws: what every workload that has a job owes its user, in every model.
//!
//! Nothing is done after a stop or a Break, however full the queues are; what came until then is
//! right; an input that breaks off is no end; the result does not depend on the number of workers;
//! and a worker that dies or hangs is replaced, with nothing lost or doubled. The cases are written
//! here once. A workload says what an ordinary job is, and what it has seen of a run.

use std::{
    ops::{ControlFlow, Range},
    process, thread,
    time::{Duration, Instant},
};

use cc_workloads::{Cause, Ctx, Sink};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    case::{Case, Needs},
    fault::{Action, Fault},
    source::breaks_off,
    stops::{prompt, pushes_once_it_has_asked, stopped_in, stopped_in_a_jam},
    subject::Subject,
    trap::Trap,
    tree,
    workload::Batch,
};

/// What a workload says about itself, so that the laws can be asked of it.
pub trait Laws: Batch {
    /// A job as a user would type it, with the faults on its way, and what must be there meanwhile.
    type Asked;
    /// What a run of it must show.
    type Expected;
    /// What a run has shown.
    type Observed;
    /// What the sink of a run is given: an output, or what a printer makes of it.
    type Pushed;

    /// A job that has many tasks.
    fn ordinary() -> Self::Asked;

    /// Places in the middle of the ordinary job. No model has finished all others when a task is at
    /// one of them.
    fn middle() -> Vec<Place>;

    /// Places in the ordinary job at which a task ends its worker so often. None is given up.
    fn deadly() -> Vec<(Place, u32)>;

    /// Where a worker dies once, in the ordinary job: the end of the case's name, and the place.
    fn deaths() -> Vec<(String, Place)>;

    /// Where a worker hangs, in the ordinary job.
    fn hangs() -> Vec<Place> {
        Self::middle()
    }

    /// Where a worker hangs, and where another one comes when the first is taken for dead.
    fn late() -> (Place, Place) {
        let place = || Self::middle().swap_remove(0);
        (place(), place())
    }

    /// Jobs that begin with a stop.
    fn stopped() -> Vec<Self::Asked> {
        vec![Self::ordinary()]
    }

    /// Jobs whose outputs fill every queue, and the window.
    fn jams() -> Vec<(Self::Asked, Option<usize>)> {
        vec![(Self::ordinary(), None)]
    }

    /// Jobs, and after how many pushes their sink has enough.
    fn breaks() -> Vec<(Self::Asked, Vec<usize>)>;

    /// Jobs that are seen to end with a Break.
    fn cut() -> Vec<Cut<Self::Asked>>;

    /// Jobs whose source of tasks panics at the second one, and the source's name.
    fn sources() -> Vec<(Self::Asked, &'static str)> {
        vec![(Self::ordinary(), "source")]
    }

    /// Jobs that are done by few and many workers, and through narrow windows.
    fn varied() -> Vec<Self::Asked>;

    /// Jobs whose threads are counted.
    fn counted() -> Vec<Self::Asked> {
        vec![Self::ordinary()]
    }

    /// The name of a law's case, or nothing if the workload has cases of its own instead.
    fn name(law: &'static str) -> Option<&'static str> {
        Some(law)
    }

    /// The same job with one more fault.
    fn with(asked: Self::Asked, fault: Fault) -> Self::Asked;

    /// The job alone.
    fn job(asked: &Self::Asked) -> Self::Job;

    /// What a run must show. Faults do not strike meanwhile, and nothing is left of it.
    fn expected(asked: &Self::Asked) -> Self::Expected;

    /// Runs it with a sink of the case's own.
    fn run(subject: &Subject, asked: &Self::Asked, ctx: &Ctx, out: &mut dyn Sink<Self::Pushed>);

    /// Runs it with a sink that wants `most` pushes, if not all.
    fn observe(subject: &Subject, asked: &Self::Asked, ctx: &Ctx, most: Option<usize>) -> Self::Observed;

    /// How often something was pushed.
    fn pushes(observed: &Self::Observed) -> usize;

    /// Panics unless all of it is there, and right.
    fn assert_whole(observed: &Self::Observed, expected: &Self::Expected, asked: &Self::Asked);

    /// Panics unless what there is of it is right, in a run that ended early.
    fn assert_part(observed: &Self::Observed, expected: &Self::Expected, asked: &Self::Asked);

    /// Panics if something was done.
    fn assert_nothing(observed: &Self::Observed, _asked: &Self::Asked) {
        assert_eq!(Self::pushes(observed), 0, "something was done");
    }

    /// Panics if a run that ended with this push shows too little, or too much.
    fn assert_broken_off(_subject: &Subject, observed: &Self::Observed, most: usize) {
        assert_eq!(Self::pushes(observed), most);
    }

    /// Panics if what was to be done here is there.
    fn assert_lacks(_observed: &Self::Observed, _place: &Place) {}
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
    /// This place.
    pub fn new(name: impl Into<String>, from: u64) -> Self {
        Self { name: name.into(), from }
    }

    /// A fault at this place.
    fn fault(&self, trap: &Trap, action: Action, times: u32) -> Fault {
        trap.fault(&self.name, self.from, action, times)
    }
}

/// A job that ends with a Break, and how much of it may have begun by then.
pub struct Cut<A> {
    /// The job.
    pub asked: A,
    /// Its window.
    pub window: usize,
    /// The Break comes with this push.
    pub most: usize,
    /// A failpoint that is passed by everything that is begun.
    pub place: Place,
    /// How much is begun.
    pub begun: Range<usize>,
    /// How much there is of it.
    pub all: usize,
    /// What it is.
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
    for asked in W::stopped() {
        let ctx = subject.ctx(2);
        ctx.stop.request(Cause::Test);
        let since = Instant::now();
        let observed = W::observe(subject, &asked, &ctx, None);
        let took = since.elapsed();
        W::assert_nothing(&observed, &asked);
        prompt(took);
    }
}

/// A stop requested while the sink takes nothing, and every queue is full.
fn stop_while_the_sink_stalls<W: Laws>(subject: &Subject) {
    for (asked, window) in W::jams() {
        let ctx = in_window(subject, window);
        stopped_in_a_jam(&ctx, |sink| W::run(subject, &asked, &ctx, sink));
    }
}

/// A stop requested from within the push, which goes on wanting more.
fn stop_by_its_own_sink<W: Laws>(subject: &Subject) {
    for (asked, window) in W::jams() {
        let ctx = in_window(subject, window);
        let pushes = pushes_once_it_has_asked(&ctx, |sink| W::run(subject, &asked, &ctx, sink));
        assert_eq!(pushes, 1, "pushed after the request");
    }
}

fn in_window(subject: &Subject, window: Option<usize>) -> Ctx {
    window.map_or_else(|| subject.ctx(2), |window| subject.ctx_with_window(2, window))
}

/// A sink that has enough after some pushes is given no more, and what it has is right.
fn break_after_some<W: Laws>(subject: &Subject) {
    for (asked, pushes) in W::breaks() {
        let expected = W::expected(&asked);
        for most in pushes {
            let ctx = subject.ctx(2);
            let observed = W::observe(subject, &asked, &ctx, Some(most));
            W::assert_part(&observed, &expected, &asked);
            W::assert_broken_off(subject, &observed, most);
            if W::pushes(&observed) < most {
                // Tasks so large that there are fewer of them.
                W::assert_whole(&observed, &expected, &asked);
            } else {
                assert_eq!(ctx.stop.cause(), Some(Cause::Break), "the run was not asked to stop");
            }
        }
    }
}

/// After a Break, no more is begun.
fn break_ends_the_work<W: Laws>(subject: &Subject) {
    for (nth, cut) in W::cut().into_iter().enumerate() {
        let Cut { asked, window, most, place, begun, all, what } = cut;
        let notes = Trap::new(&format!("notes{nth}"));
        let noted = W::with(asked, place.fault(&notes, Action::Note, u32::MAX));
        let observed = W::observe(subject, &noted, &subject.ctx_with_window(2, window), Some(most));
        assert_eq!(W::pushes(&observed), most);
        let strikes = notes.strikes();
        assert!(begun.contains(&strikes), "{strikes} of {all} {what} were begun");
    }
}

/// What makes the tasks breaks off, which must not look like their end.
fn panic_in_the_source<W: Laws>(subject: &Subject) {
    for (asked, source) in W::sources() {
        breaks_off::<W>(subject, &W::job(&asked), source, 1);
    }
}

/// However many workers there are, and however few tasks may be on their way.
pub fn with_workers<W: Laws>(subject: &Subject, workers: usize, window: Option<usize>) {
    for asked in W::varied() {
        let ctx = match window {
            Some(window) => subject.ctx_with_window(workers, window),
            None => subject.ctx(workers),
        };
        let expected = W::expected(&asked);
        W::assert_whole(&W::observe(subject, &asked, &ctx, None), &expected, &asked);
    }
}

/// The kernels, and what they are made of, start no threads of their own.
fn no_threads_but_the_models<W: Laws>(subject: &Subject) {
    let most = subject.threads(2);
    for asked in W::counted() {
        let mut count = Threads(0);
        W::run(subject, &asked, &subject.ctx(2), &mut count);
        assert!((1..=most).contains(&count.0), "{} threads instead of {most}", count.0);
    }
}

/// The most threads that this process has had at a push.
struct Threads(usize);

impl<T> Sink<T> for Threads {
    fn push(&mut self, _: T) -> ControlFlow<()> {
        self.0 = self.0.max(tree::threads(process::id()).len());
        ControlFlow::Continue(())
    }
}

/// A worker dies once, and the output does not show it.
pub fn dies_once<W: Laws>(subject: &Subject, action: Action, place: &Place) {
    let trap = Trap::new("trap");
    struck::<W>(subject, place.fault(&trap, action, 1));
    assert_eq!(trap.strikes(), 1, "no worker died");
}

/// An ordinary run with this fault, which the output does not show.
fn struck<W: Laws>(subject: &Subject, fault: Fault) {
    let asked = W::with(W::ordinary(), fault);
    let expected = W::expected(&asked);
    W::assert_whole(&W::observe(subject, &asked, &subject.ctx(2), None), &expected, &asked);
}

/// Many places end their worker, some of them more than once.
fn many_die<W: Laws>(subject: &Subject, action: Action) {
    let places = W::deadly();
    let traps: Vec<Trap> = (0..places.len()).map(|n| Trap::new(&format!("trap{n}"))).collect();
    let asked = traps.iter().zip(&places).fold(W::ordinary(), |asked, (trap, (place, times))| {
        W::with(asked, place.fault(trap, action, *times))
    });
    let expected = W::expected(&asked);
    W::assert_whole(&W::observe(subject, &asked, &subject.ctx(2), None), &expected, &asked);
    let deaths = places.iter().map(|(_, times)| *times as usize).sum::<usize>();
    assert_eq!(traps.iter().map(Trap::strikes).sum::<usize>(), deaths);
}

/// A stop while a dead worker is being replaced, or one hangs.
fn dies_and_is_stopped<W: Laws>(subject: &Subject, action: Action) {
    for (nth, place) in W::middle().into_iter().enumerate() {
        let trap = Trap::halting(&format!("trap{nth}"));
        let asked = W::with(W::ordinary(), place.fault(&trap, action, 1));
        let expected = W::expected(&asked);
        let is_down = |pid| {
            if action == Action::Suspend {
                tree::wait_until_stopped(pid);
            }
        };
        let run = |ctx: &Ctx| W::observe(subject, &asked, ctx, None);
        let observed = stopped_in(&trap, &subject.ctx(2), is_down, run);
        W::assert_part(&observed, &expected, &asked);
        if action == Action::Suspend {
            W::assert_lacks(&observed, &place);
        }
    }
}

fn suspended_worker_is_replaced<W: Laws>(subject: &Subject) {
    for (nth, place) in W::hangs().into_iter().enumerate() {
        // Two seconds to notice; the rest is the work, in a dev build on a busy machine.
        replaced::<W>(subject, &format!("trap{nth}"), &place, Duration::from_secs(10));
    }
}

/// A worker that hangs is noticed in time, and what it had is done by others.
pub fn replaced<W: Laws>(subject: &Subject, trap: &str, place: &Place, within: Duration) {
    let trap = Trap::new(trap);
    let since = Instant::now();
    struck::<W>(subject, place.fault(&trap, Action::Suspend, 1));
    assert_eq!(trap.strikes(), 1, "no worker was suspended");
    assert!(since.elapsed() < within, "noticed after {:?}", since.elapsed());
}

/// A worker that hangs and then goes on: its late results are not shown a second time.
fn late_worker_is_not_believed_twice<W: Laws>(subject: &Subject) {
    let ((suspended, tried), trap, gate) = (W::late(), Trap::halting("trap"), Trap::halting("gate"));
    let asked = W::with(W::ordinary(), suspended.fault(&trap, Action::Suspend, 1));
    // The second to try the task, after the first is suspected, waits until the first was woken.
    let asked = W::with(asked, tried.fault(&gate, Action::Block, 1));
    let expected = W::expected(&asked);
    let observed = thread::scope(|scope| {
        let (trap, gate) = (&trap, &gate);
        scope.spawn(move || {
            let suspended = trap.reached();
            let _ = gate.reached();
            // It may have been ended meanwhile, which is a model's right.
            let pid = Pid::from_raw(suspended.cast_signed()).expect("a process has a number");
            let _ = kill_process(pid, Signal::CONT);
            gate.open();
        });
        W::observe(subject, &asked, &subject.ctx(2), None)
    });
    W::assert_whole(&observed, &expected, &asked);
}
