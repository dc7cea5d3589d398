//! What the laws of every workload are asked with.

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
    observe::{Asked, Observed},
};

impl Laws for Wordcount {
    type Asked = Asked;
    type Expected = Observed;
    type Observed = Observed;
    type Pushed = Output;

    fn ordinary() -> Asked {
        Asked::of("large")
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

    fn breaks() -> Vec<(Asked, Vec<usize>)> {
        vec![(Asked::of("large"), vec![1, 3]), (Asked::of("small"), vec![2, 5])]
    }

    fn cut() -> Vec<Cut<Asked>> {
        let asked = Asked::of("large").at(corpus::path("large")).at(corpus::path("large"));
        let all = 3 * (corpus::LARGE.0 + 3);
        let (place, begun) = (Place::new(".txt", 0), 1..all * 3 / 4);
        vec![Cut { asked, window: 4, most: 1, place, begun, all, what: "pieces" }]
    }

    fn sources() -> Vec<(Asked, &'static str)> {
        vec![(Asked::of("many"), "source")]
    }

    fn varied() -> Vec<Asked> {
        ["large", "many", "small"].map(Asked::of).into()
    }

    /// A worker that hangs is replaced in each of the phases, which are cases of their own.
    fn name(law: &'static str) -> Option<&'static str> {
        match law {
            "sixty_four_workers" => Some("64_workers"),
            "suspended_worker_is_replaced" => None,
            _ => Some(law),
        }
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
        observed.pushes
    }

    fn assert_whole(observed: &Observed, expected: &Observed, _: &Asked) {
        observed.assert_same(expected);
    }

    fn assert_part(observed: &Observed, _: &Observed, _: &Asked) {
        assert_eq!(observed.said, [""; 0]);
    }

    fn assert_nothing(observed: &Observed, _: &Asked) {
        assert_eq!((observed.pushes, &*observed.out), (0, ""), "something was done");
    }
}

/// A file of which there is one range.
const SMALL: &str = "00007.txt";
