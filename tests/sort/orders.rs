//! Ordinary jobs and odd texts, in memory and in files, against the oracle and GNU sort.

use std::{collections::BTreeSet, fs};

use cc_conformance::{
    case::{Case, Needs},
    laws::with_workers,
    subject::Subject,
};
use cc_workloads::{
    Stop,
    blobs::MemStore,
    sort::{Runs, Sorter},
};

use super::{
    Sort,
    corpus::{self, ODD_ORDERS, ORDERS, RUNS},
    gnu,
    invocation::Invocation,
    oracle::Expected,
    run_result::{RunResult, conforms, conforms_in},
};

/// Enough memory for every text of the corpus.
const PLENTY: u64 = 256 << 20;

/// The orders and the odd texts with which a model can go wrong: it may lose, repeat or exchange
/// lines with any keys. With all others only the kernel can go wrong, which is the same in every
/// model.
const IN_MODELS: [&str; 3] = ["plain", "first_field", "unique_first_fields"];
const ODD_IN_MODELS: [&str; 4] = ["all-equal", "no-newline", "reversed", "sorted"];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("corpus_takes_passes", corpus_takes_passes),
        Case::new("5_workers", |subject| with_workers::<Sort>(subject, 5, None)),
        Case::new("window_of_one", window_of_one),
        Case::new("nothing", |subject| drop(conforms(subject, &Invocation::new(&[]).at("/dev/null")))),
        Case::new("equal_keys_keep_their_order", equal_keys_keep_their_order),
        Case::new("unique_keeps_the_first", unique_keeps_the_first),
        Case::new("named_twice", named_twice),
        Case::new("many_files", many_files),
        Case::new("gnu_orders", gnu_orders).needs(Needs::Reference).unless(gnu::missing),
        Case::new("line_of_100_mb", line_of_100_mb).long(),
    ];
    for (order, _) in ORDERS {
        let case = |subject: &Subject| drop(conforms_in(subject, "large", order, 0, &subject.ctx(2)));
        let case = Case::new(format!("large_{order}"), case);
        cases.push(if IN_MODELS.contains(order) { case } else { case.long_in_models() });
    }
    for order in ["plain", "unique_first_fields", "numbers_down_then_text"] {
        let case =
            move |subject: &Subject| drop(conforms_in(subject, "large", order, PLENTY, &subject.ctx(2)));
        cases.push(Case::new(format!("in_memory_{order}"), case));
    }
    for name in corpus::odd_names() {
        let case = Case::new(format!("odd_{name}"), move |subject| odd(subject, name));
        cases.push(if ODD_IN_MODELS.contains(&name) { case } else { case.long_in_models() });
    }
    cases
}

/// The text of many cases has more runs than one merge pass can join.
fn corpus_takes_passes(subject: &Subject) {
    let job = Invocation::of("large", &[]).job();
    let ctx = subject.ctx(2);
    let blobs = MemStore::default();
    let plan = job.plan(&ctx).expect("the corpus can be read");
    assert!(!plan.in_memory);
    let mut runs = Runs::new(&job, &plan, &blobs);
    let mut sorter = Sorter::new(&job.query, &Stop::new());
    let (mut chunks, mut none) = (0, Forgets);
    let tasks: Vec<_> = job.chunks(&plan, &blobs, &ctx.stop).collect();
    for task in tasks {
        chunks += 1;
        let _ = cc_workloads::Sink::push(&mut runs.gather(&mut none), sorter.task(&task, &blobs));
    }
    assert_eq!(chunks, RUNS);
    assert!(runs.pass().is_some(), "one merge suffices");
    conforms_in(subject, "large", "plain", 0, &ctx);
}

struct Forgets;

impl<T> cc_workloads::Sink<T> for Forgets {
    fn push(&mut self, _: T) -> std::ops::ControlFlow<()> {
        std::ops::ControlFlow::Continue(())
    }
}

fn window_of_one(subject: &Subject) {
    for workers in [1, 3] {
        conforms_in(subject, "large", "plain", 0, &subject.ctx_with_window(workers, 1));
        conforms_in(subject, "large", "plain", PLENTY, &subject.ctx_with_window(workers, 1));
    }
    conforms_in(subject, "large", "plain", 0, &subject.ctx_with_window(2, 1000));
}

