//! What this workload provides to the common laws (`cc_conformance::laws`).

use cc_conformance::{
    fault::{Fault, Plan},
    laws::{Cut, Laws, Place},
    subject::Subject,
};
use cc_workloads::{Block, Ctx, Sink, grep::Job};

use super::{
    Grep, corpus,
    fails::everything,
    invocation::Invocation,
    run_result::{self, RunResult},
    stops::{ALL, FIRST, in_many},
};

impl Laws for Grep {
    type Invocation = Invocation;
    type Expected = RunResult;
    type RunResult = RunResult;
    /// What a user sees: the printer's blocks.
    type Pushed = Block;

    fn ordinary() -> Invocation {
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

    /// Two files of the same task.
    fn late() -> (Place, Place) {
        (Place::new("03/30/16.txt", 0), Place::new("03/30/17.txt", 0))
    }

    fn stopped() -> Vec<Invocation> {
        vec![in_many("needle"), Invocation::new("needle").at(corpus::path("big"))]
    }

    fn jams() -> Vec<(Invocation, Option<usize>)> {
        vec![(in_many(""), None), (big(), None), (in_many("needle"), Some(4))]
    }

    fn breaks() -> Vec<(Invocation, Vec<usize>)> {
        [in_many("needle"), in_many("hay").flag("-c"), big()]
            .map(|invocation| (invocation, vec![1, 2, 7, 40]))
            .into()
    }

    fn cut() -> Vec<Cut<Invocation>> {
        // A model may make smaller tasks than these.
        let place = Place::new(FIRST, 0);
        let begun = 1..60;
        let all = ALL as usize;
        vec![Cut { invocation: in_many("needle"), window: 4, most: 3, place, begun, all, what: "tasks" }]
    }

    fn sources() -> Vec<(Invocation, &'static str)> {
        vec![(Invocation::new("needle").flag("-r").at(corpus::path("many")), "source")]
    }

    fn varied() -> Vec<Invocation> {
        let everything = |invocation: Invocation| {
            invocation.at_all(["odd", "many", "big", "long"].map(corpus::path)).flag("-r")
        };
        let flags = [&["-H", "-n"][..], &["-c"], &["-m2"]].into_iter();
        flags.map(|flags| everything(Invocation::new("needle").flags(flags))).chain([lines()]).collect()
    }

    fn counted() -> Vec<Invocation> {
        let patterns = ["needle", "(needle|hay|stack) +[a-z]*x?", r"\w+ \w+ \w+", "(a|b|c|d|e|f|g){3,9}"];
        let flags = [&[][..], &["-i"], &["-w", "-o"], &["-v"]];
        let pairs = patterns.into_iter().flat_map(|pattern| flags.map(|flags| (pattern, flags)));
        let invocation =
            pairs.map(|(pattern, flags)| Invocation::new(pattern).or("1234").flags(flags).flag("-r"));
        invocation.map(|invocation| invocation.at(corpus::path("many/01")).at(corpus::path("odd"))).collect()
    }

    fn name(law: &'static str) -> Option<&'static str> {
        Some(match law {
            "stop_while_the_sink_stalls" => "stop_while_the_reader_stalls",
            "break_ends_the_work" => "break_stops_reading",
            _ => law,
        })
    }

    fn with(invocation: Invocation, fault: Fault) -> Invocation {
        invocation.with(fault)
    }

    fn job(invocation: &Invocation) -> Job {
        invocation.job()
    }

    fn expected(invocation: &Invocation) -> RunResult {
        let mut invocation = invocation.clone();
        invocation.faults = Plan::default();
        RunResult::reference(&invocation)
    }

    fn run(subject: &Subject, invocation: &Invocation, ctx: &Ctx, out: &mut dyn Sink<Block>) {
        let _ = run_result::run(subject, &invocation.job(), ctx, out);
    }

    fn observe(subject: &Subject, invocation: &Invocation, ctx: &Ctx, most: Option<usize>) -> RunResult {
        RunResult::until(subject, invocation, ctx, most)
    }

    fn pushes(run_result: &RunResult) -> usize {
        run_result.pushes
    }

    fn assert_whole(run_result: &RunResult, expected: &RunResult, invocation: &Invocation) {
        run_result.assert_same(expected, invocation);
    }

    fn assert_part(run_result: &RunResult, expected: &RunResult, invocation: &Invocation) {
        run_result.assert_begins(expected, invocation);
    }
}

/// A file that is searched in a dozen ranges, and of which all lines are shown.
fn lines() -> Invocation {
    Invocation::new("h").flag("-n").at(corpus::path("big"))
}

/// The same file, of which more is shown than its lines.
fn big() -> Invocation {
    Invocation::new("[hy]").flags(&["-o", "-n"]).at(corpus::path("big"))
}
