//! What this workload provides to the common laws (`cc_conformance::laws`).

use cc_conformance::{
    fault::Fault,
    laws::{Cut, Laws, Place},
    subject::Subject,
};
use cc_workloads::{
    Ctx, Sink,
    mandelbrot::{Job, Output},
};

use super::{
    Mandelbrot,
    fails::{LAST, MIDDLE, name, whole},
    run_result::{Invocation, RunResult, tiled, tiles, view},
    stops::long,
};

impl Laws for Mandelbrot {
    type Invocation = Invocation;
    type Expected = RunResult;
    type RunResult = RunResult;
    type Pushed = Output;

    fn ordinary() -> Invocation {
        Invocation::from(&whole())
    }

    fn middle() -> Vec<Place> {
        vec![Place::new(name(MIDDLE), 0)]
    }

    fn deadly() -> Vec<(Place, u32)> {
        (0..6).map(|n| (Place::new(name(n * 17 + 3), 0), 1 + u32::from(n % 2 == 0))).collect()
    }

    fn deaths() -> Vec<(String, Place)> {
        let places = [("first", 0), ("middle", MIDDLE), ("last", LAST)].into_iter();
        places.map(|(place, tile)| (format!("in_the_{place}_tile"), Place::new(name(tile), 0))).collect()
    }

    fn stopped() -> Vec<Invocation> {
        vec![Invocation::from(&long())]
    }

    fn jams() -> Vec<(Invocation, Option<usize>)> {
        [tiled(view(120, 100), 1, 1), view(300, 200)].iter().map(|view| (view.into(), None)).collect()
    }

    fn breaks() -> Vec<(Invocation, Vec<usize>)> {
        vec![(Invocation::from(&tiled(view(64, 48), 1, 1)), vec![1, 2, 7, 40])]
    }

    fn cut() -> Vec<Cut<Invocation>> {
        let all = usize::try_from(tiles(&long())).expect("it is small");
        let (place, begun) = (Place::new("", 0), 3..all / 2);
        vec![Cut {
            invocation: Invocation::from(&long()),
            window: 4,
            most: 3,
            place,
            begun,
            all,
            what: "tiles",
        }]
    }

    fn varied() -> Vec<Invocation> {
        [view(300, 200), tiled(view(30, 20), 1, 1), view(1, 1)].iter().map(Invocation::from).collect()
    }

    fn counted() -> Vec<Invocation> {
        vec![Invocation::from(&view(300, 200))]
    }

    fn with(invocation: Invocation, fault: Fault) -> Invocation {
        invocation.with(fault)
    }

    fn job(invocation: &Invocation) -> Job {
        Job::new(invocation.view.clone())
    }

    fn expected(invocation: &Invocation) -> RunResult {
        RunResult::reference(&invocation.view)
    }

    fn run(subject: &Subject, invocation: &Invocation, ctx: &Ctx, out: &mut dyn Sink<Output>) {
        subject.run::<Self>(&Self::job(invocation), ctx, out);
    }

    fn observe(subject: &Subject, invocation: &Invocation, ctx: &Ctx, most: Option<usize>) -> RunResult {
        RunResult::until(subject, invocation, ctx, most)
    }

    fn pushes(run_result: &RunResult) -> usize {
        run_result.pushes
    }

    fn assert_whole(run_result: &RunResult, expected: &RunResult, invocation: &Invocation) {
        run_result.assert_same(expected, &invocation.view);
    }

    fn assert_part(run_result: &RunResult, expected: &RunResult, invocation: &Invocation) {
        run_result.assert_part_of(expected, &invocation.view);
        assert_eq!(run_result.messages, "");
    }

    /// The model decides how many tiles are in a task, so there may be fewer pushes than `most`.
    fn assert_broken_off(_: &Subject, run_result: &RunResult, most: usize) {
        assert!(run_result.pushes <= most);
    }

    fn assert_lacks(run_result: &RunResult, place: &Place) {
        assert_eq!(place.name, name(MIDDLE));
        assert!(!run_result.done.contains(&MIDDLE), "no worker was suspended");
    }
}
