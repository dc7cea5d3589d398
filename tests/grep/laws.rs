//! What the laws of every workload are asked with.

use cc_conformance::{
    fault::{Fault, Plan},
    laws::{Cut, Laws, Place},
    subject::Subject,
};
use cc_workloads::{Block, Ctx, Sink, grep::Job};

use super::{
    Grep,
    asked::Asked,
    corpus,
    fails::everything,
    observe::{self, Observed},
    stops::{ALL, FIRST, in_many},
};

impl Laws for Grep {
    type Asked = Asked;
    type Expected = Observed;
    type Observed = Observed;
    /// What a user sees, as the printer makes it of the outputs.
    type Pushed = Block;

    fn ordinary() -> Asked {
        everything()
    }

    fn middle() -> Vec<Place> {
        ["05/50/16.txt", "03/30/16.txt"].map(|file| Place::new(file, 0)).into()
    }

    fn deadly() -> Vec<(Place, u32)> {
        let place = |n: usize| Place::new(format!("{}/07.txt", corpus::directory(n * 17 + 1)), 0);
        (0..6).map(|n| (place(n), 1 + u32::from(n % 2 == 0))).collect()
    }

    fn deaths() -> Vec<(String, Place)> {
        let places = [
            ("at_first", "00/00/00.txt", 0),
            ("at_middle", "05/50/16.txt", 0),
            ("at_last", "09/a/b/c/d/e/f/g/h/97/31.txt", 0),
            ("at_big_file", "big", 2 << 20),
        ];
        places.into_iter().map(|(end, file, from)| (end.to_owned(), Place::new(file, from))).collect()
    }

    fn hangs() -> Vec<Place> {
        vec![Place::new("00/00/00.txt", 0), Place::new("05/50/16.txt", 0), Place::new("big", 2 << 20)]
    }

    /// Two files of one task.
    fn late() -> (Place, Place) {
        (Place::new("03/30/16.txt", 0), Place::new("03/30/17.txt", 0))
    }

    fn stopped() -> Vec<Asked> {
        vec![in_many("needle"), Asked::new("needle").at(corpus::path("big"))]
    }

    fn jams() -> Vec<(Asked, Option<usize>)> {
        vec![(in_many(""), None), (big(), None), (in_many("needle"), Some(4))]
    }

    fn breaks() -> Vec<(Asked, Vec<usize>)> {
        [in_many("needle"), in_many("hay").flag("-c"), big()].map(|asked| (asked, vec![1, 2, 7, 40])).into()
    }

    fn cut() -> Vec<Cut<Asked>> {
        // A model may cut its tasks smaller than these.
        let (place, begun, all) = (Place::new(FIRST, 0), 1..60, ALL as usize);
        vec![Cut { asked: in_many("needle"), window: 4, most: 3, place, begun, all, what: "tasks" }]
    }

    fn sources() -> Vec<(Asked, &'static str)> {
        vec![(Asked::new("needle").flag("-r").at(corpus::path("many")), "source")]
    }

    fn varied() -> Vec<Asked> {
        let everything =
            |asked: Asked| asked.at_all(["odd", "many", "big", "long"].map(corpus::path)).flag("-r");
        let flags = [&["-H", "-n"][..], &["-c"], &["-m2"]].into_iter();
        flags.map(|flags| everything(Asked::new("needle").flags(flags))).chain([lines()]).collect()
    }

    fn counted() -> Vec<Asked> {
        let patterns = ["needle", "(needle|hay|stack) +[a-z]*x?", r"\w+ \w+ \w+", "(a|b|c|d|e|f|g){3,9}"];
        let flags = [&[][..], &["-i"], &["-w", "-o"], &["-v"]];
        let pairs = patterns.into_iter().flat_map(|pattern| flags.map(|flags| (pattern, flags)));
        let asked = pairs.map(|(pattern, flags)| Asked::new(pattern).or("1234").flags(flags).flag("-r"));
        asked.map(|asked| asked.at(corpus::path("many/01")).at(corpus::path("odd"))).collect()
    }

    fn name(law: &'static str) -> Option<&'static str> {
        Some(match law {
            "stop_while_the_sink_stalls" => "stop_while_the_reader_stalls",
            "break_ends_the_work" => "break_stops_reading",
            _ => law,
        })
    }

    fn with(asked: Asked, fault: Fault) -> Asked {
        asked.with(fault)
    }

    fn job(asked: &Asked) -> Job {
        asked.job()
    }

    fn expected(asked: &Asked) -> Observed {
        let mut asked = asked.clone();
        asked.faults = Plan::default();
        Observed::reference(&asked)
    }

    fn run(subject: &Subject, asked: &Asked, ctx: &Ctx, out: &mut dyn Sink<Block>) {
        let _ = observe::run(subject, &asked.job(), ctx, out);
    }

    fn observe(subject: &Subject, asked: &Asked, ctx: &Ctx, most: Option<usize>) -> Observed {
        Observed::until(subject, asked, ctx, most)
    }

    fn pushes(observed: &Observed) -> usize {
        observed.pushes
    }

    fn assert_whole(observed: &Observed, expected: &Observed, asked: &Asked) {
        observed.assert_same(expected, asked);
    }

    fn assert_part(observed: &Observed, expected: &Observed, asked: &Asked) {
        observed.assert_begins(expected, asked);
    }
}

/// A file that is searched in a dozen ranges, and shows all of its lines.
fn lines() -> Asked {
    Asked::new("h").flag("-n").at(corpus::path("big"))
}

/// The same, and shows more than all of its lines.
fn big() -> Asked {
    Asked::new("[hy]").flags(&["-o", "-n"]).at(corpus::path("big"))
}
