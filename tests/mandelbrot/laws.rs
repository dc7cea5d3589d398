//! What the laws of every workload are asked with.

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
    observe::{Asked, Observed, tiled, tiles, view},
    stops::long,
};

impl Laws for Mandelbrot {
    type Asked = Asked;
    type Expected = Observed;
    type Observed = Observed;
    type Pushed = Output;

    fn ordinary() -> Asked {
        Asked::from(&whole())
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

    fn stopped() -> Vec<Asked> {
        vec![Asked::from(&long())]
    }

    fn jams() -> Vec<(Asked, Option<usize>)> {
        [tiled(view(120, 100), 1, 1), view(300, 200)].iter().map(|view| (view.into(), None)).collect()
    }

    fn breaks() -> Vec<(Asked, Vec<usize>)> {
        vec![(Asked::from(&tiled(view(64, 48), 1, 1)), vec![1, 2, 7, 40])]
    }

    fn cut() -> Vec<Cut<Asked>> {
        let all = usize::try_from(tiles(&long())).expect("it is small");
        let (place, begun) = (Place::new("", 0), 3..all / 2);
        vec![Cut { asked: Asked::from(&long()), window: 4, most: 3, place, begun, all, what: "tiles" }]
    }

    fn varied() -> Vec<Asked> {
        [view(300, 200), tiled(view(30, 20), 1, 1), view(1, 1)].iter().map(Asked::from).collect()
    }

    fn counted() -> Vec<Asked> {
        vec![Asked::from(&view(300, 200))]
    }

    fn with(asked: Asked, fault: Fault) -> Asked {
        asked.with(fault)
    }

    fn job(asked: &Asked) -> Job {
        Job::new(asked.view.clone())
    }

    fn expected(asked: &Asked) -> Observed {
        Observed::reference(&asked.view)
    }

    fn run(subject: &Subject, asked: &Asked, ctx: &Ctx, out: &mut dyn Sink<Output>) {
        subject.run::<Self>(&Self::job(asked), ctx, out);
    }

    fn observe(subject: &Subject, asked: &Asked, ctx: &Ctx, most: Option<usize>) -> Observed {
        Observed::until(subject, asked, ctx, most)
    }

    fn pushes(observed: &Observed) -> usize {
        observed.pushes
    }

    fn assert_whole(observed: &Observed, expected: &Observed, asked: &Asked) {
        observed.assert_same(expected, &asked.view);
    }

    fn assert_part(observed: &Observed, expected: &Observed, asked: &Asked) {
        observed.assert_part_of(expected, &asked.view);
        assert_eq!(observed.messages, "");
    }

    /// The model decides how many tiles are in a task, so there may be fewer tasks than that.
    fn assert_broken_off(_: &Subject, observed: &Observed, most: usize) {
        assert!(observed.pushes <= most);
    }

    fn assert_lacks(observed: &Observed, place: &Place) {
        assert_eq!(place.name, name(MIDDLE));
        assert!(!observed.done.contains(&MIDDLE), "no worker was suspended");
    }
}
