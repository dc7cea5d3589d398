//! What this workload provides to the common laws (`cc_conformance::laws`).

use cc_conformance::{
    fault::{Fault, Plan},
    laws::{Cut, Laws, Place},
    subject::Subject,
};
use cc_workloads::{
    Ctx, Sink,
    resize::{Job, Output},
};

use super::{
    Resize, corpus,
    fails::{BEFORE, WITHIN, album},
    run_result::{Invocation, RunResult},
};

impl Laws for Resize {
    type Invocation = Invocation;
    type Expected = RunResult;
    type RunResult = RunResult;
    type Pushed = Output;

    fn ordinary() -> Invocation {
        album()
    }

    fn middle() -> Vec<Place> {
        vec![Place::new(corpus::MIDDLE, WITHIN)]
    }

    fn deadly() -> Vec<(Place, u32)> {
        let place = |n| Place::new(format!("medium/{:03}.jpg", n * 15 + 3), WITHIN);
        (0..6).map(|n| (place(n), 1 + u32::from(n % 2 == 0))).collect()
    }

    fn deaths() -> Vec<(String, Place)> {
        let last = format!("medium/{:03}.jpg", corpus::MEDIUM - 1);
        vec![
            ("before_the_first".to_owned(), Place::new("medium/000.jpg", BEFORE)),
            ("within_one_in_the_middle".to_owned(), Place::new(corpus::MIDDLE, WITHIN)),
            ("within_the_last".to_owned(), Place::new(last, WITHIN)),
        ]
    }

    fn jams() -> Vec<(Invocation, Option<usize>)> {
        vec![(Invocation::of("medium"), Some(4))]
    }

    fn breaks() -> Vec<(Invocation, Vec<usize>)> {
        vec![(Invocation::of("tiny"), vec![1, 2, 7, 40])]
    }

    fn cut() -> Vec<Cut<Invocation>> {
        let all = corpus::MEDIUM;
        // Each image passes the failpoint `WITHIN` once; `BEFORE` has the same name.
        let (place, begun) = (Place::new(".jpg", WITHIN), 3..all / 2);
        vec![Cut {
            invocation: Invocation::of("medium"),
            window: 4,
            most: 3,
            place,
            begun,
            all,
            what: "images",
        }]
    }

    fn varied() -> Vec<Invocation> {
        vec![
            Invocation::of("good").at(corpus::path("bad")),
            Invocation::new().at(corpus::path("good/plain.jpg")),
        ]
    }

    fn counted() -> Vec<Invocation> {
        vec![Invocation::of("good"), Invocation::of("bad")]
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
        run_result.outputs.len()
    }

    fn assert_whole(run_result: &RunResult, expected: &RunResult, _: &Invocation) {
        run_result.assert_same(expected);
    }

    fn assert_part(run_result: &RunResult, expected: &RunResult, invocation: &Invocation) {
        run_result.assert_part_of(expected);
        // Thumbnails that go to a folder are not printed.
        assert!(invocation.out.is_none() || run_result.said().is_empty(), "{}", run_result.said());
    }

    fn assert_lacks(run_result: &RunResult, _: &Place) {
        assert!(run_result.outputs.len() < corpus::MEDIUM, "no worker was suspended");
    }
}
