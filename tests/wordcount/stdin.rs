//! Standard input.

use std::{fs, io::Write, path::Path};

use cc_conformance::{case::Case, stdin::Stdin, subject::Subject, tree};
use cc_workloads::wordcount::Output;

use super::{
    corpus,
    observe::{Asked, Observed},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("stdin_is_large", stdin_is_large),
        Case::new("stdin_in_pieces", stdin_in_pieces),
        Case::new("stdin_among_operands", stdin_among_operands),
    ]
}

fn largest() -> Vec<u8> {
    fs::read(corpus::path("large/chapter-0").join(corpus::LARGEST)).expect("the corpus is there")
}

fn observed(subject: &Subject, asked: &Asked, text: Vec<u8>) -> Observed {
    let _stdin = Stdin::of(text);
    Observed::of(subject, asked, &subject.ctx(2))
}

/// More than fits into the tasks that are under way.
fn stdin_is_large(subject: &Subject) {
    let text = largest();
    let expected = observed(&Subject::reference(), &Asked::new(), text.clone());
    assert!(expected.totals.words > 1_000_000, "{:?}", expected.totals);
    observed(subject, &Asked::new(), text).assert_same(&expected);
}

/// Words that arrive in parts are words all the same, and do not make a task each.
fn stdin_in_pieces(subject: &Subject) {
    let stdin = Stdin::from(|mut writer| {
        for part in ["ha", "lf a wo", "rd", " and", " half", " a", "", " wor", "d"] {
            writer.write_all(part.as_bytes()).expect("it is read");
            tree::wait_until_quiet();
        }
    });
    let mut tasks = 0;
    let mut count = |output: &Output| tasks += usize::from(matches!(output, Output::Read(_)));
    let observed = Observed::until(subject, &Asked::new(), &subject.ctx(2), None, &mut count);
    drop(stdin);
    assert_eq!(observed.out, "2\ta\n2\thalf\n2\tword\n1\tand\n");
    assert_eq!(tasks, 1);
}

fn stdin_among_operands(subject: &Subject) {
    let file = corpus::path("odd/one-word");
    let asked = Asked::new().at(&file).at("-").at(Path::new("-")).at(&file);
    let observed = observed(subject, &asked, b"a word on standard input".to_vec());
    assert_eq!(observed.out, "3\tword\n1\ta\n1\tinput\n1\ton\n1\tstandard\n");
    assert_eq!(observed.totals.files, 4);
}
