//! Ordinary jobs and odd texts, against the reference, and the reference against the definition and the shell.

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
    observe::{Asked, Observed, conforms},
};

/// The settings in which a model can go wrong: with all words, and with few of them, which it may
/// rank before the end. In all others only the kernel can, which is the same in every model.
const IN_MODELS: [&str; 2] = ["all", "top_of_all"];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("many_files", |subject| drop(conforms(subject, &Asked::of("many")))),
        Case::new("nothing", |subject| drop(conforms(subject, &Asked::new().at("/dev/null")))),
        Case::new("an_empty_folder", an_empty_folder),
        Case::new("troublesome_operands", troublesome_operands),
        Case::new("random_texts", random_texts),
        Case::new("by_definition", by_definition).needs(Needs::Reference),
        Case::new("shell", shell).needs(Needs::Reference).unless(missing_shell),
        Case::new("word_of_100_mb", word_of_100_mb).long(),
        Case::new("two_gb_of_one_word", two_gb_of_one_word).long(),
    ];
    cases.extend(corpus::odd().into_iter().map(|(name, _)| {
        let case = move |subject: &Subject| drop(conforms(subject, &Asked::new().at(odd(name))));
        Case::new(format!("odd_{name}"), case)
    }));
    cases.extend(settings("large").into_iter().map(|(name, _)| {
        let case = move |subject: &Subject| {
            // Made here: its paths are known to a case's process only.
            let asked = settings("large").into_iter().find(|(other, _)| *other == name);
            drop(conforms(subject, &asked.expect("it is among them").1));
        };
        let case = Case::new(format!("large_{name}"), case);
        if IN_MODELS.contains(&name) { case } else { case.long_in_models() }
    }));
    cases
}

fn odd(name: &str) -> std::path::PathBuf {
    corpus::path("odd").join(name)
}

/// What may be asked of a part of the corpus.
fn settings(part: &'static str) -> Vec<(&'static str, Asked)> {
    let asked = || Asked { recursive: true, ..Asked::new() };
    let all = vec![
        ("all", asked()),
        ("case", asked().but(|settings| settings.ignore_case = true)),
        ("long_words", asked().but(|settings| settings.min_len = 12)),
        ("top_of_all", asked().but(|settings| settings.top = Some(10))),
        ("top_of_none", asked().but(|settings| settings.top = Some(0))),
        ("top_of_more_than_all", asked().but(|settings| settings.top = Some(usize::MAX))),
        (
            "everything",
            asked().but(|settings| {
                (settings.ignore_case, settings.min_len, settings.top) = (true, 5, Some(1000));
            }),
        ),
    ];
    if std::env::var_os("CC_CONFORMANCE_CORPUS").is_none() {
        return all; // only the names are asked for
    }
    all.into_iter().map(|(name, asked)| (name, asked.at(corpus::path(part)))).collect()
}

fn an_empty_folder(subject: &Subject) {
    fs::create_dir("empty").expect("it can be made");
    let observed = conforms(subject, &Asked { recursive: true, ..Asked::new() }.at("empty"));
    assert_eq!((&*observed.out, observed.status), ("", 0));
}

/// What cannot be read is said, and the rest counts, also what is named twice.
fn troublesome_operands(subject: &Subject) {
    let asked = Asked::new()
        .at(odd("one-word"))
        .at("no such file")
        .at(corpus::path("small"))
        .at(odd("one-word").join("below"))
        .at("/proc/self/mem")
        .at("/proc/self/status")
        .at(odd("one-word"));
    let observed = Observed::of(subject, &asked, &subject.ctx(2));
    let small = corpus::path("small");
    let mut expected = [
        "wordcount: /proc/self/mem: Input/output error\n".to_owned(),
        format!("wordcount: {}: Is a directory\n", small.display()),
        format!("wordcount: {}: Not a directory\n", odd("one-word").join("below").display()),
        "wordcount: no such file: No such file or directory\n".to_owned(),
    ];
    expected.sort();
    assert_eq!(observed.said, expected);
    assert_eq!(observed.status, 1);
    assert!(observed.out.contains("\n2\tword\n"), "{}", observed.out);
    assert!(observed.out.contains("\tName\n"), "a file without a size was not read: {}", observed.out);
}

/// How often each word is in the texts, as it is written there, by the definition of a word.
fn words(texts: &[Vec<u8>]) -> HashMap<&[u8], u64> {
    let mut counts = HashMap::new();
    let is_between = |byte: &u8| !byte.is_ascii_alphanumeric() && *byte != b'\'';
    for word in texts.iter().flat_map(|text| text.split(is_between)).filter(|word| !word.is_empty()) {
        *counts.entry(word).or_insert(0) += 1;
    }
    counts
}

