//! What the laws of every workload are asked with.

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
    asked::Asked,
    corpus::{self, ODD_ORDERS, RUNS},
    files::LATE_MERGE,
    observe::Observed,
    oracle::Expected,
};

/// A part of the corpus, in an order that the oracle was asked for when the corpus was made.
pub(super) struct Known {
    asked: Asked,
    part: &'static str,
    order: &'static str,
}

fn known(part: &'static str, order: &'static str) -> Known {
    Known { asked: Asked::of(part, corpus::flags(order)), part, order }
}

impl Laws for Sort {
    type Asked = Known;
    type Expected = Expected;
    type Observed = Observed;
    type Pushed = Output;

    /// Some lines are equal in this order, and keep the order of the input.
    fn ordinary() -> Known {
        known("large", "first_field")
    }

    fn middle() -> Vec<Place> {
        vec![Place::new("run", 5), Place::new("merge", 1)]
    }

    /// None of them reaches three deaths, whichever worker comes by first.
    fn deadly() -> Vec<(Place, u32)> {
        let places = [("large/a", 1 << 20), ("run", 2), ("run", 6), ("merge", 2), ("merge", LATE_MERGE)];
        places.into_iter().map(|(name, from)| (Place::new(name, from), 1)).collect()
    }

    /// Workers are killed in each phase, and aborted in some: cases of its own.
    fn deaths() -> Vec<(String, Place)> {
        vec![]
    }

    /// The last chunk, of which there is one piece.
    fn late() -> (Place, Place) {
        (Place::new("large/c", 500 << 10), Place::new("large/c", 500 << 10))
    }

    fn breaks() -> Vec<(Known, Vec<usize>)> {
        vec![(known("large", "plain"), vec![1, 3, 13, 14, 20])]
    }

    fn cut() -> Vec<Cut<Known>> {
        let phases = [("run", 0, 1, RUNS), ("merge", LATE_MERGE, RUNS + LATE_MERGE, 25)].into_iter();
        let cut = phases.map(|(name, from, most, all)| {
            let (asked, place) = (known("large", "plain"), Place::new(name, from));
            let small = |number| usize::try_from(number).expect("it is small");
            let (most, all) = (small(most), small(all));
            Cut { asked, window: 2, most, place, begun: 0..all * 3 / 4 + 1, all, what: "tasks" }
        });
        cut.collect()
    }

    /// The input breaks off, or the list of the merges.
    fn sources() -> Vec<(Known, &'static str)> {
        ["source", "merges"].map(|source| (known("large", "plain"), source)).into()
    }

    fn varied() -> Vec<Known> {
        let some = [("large", "plain"), ("large", "unique_first_fields"), ("odd/empty", "plain")];
        let odd = ODD_ORDERS.map(|order| ("odd/longer-than-the-room", order));
        some.into_iter().chain(odd).map(|(part, order)| known(part, order)).collect()
    }

    /// A worker that hangs is replaced in each phase, and narrow windows are combined with much
    /// memory: cases of its own.
    fn name(law: &'static str) -> Option<&'static str> {
        match law {
            "sixty_four_workers" => Some("64_workers"),
            "suspended_worker_is_replaced" | "window_of_one" => None,
            _ => Some(law),
        }
    }

    fn with(known: Known, fault: Fault) -> Known {
        Known { asked: known.asked.with(fault), ..known }
    }

    fn job(known: &Known) -> Job {
        known.asked.job()
    }

    fn expected(known: &Known) -> Expected {
        corpus::expected(known.part, known.order)
    }

    fn run(subject: &Subject, known: &Known, ctx: &Ctx, out: &mut dyn Sink<Output>) {
        subject.run::<Self>(&known.asked.job(), ctx, out);
    }

    fn observe(subject: &Subject, known: &Known, ctx: &Ctx, most: Option<usize>) -> Observed {
        Observed::until(subject, &known.asked, ctx, most, &mut |_| ())
    }

    fn pushes(observed: &Observed) -> usize {
        observed.pushes
    }

    fn assert_whole(observed: &Observed, expected: &Expected, _: &Known) {
        observed.assert(expected);
    }

    fn assert_part(observed: &Observed, expected: &Expected, _: &Known) {
        observed.assert_stopped();
        assert!(expected.out.starts_with(&observed.out), "the lines are no beginning");
    }

    fn assert_nothing(observed: &Observed, _: &Known) {
        assert_eq!((observed.pushes, &*observed.out), (0, &b""[..]), "something was done");
    }

    /// Be it what was read or lines: where there are passes, it is known when the lines begin.
    fn assert_broken_off(subject: &Subject, observed: &Observed, most: usize) {
        assert_eq!(observed.pushes, most);
        let is_known = subject.facts.merges_in_passes;
        assert!(!is_known || observed.out.is_empty() == (most as u64 <= RUNS));
    }
}
