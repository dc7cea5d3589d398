//! What this workload provides to the common laws (`cc_conformance::laws`).

use cc_conformance::{
    fault::Fault,
    laws::{Cut, Laws, Place},
    subject::Subject,
};
use cc_workloads::{
    Ctx, Sink,
    sort::{Job, Output},
};

use super::{
    Sort,
    corpus::{self, ODD_ORDERS, RUNS},
    files::LATE_MERGE,
    invocation::Invocation,
    oracle::Expected,
    run_result::RunResult,
};

/// A job over a part of the corpus, in an order for which the oracle was asked.
pub(super) struct Known {
    invocation: Invocation,
    part: &'static str,
    order: &'static str,
}

fn known(part: &'static str, order: &'static str) -> Known {
    Known { invocation: Invocation::of(part, corpus::flags(order)), part, order }
}

impl Laws for Sort {
    type Invocation = Known;
    type Expected = Expected;
    type RunResult = RunResult;
    type Pushed = Output;

    /// Some lines are equal in this order, and must keep the order of the input.
    fn ordinary() -> Known {
        known("large", "first_field")
    }

    fn middle() -> Vec<Place> {
        vec![Place::new("run", 5), Place::new("merge", 1)]
    }

    /// No task reaches three deaths, independent of which worker has it.
    fn deadly() -> Vec<(Place, u32)> {
        let places = [("large/a", 1 << 20), ("run", 2), ("run", 6), ("merge", 2), ("merge", LATE_MERGE)];
        places.into_iter().map(|(name, from)| (Place::new(name, from), 1)).collect()
    }

    /// `fails.rs` has the cases in which a worker dies once.
    fn deaths() -> Vec<(String, Place)> {
        vec![]
    }

    /// The last chunk, which has a single piece.
    fn late() -> (Place, Place) {
        (Place::new("large/c", 500 << 10), Place::new("large/c", 500 << 10))
    }

    fn breaks() -> Vec<(Known, Vec<usize>)> {
        vec![(known("large", "plain"), vec![1, 3, 13, 14, 20])]
    }

    fn cut() -> Vec<Cut<Known>> {
        let phases = [("run", 0, 1, RUNS), ("merge", LATE_MERGE, RUNS + LATE_MERGE, 25)].into_iter();
        let cut = phases.map(|(name, from, most, all)| {
            let (invocation, place) = (known("large", "plain"), Place::new(name, from));
            let small = |number| usize::try_from(number).expect("it is small");
            let (most, all) = (small(most), small(all));
            Cut { invocation, window: 2, most, place, begun: 0..all * 3 / 4 + 1, all, what: "tasks" }
        });
        cut.collect()
    }

    /// The source of the chunks panics, or that of the merges.
    fn sources() -> Vec<(Known, &'static str)> {
        ["source", "merges"].map(|source| (known("large", "plain"), source)).into()
    }

    fn varied() -> Vec<Known> {
        let some = [("large", "plain"), ("large", "unique_first_fields"), ("odd/empty", "plain")];
        let odd = ODD_ORDERS.map(|order| ("odd/longer-than-the-room", order));
        some.into_iter().chain(odd).map(|(part, order)| known(part, order)).collect()
    }

    /// `sort` has its own cases for a worker that hangs, one per phase, and for a narrow window,
    /// which they combine with much memory.
    fn name(law: &'static str) -> Option<&'static str> {
        match law {
            "sixty_four_workers" => Some("64_workers"),
            "suspended_worker_is_replaced" | "window_of_one" => None,
            _ => Some(law),
        }
    }

    fn with(known: Known, fault: Fault) -> Known {
        Known { invocation: known.invocation.with(fault), ..known }
    }

    fn job(known: &Known) -> Job {
        known.invocation.job()
    }

    fn expected(known: &Known) -> Expected {
        corpus::expected(known.part, known.order)
    }

    fn run(subject: &Subject, known: &Known, ctx: &Ctx, out: &mut dyn Sink<Output>) {
        subject.run::<Self>(&known.invocation.job(), ctx, out);
    }

    fn observe(subject: &Subject, known: &Known, ctx: &Ctx, most: Option<usize>) -> RunResult {
        RunResult::until(subject, &known.invocation, ctx, most, &mut |_| ())
    }

    fn pushes(run_result: &RunResult) -> usize {
        run_result.pushes
    }

    fn assert_whole(run_result: &RunResult, expected: &Expected, _: &Known) {
        run_result.assert(expected);
    }

    fn assert_part(run_result: &RunResult, expected: &Expected, _: &Known) {
        run_result.assert_stopped();
        assert!(expected.out.starts_with(&run_result.out), "the lines are no beginning");
    }

    fn assert_nothing(run_result: &RunResult, _: &Known) {
        assert_eq!((run_result.pushes, &*run_result.out), (0, &b""[..]), "something was done");
    }

    /// A push is a count of lines read, or lines. In models that merge in passes, lines begin after
    /// a known number of pushes.
    fn assert_broken_off(subject: &Subject, run_result: &RunResult, most: usize) {
        assert_eq!(run_result.pushes, most);
        let is_known = subject.facts.merges_in_passes;
        assert!(!is_known || run_result.out.is_empty() == (most as u64 <= RUNS));
    }
}
