//! Ordinary jobs and odd texts: all models against the reference, and the reference against the
//! definition and the shell.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    process::{Command, Stdio},
};

use cc_conformance::{
    case::{Case, Needs},
    subject::Subject,
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::{
    corpus,
    run_result::{Invocation, RunResult, conforms},
};

/// The settings with which a model can go wrong: with all words, and with few of them, which a
/// model might rank too early. With all others only the kernel can go wrong, which is the same in
/// every model.
const IN_MODELS: [&str; 2] = ["all", "top_of_all"];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("many_files", |subject| drop(conforms(subject, &Invocation::of("many")))),
        Case::new("nothing", |subject| drop(conforms(subject, &Invocation::new().at("/dev/null")))),
        Case::new("an_empty_folder", an_empty_folder),
        Case::new("troublesome_operands", troublesome_operands),
        Case::new("random_texts", random_texts),
        Case::new("by_definition", by_definition).needs(Needs::Reference),
        Case::new("shell", shell).needs(Needs::Reference).unless(missing_shell),
        Case::new("word_of_100_mb", word_of_100_mb).long(),
        Case::new("two_gb_of_one_word", two_gb_of_one_word).long(),
    ];
    cases.extend(corpus::odd().into_iter().map(|(name, _)| {
        let case = move |subject: &Subject| drop(conforms(subject, &Invocation::new().at(odd(name))));
        Case::new(format!("odd_{name}"), case)
    }));
    cases.extend(settings("large").into_iter().map(|(name, _)| {
        let case = move |subject: &Subject| {
            // Made here, because only a case's process knows the paths.
            let invocation = settings("large").into_iter().find(|(other, _)| *other == name);
            drop(conforms(subject, &invocation.expect("it is among them").1));
        };
        let case = Case::new(format!("large_{name}"), case);
        if IN_MODELS.contains(&name) { case } else { case.long_in_models() }
    }));
    cases
}

fn odd(name: &str) -> std::path::PathBuf {
    corpus::path("odd").join(name)
}

/// The settings for a part of the corpus, by name.
fn settings(part: &'static str) -> Vec<(&'static str, Invocation)> {
    let invocation = || Invocation { recursive: true, ..Invocation::new() };
    let all = vec![
        ("all", invocation()),
        ("case", invocation().but(|settings| settings.ignore_case = true)),
        ("long_words", invocation().but(|settings| settings.min_len = 12)),
        ("top_of_all", invocation().but(|settings| settings.top = Some(10))),
        ("top_of_none", invocation().but(|settings| settings.top = Some(0))),
        ("top_of_more_than_all", invocation().but(|settings| settings.top = Some(usize::MAX))),
        (
            "everything",
            invocation().but(|settings| {
                (settings.ignore_case, settings.min_len, settings.top) = (true, 5, Some(1000));
            }),
        ),
    ];
    if std::env::var_os("CC_CONFORMANCE_CORPUS").is_none() {
        return all; // only the names are needed
    }
    all.into_iter().map(|(name, invocation)| (name, invocation.at(corpus::path(part)))).collect()
}

fn an_empty_folder(subject: &Subject) {
    fs::create_dir("empty").expect("it can be made");
    let run_result = conforms(subject, &Invocation { recursive: true, ..Invocation::new() }.at("empty"));
    assert_eq!((&*run_result.out, run_result.status), ("", 0));
}

/// Files that cannot be read are reported, and the others are counted. A file that is named twice
/// is counted twice.
fn troublesome_operands(subject: &Subject) {
    let invocation = Invocation::new()
        .at(odd("one-word"))
        .at("no such file")
        .at(corpus::path("small"))
        .at(odd("one-word").join("below"))
        .at("/proc/self/mem")
        .at("/proc/self/status")
        .at(odd("one-word"));
    let run_result = RunResult::of(subject, &invocation, &subject.ctx(2));
    let small = corpus::path("small");
    let mut expected = [
        "wordcount: /proc/self/mem: Input/output error\n".to_owned(),
        format!("wordcount: {}: Is a directory\n", small.display()),
        format!("wordcount: {}: Not a directory\n", odd("one-word").join("below").display()),
        "wordcount: no such file: No such file or directory\n".to_owned(),
    ];
    expected.sort();
    assert_eq!(run_result.said, expected);
    assert_eq!(run_result.status, 1);
    assert!(run_result.out.contains("\n2\tword\n"), "{}", run_result.out);
    assert!(run_result.out.contains("\tName\n"), "a file without a size was not read: {}", run_result.out);
}

