//! What this workload provides to the common laws (`cc_conformance::laws`).

use cc_conformance::{
    fault::{Fault, Plan},
    laws::{Cut, Laws, Place},
    subject::Subject,
};
use cc_workloads::{
    Ctx, Sink,
    wordcount::{Job, Output},
};

use super::{
    Wordcount,
    corpus::{self, LARGEST, PLACES},
    run_result::{Invocation, RunResult},
};

impl Laws for Wordcount {
    type Invocation = Invocation;
    type Expected = RunResult;
    type RunResult = RunResult;
    type Pushed = Output;

    fn ordinary() -> Invocation {
        Invocation::of("large")
    }

    fn middle() -> Vec<Place> {
        vec![Place::new(LARGEST, PLACES[1]), Place::new("partition", 1)]
    }

    fn deadly() -> Vec<(Place, u32)> {
        vec![
            (Place::new(LARGEST, PLACES[1]), 2),
            (Place::new("shuffle", 0), 2),
            (Place::new("partition", 1), 1),
            (Place::new("partition", 4), 2),
            (Place::new(SMALL, 0), 1),
        ]
    }

    fn deaths() -> Vec<(String, Place)> {
        let places = [
            ("at_the_first_range", LARGEST, PLACES[0]),
            ("in_the_middle", LARGEST, PLACES[1]),
            ("at_the_last_range", LARGEST, PLACES[2]),
            ("in_the_shuffle", "shuffle", 0),
            ("in_the_first_partition", "partition", 0),
            ("in_a_later_partition", "partition", 3),
        ];
        places.into_iter().map(|(end, name, from)| (end.to_owned(), Place::new(name, from))).collect()
    }

    fn late() -> (Place, Place) {
        (Place::new(SMALL, 0), Place::new(SMALL, 0))
    }

    fn breaks() -> Vec<(Invocation, Vec<usize>)> {
        vec![(Invocation::of("large"), vec![1, 3]), (Invocation::of("small"), vec![2, 5])]
    }

    fn cut() -> Vec<Cut<Invocation>> {
        let invocation = Invocation::of("large").at(corpus::path("large")).at(corpus::path("large"));
        let all = 3 * (corpus::LARGE.0 + 3);
        let (place, begun) = (Place::new(".txt", 0), 1..all * 3 / 4);
        vec![Cut { invocation, window: 4, most: 1, place, begun, all, what: "pieces" }]
    }

    fn sources() -> Vec<(Invocation, &'static str)> {
        vec![(Invocation::of("many"), "source")]
    }

    fn varied() -> Vec<Invocation> {
        ["large", "many", "small"].map(Invocation::of).into()
    }

    /// `wordcount` has its own cases for a worker that hangs, one per phase.
    fn name(law: &'static str) -> Option<&'static str> {
        match law {
            "sixty_four_workers" => Some("64_workers"),
            "suspended_worker_is_replaced" => None,
            _ => Some(law),
        }
    }

    fn with(invocation: Invocation, fault: Fault) -> Invocation {
        invocation.with(fault)
    }

    fn job(invocation: &Invocation) -> Job {
        invocation.job()
    }

    fn expected(invocation: &Invocation) -> RunResult {
        RunResult::reference(&Invocation { faults: Plan::default(), ..invocation.clone() })
    }

    fn run(subject: &Subject, invocation: &Invocation, ctx: &Ctx, out: &mut dyn Sink<Output>) {
        subject.run::<Self>(&invocation.job(), ctx, out);
    }

    fn observe(subject: &Subject, invocation: &Invocation, ctx: &Ctx, most: Option<usize>) -> RunResult {
        RunResult::until(subject, invocation, ctx, most, &mut |_| ())
    }

    fn pushes(run_result: &RunResult) -> usize {
        run_result.pushes
    }

    fn assert_whole(run_result: &RunResult, expected: &RunResult, _: &Invocation) {
        run_result.assert_same(expected);
    }

    fn assert_part(run_result: &RunResult, _: &RunResult, _: &Invocation) {
        assert_eq!(run_result.said, [""; 0]);
    }

    fn assert_nothing(run_result: &RunResult, _: &Invocation) {
        assert_eq!((run_result.pushes, &*run_result.out), (0, ""), "something was done");
    }
}

/// A file with a single range.
const SMALL: &str = "00007.txt";
