//! Ordinary jobs and odd texts, in memory and beyond it, against the oracle and GNU sort.

use std::{collections::BTreeSet, fs};

use cc_conformance::{
    case::{Case, Needs},
    laws::with_workers,
    subject::Subject,
};
use cc_workloads::{
    Stop,
    shelf::Memory,
    sort::{Runs, Sorter},
};

use super::{
    Sort,
    asked::Asked,
    corpus::{self, ODD_ORDERS, ORDERS, RUNS},
    gnu,
    observe::{Observed, conforms, conforms_in},
    oracle::Expected,
};

/// Enough for everything that there is in the corpus.
const PLENTY: u64 = 256 << 20;

/// The orders and the odd texts in which a model can go wrong: it may lose, repeat or exchange
/// lines, whatever their keys are. In all others only the kernel can, which is the same in every
/// model.
const IN_MODELS: [&str; 3] = ["plain", "first_field", "unique_first_fields"];
const ODD_IN_MODELS: [&str; 4] = ["all-equal", "no-newline", "reversed", "sorted"];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("corpus_takes_passes", corpus_takes_passes),
        Case::new("5_workers", |subject| with_workers::<Sort>(subject, 5, None)),
        Case::new("window_of_one", window_of_one),
        Case::new("nothing", |subject| drop(conforms(subject, &Asked::new(&[]).at("/dev/null")))),
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

/// Of the text that many cases are about there are more runs than can be merged at once, more than once.
fn corpus_takes_passes(subject: &Subject) {
    let (job, ctx, shelf) = (Asked::of("large", &[]).job(), subject.ctx(2), Memory::default());
    let plan = job.plan(&ctx).expect("the corpus can be read");
    assert!(!plan.in_memory);
    let mut runs = Runs::new(&job, &plan, &shelf);
    let mut sorter = Sorter::new(&job.query, &Stop::new());
    let (mut chunks, mut none) = (0, Forgets);
    let tasks: Vec<_> = job.chunks(&plan, &shelf, &ctx.stop).collect();
    for task in tasks {
        chunks += 1;
        let _ = cc_workloads::Sink::push(&mut runs.gather(&mut none), sorter.task(&task, &shelf));
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

/// Where the lines of a key come from is told by their numbers: across chunks, files, runs and passes they ascend.
fn equal_keys_keep_their_order(subject: &Subject) {
    let lines =
        |from: usize, to: usize| (from..to).map(|n| format!("{} {n}\n", n * 7 % 3)).collect::<String>();
    let cuts = [0, 90_000, 90_001, 250_000, 400_000];
    let mut asked = Asked::new(&["-k1,1"]);
    for pair in cuts.windows(2) {
        let name = pair[0].to_string();
        fs::write(&name, lines(pair[0], pair[1])).expect("it can be written");
        asked = asked.at(name);
    }
    for memory in [0, PLENTY] {
        let observed = Observed::of(subject, &asked.clone().in_memory_of(memory), &subject.ctx(2));
        assert_eq!(observed.error, None);
        let text = String::from_utf8(observed.out).expect("it is text");
        let pair = |line: &str| {
            let (key, place) = line.split_once(' ').expect("there are two fields");
            (key.to_owned(), place.parse::<u32>().expect("it is a number"))
        };
        let pairs: Vec<_> = text.lines().map(pair).collect();
        assert_eq!(pairs.len(), 400_000);
        assert!(pairs.is_sorted_by(|one, other| one < other), "equal lines have changed places");
    }
}

/// Of each key, the line that is the first in the input; there are several in every run.
fn unique_keeps_the_first(subject: &Subject) {
    let text: String = (0..200_000).map(|n| format!("{:05} {n}\n", n * 7919 % 10_007)).collect();
    fs::write("text", &text).expect("it can be written");
    let mut seen = BTreeSet::new();
    let mut first: Vec<&str> = text.lines().filter(|line| seen.insert(&line[..5])).collect();
    first.sort_unstable();
    for memory in [0, PLENTY] {
        let asked = Asked::new(&["-u", "-k1,1"]).at("text").in_memory_of(memory);
        let observed = Observed::of(subject, &asked, &subject.ctx(2));
        assert_eq!(observed.totals.sorted, 10_007);
        super::observe::assert_same(&observed.out, (first.join("\n") + "\n").as_bytes());
    }
}

/// What is named twice is there twice, also if it is cut.
fn named_twice(subject: &Subject) {
    let file = corpus::path("large/c");
    let asked = Asked::new(&["-k1,1"]).at(&file).at(corpus::path("odd/zeros")).at(&file);
    conforms(subject, &asked);
}

fn many_files(subject: &Subject) {
    let mut asked = Asked::new(&["-r"]);
    for n in 0..500 {
        let name = format!("{n:03}");
        fs::write(&name, format!("{}\nfile {n}\n{}", n % 7, n * n)).expect("it can be written");
        asked = asked.at(name);
    }
    conforms(subject, &asked);
}

/// The oracle is asked, too.
fn gnu_orders(subject: &Subject) {
    for (order, flags) in ORDERS {
        let asked = Asked::of("large", flags);
        gnu::agrees(&asked, &Observed::of(subject, &asked, &subject.ctx(2)).out);
        gnu::agrees(&asked, &corpus::expected("large", order).out);
    }
    for name in corpus::odd_names() {
        for order in ODD_ORDERS {
            let part = format!("odd/{name}");
            gnu::agrees(&Asked::of(&part, corpus::flags(order)), &corpus::expected(&part, order).out);
        }
    }
}

/// A line that no room is for.
fn line_of_100_mb(subject: &Subject) {
    let long = |end: &[u8]| [&vec![b'l'; 100_000_000][..], end, b"\n"].concat();
    let text = [&b"z\n"[..], &long(b"2"), b"m\n", &long(b"1"), b"a"].concat();
    fs::write("long", &text).expect("it can be written");
    for flags in [&[][..], &["-u", "-k1,1"]] {
        let asked = Asked::new(flags).at("long");
        let observed = Observed::of(subject, &asked, &subject.ctx(2));
        observed.assert(&Expected::of(&asked, &[]));
    }
}