/// The count of each word as written in the texts, by the definition of a word.
fn words(texts: &[Vec<u8>]) -> HashMap<&[u8], u64> {
    let mut counts = HashMap::new();
    let is_between = |byte: &u8| !byte.is_ascii_alphanumeric() && *byte != b'\'';
    for word in texts.iter().flat_map(|text| text.split(is_between)).filter(|word| !word.is_empty()) {
        *counts.entry(word).or_insert(0) += 1;
    }
    counts
}

/// The expected output for these words, by the definition.
fn ranked(words: &HashMap<&[u8], u64>, invocation: &Invocation) -> String {
    let mut counts = BTreeMap::new();
    for (word, count) in words.iter().filter(|(word, _)| word.len() >= invocation.settings.min_len) {
        let word = if invocation.settings.ignore_case { word.to_ascii_lowercase() } else { word.to_vec() };
        *counts.entry(word).or_insert(0u64) += count;
    }
    let mut ranked: Vec<_> = counts.into_iter().collect();
    ranked.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(&other.0)));
    let line =
        |(word, count): (Vec<u8>, u64)| format!("{count}\t{}\n", String::from_utf8(word).expect("ASCII"));
    ranked.into_iter().take(invocation.settings.top.unwrap_or(usize::MAX)).map(line).collect()
}

/// The words of each part are counted once for all settings, because the test is built without
/// optimization.
fn by_definition(_: &Subject) {
    for part in ["large", "small", "many", "odd"] {
        let texts: Vec<_> =
            corpus::files(part).iter().map(|path| fs::read(path).expect("it is there")).collect();
        let words = words(&texts);
        for (name, invocation) in settings(part) {
            assert!(RunResult::reference(&invocation).out == ranked(&words, &invocation), "{part}: {name}");
        }
    }
}

/// Random texts of few words with many edge cases, in several files.
fn random_texts(subject: &Subject) {
    let byte = prop_oneof![6 => prop::sample::select(b"abAB1'".to_vec()), 3 => Just(b' '), 1 => any::<u8>()];
    let text = prop_oneof![vec(byte.clone(), 0..40), vec(byte, 200..3000)];
    let invocation = (vec(text, 1..5), any::<bool>(), 0..4usize, prop::option::of(0..20usize));
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let ran = TestRunner::new_with_rng(config, rng).run(&invocation, |(texts, ignore_case, min_len, top)| {
        let mut invocation = Invocation::new().but(|settings| {
            (settings.ignore_case, settings.min_len, settings.top) = (ignore_case, min_len, top);
        });
        for (nth, text) in texts.iter().enumerate() {
            fs::write(format!("text-{nth}"), text).expect("it can be written");
            invocation = invocation.at(format!("text-{nth}"));
        }
        let run_result = RunResult::of(subject, &invocation, &subject.ctx(2));
        prop_assert_eq!(run_result.out, ranked(&words(&texts), &invocation));
        Ok(())
    });
    ran.unwrap_or_else(|failure| panic!("{failure}"));
}

fn missing_shell() -> Option<&'static str> {
    let version = Command::new("uniq").arg("--version").stdout(Stdio::null()).status();
    (!version.is_ok_and(|status| status.success())).then_some("GNU coreutils are not installed")
}

/// Compares with a shell pipeline.
fn shell(_: &Subject) {
    let pipeline = r#"find "$1" -type f -exec cat {} + | tr -cs "A-Za-z0-9'" '\n' | grep . | sort | uniq -c |
        sort -s -k1,1nr -k2 | awk '{ print $1 "\t" $2 }'"#;
    for part in ["small", "many"] {
        let path = corpus::path(part);
        let said = Command::new("sh").args(["-c", pipeline, "sh"]).arg(path).env("LC_ALL", "C").output();
        let said = said.expect("a shell can be started");
        assert!(said.stdout == RunResult::reference(&Invocation::of(part)).out.into_bytes(), "{part}");
    }
}

/// One word that spans many ranges.
fn word_of_100_mb(subject: &Subject) {
    fs::write("long", [b"a ", &vec![b'x'; 100_000_000][..], b" b"].concat()).expect("it can be written");
    let run_result = conforms(subject, &Invocation::new().at("long"));
    assert_eq!(run_result.out.len(), 100_000_000 + "1\ta\n1\tb\n1\t\n".len());
}

/// One word with a very large count.
fn two_gb_of_one_word(subject: &Subject) {
    let block = b"again ".repeat(1 << 20);
    let mut file = fs::File::create("again").expect("it can be made");
    let times = 2_000_000_000 / block.len() + 1;
    (0..times).for_each(|_| std::io::Write::write_all(&mut file, &block).expect("it can be written"));
    let run_result = RunResult::of(subject, &Invocation::new().at("again"), &subject.ctx(2));
    assert_eq!(run_result.out, format!("{}\tagain\n", times << 20));
}