/// What the definition says of these words.
fn ranked(words: &HashMap<&[u8], u64>, asked: &Asked) -> String {
    let mut counts = BTreeMap::new();
    for (word, count) in words.iter().filter(|(word, _)| word.len() >= asked.settings.min_len) {
        let word = if asked.settings.ignore_case { word.to_ascii_lowercase() } else { word.to_vec() };
        *counts.entry(word).or_insert(0u64) += count;
    }
    let mut ranked: Vec<_> = counts.into_iter().collect();
    ranked.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(&other.0)));
    let line =
        |(word, count): (Vec<u8>, u64)| format!("{count}\t{}\n", String::from_utf8(word).expect("ASCII"));
    ranked.into_iter().take(asked.settings.top.unwrap_or(usize::MAX)).map(line).collect()
}

/// Each part's words are counted once for all settings: the test is built without optimization.
fn by_definition(_: &Subject) {
    for part in ["large", "small", "many", "odd"] {
        let texts: Vec<_> =
            corpus::files(part).iter().map(|path| fs::read(path).expect("it is there")).collect();
        let words = words(&texts);
        for (name, asked) in settings(part) {
            assert!(Observed::reference(&asked).out == ranked(&words, &asked), "{part}: {name}");
        }
    }
}

/// Random texts of few words and many edges, in several files.
fn random_texts(subject: &Subject) {
    let byte = prop_oneof![6 => prop::sample::select(b"abAB1'".to_vec()), 3 => Just(b' '), 1 => any::<u8>()];
    let text = prop_oneof![vec(byte.clone(), 0..40), vec(byte, 200..3000)];
    let asked = (vec(text, 1..5), any::<bool>(), 0..4usize, prop::option::of(0..20usize));
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let ran = TestRunner::new_with_rng(config, rng).run(&asked, |(texts, ignore_case, min_len, top)| {
        let mut asked = Asked::new().but(|settings| {
            (settings.ignore_case, settings.min_len, settings.top) = (ignore_case, min_len, top);
        });
        for (nth, text) in texts.iter().enumerate() {
            fs::write(format!("text-{nth}"), text).expect("it can be written");
            asked = asked.at(format!("text-{nth}"));
        }
        let observed = Observed::of(subject, &asked, &subject.ctx(2));
        prop_assert_eq!(observed.out, ranked(&words(&texts), &asked));
        Ok(())
    });
    ran.unwrap_or_else(|failure| panic!("{failure}"));
}

fn missing_shell() -> Option<&'static str> {
    let version = Command::new("uniq").arg("--version").stdout(Stdio::null()).status();
    (!version.is_ok_and(|status| status.success())).then_some("GNU coreutils are not installed")
}

/// The shell's way to do it.
fn shell(_: &Subject) {
    let pipeline = r#"find "$1" -type f -exec cat {} + | tr -cs "A-Za-z0-9'" '\n' | grep . | sort | uniq -c |
        sort -s -k1,1nr -k2 | awk '{ print $1 "\t" $2 }'"#;
    for part in ["small", "many"] {
        let path = corpus::path(part);
        let said = Command::new("sh").args(["-c", pipeline, "sh"]).arg(path).env("LC_ALL", "C").output();
        let said = said.expect("a shell can be started");
        assert!(said.stdout == Observed::reference(&Asked::of(part)).out.into_bytes(), "{part}");
    }
}

/// One word that many ranges are a part of.
fn word_of_100_mb(subject: &Subject) {
    fs::write("long", [b"a ", &vec![b'x'; 100_000_000][..], b" b"].concat()).expect("it can be written");
    let observed = conforms(subject, &Asked::new().at("long"));
    assert_eq!(observed.out.len(), 100_000_000 + "1\ta\n1\tb\n1\t\n".len());
}

/// A word that is counted more often than anything else.
fn two_gb_of_one_word(subject: &Subject) {
    let block = b"again ".repeat(1 << 20);
    let mut file = fs::File::create("again").expect("it can be made");
    let times = 2_000_000_000 / block.len() + 1;
    (0..times).for_each(|_| std::io::Write::write_all(&mut file, &block).expect("it can be written"));
    let observed = Observed::of(subject, &Asked::new().at("again"), &subject.ctx(2));
    assert_eq!(observed.out, format!("{}\tagain\n", times << 20));
}