fn odd(subject: &Subject, name: &str) {
    for order in ODD_ORDERS {
        conforms_in(subject, &format!("odd/{name}"), order, 0, &subject.ctx(2));
    }
}

/// The numbers in the lines of a key show their position in the input: they ascend across chunks,
/// files, runs and passes.
fn equal_keys_keep_their_order(subject: &Subject) {
    let lines =
        |from: usize, to: usize| (from..to).map(|n| format!("{} {n}\n", n * 7 % 3)).collect::<String>();
    let cuts = [0, 90_000, 90_001, 250_000, 400_000];
    let mut invocation = Invocation::new(&["-k1,1"]);
    for pair in cuts.windows(2) {
        let name = pair[0].to_string();
        fs::write(&name, lines(pair[0], pair[1])).expect("it can be written");
        invocation = invocation.at(name);
    }
    for memory in [0, PLENTY] {
        let run_result = RunResult::of(subject, &invocation.clone().in_memory_of(memory), &subject.ctx(2));
        assert_eq!(run_result.error, None);
        let text = String::from_utf8(run_result.out).expect("it is text");
        let pair = |line: &str| {
            let (key, place) = line.split_once(' ').expect("there are two fields");
            (key.to_owned(), place.parse::<u32>().expect("it is a number"))
        };
        let pairs: Vec<_> = text.lines().map(pair).collect();
        assert_eq!(pairs.len(), 400_000);
        assert!(pairs.is_sorted_by(|one, other| one < other), "equal lines have changed places");
    }
}

/// Only the first line of each key in the input is kept; each run has several.
fn unique_keeps_the_first(subject: &Subject) {
    let text: String = (0..200_000).map(|n| format!("{:05} {n}\n", n * 7919 % 10_007)).collect();
    fs::write("text", &text).expect("it can be written");
    let mut seen = BTreeSet::new();
    let mut first: Vec<&str> = text.lines().filter(|line| seen.insert(&line[..5])).collect();
    first.sort_unstable();
    for memory in [0, PLENTY] {
        let invocation = Invocation::new(&["-u", "-k1,1"]).at("text").in_memory_of(memory);
        let run_result = RunResult::of(subject, &invocation, &subject.ctx(2));
        assert_eq!(run_result.totals.sorted, 10_007);
        super::run_result::assert_same(&run_result.out, (first.join("\n") + "\n").as_bytes());
    }
}

/// A file that is named twice is sorted in twice, even if it is divided.
fn named_twice(subject: &Subject) {
    let file = corpus::path("large/c");
    let invocation = Invocation::new(&["-k1,1"]).at(&file).at(corpus::path("odd/zeros")).at(&file);
    conforms(subject, &invocation);
}

fn many_files(subject: &Subject) {
    let mut invocation = Invocation::new(&["-r"]);
    for n in 0..500 {
        let name = format!("{n:03}");
        fs::write(&name, format!("{}\nfile {n}\n{}", n % 7, n * n)).expect("it can be written");
        invocation = invocation.at(name);
    }
    conforms(subject, &invocation);
}

/// Compares with GNU sort and with the oracle.
fn gnu_orders(subject: &Subject) {
    for (order, flags) in ORDERS {
        let invocation = Invocation::of("large", flags);
        gnu::agrees(&invocation, &RunResult::of(subject, &invocation, &subject.ctx(2)).out);
        gnu::agrees(&invocation, &corpus::expected("large", order).out);
    }
    for name in corpus::odd_names() {
        for order in ODD_ORDERS {
            let part = format!("odd/{name}");
            gnu::agrees(&Invocation::of(&part, corpus::flags(order)), &corpus::expected(&part, order).out);
        }
    }
}

/// A line that is larger than the memory limit.
fn line_of_100_mb(subject: &Subject) {
    let long = |end: &[u8]| [&vec![b'l'; 100_000_000][..], end, b"\n"].concat();
    let text = [&b"z\n"[..], &long(b"2"), b"m\n", &long(b"1"), b"a"].concat();
    fs::write("long", &text).expect("it can be written");
    for flags in [&[][..], &["-u", "-k1,1"]] {
        let invocation = Invocation::new(flags).at("long");
        let run_result = RunResult::of(subject, &invocation, &subject.ctx(2));
        run_result.assert(&Expected::of(&invocation, &[]));
    }
}
