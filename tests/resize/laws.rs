//! What the laws of every workload are asked with.

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
    observe::{Asked, Observed},
};

impl Laws for Resize {
    type Asked = Asked;
    type Expected = Observed;
    type Observed = Observed;
    type Pushed = Output;

    fn ordinary() -> Asked {
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

    fn jams() -> Vec<(Asked, Option<usize>)> {
        vec![(Asked::of("medium"), Some(4))]
    }

    fn breaks() -> Vec<(Asked, Vec<usize>)> {
        vec![(Asked::of("tiny"), vec![1, 2, 7, 40])]
    }

    fn cut() -> Vec<Cut<Asked>> {
        let all = corpus::MEDIUM;
        // At the second of an image's two places; it is begun once.
        let (place, begun) = (Place::new(".jpg", WITHIN), 3..all / 2);
        vec![Cut { asked: Asked::of("medium"), window: 4, most: 3, place, begun, all, what: "images" }]
    }

    fn varied() -> Vec<Asked> {
        vec![Asked::of("good").at(corpus::path("bad")), Asked::new().at(corpus::path("good/plain.jpg"))]
    }

    fn counted() -> Vec<Asked> {
        vec![Asked::of("good"), Asked::of("bad")]
    }

    fn with(asked: Asked, fault: Fault) -> Asked {
        asked.with(fault)
    }

    fn job(asked: &Asked) -> Job {
        asked.job()
    }

    fn expected(asked: &Asked) -> Observed {
        Observed::reference(&Asked { faults: Plan::default(), ..asked.clone() })
    }

    fn run(subject: &Subject, asked: &Asked, ctx: &Ctx, out: &mut dyn Sink<Output>) {
        subject.run::<Self>(&asked.job(), ctx, out);
    }

    fn observe(subject: &Subject, asked: &Asked, ctx: &Ctx, most: Option<usize>) -> Observed {
        Observed::until(subject, asked, ctx, most, &mut |_| ())
    }

    fn pushes(observed: &Observed) -> usize {
        observed.outputs.len()
    }

    fn assert_whole(observed: &Observed, expected: &Observed, _: &Asked) {
        observed.assert_same(expected);
    }

    fn assert_part(observed: &Observed, expected: &Observed, asked: &Asked) {
        observed.assert_part_of(expected);
        // What goes to a folder is not printed.
        assert!(asked.out.is_none() || observed.said().is_empty(), "{}", observed.said());
    }

    fn assert_lacks(observed: &Observed, _: &Place) {
        assert!(observed.outputs.len() < corpus::MEDIUM, "no worker was suspended");
    }
}
