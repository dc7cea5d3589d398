//! Standard input.

use std::{fs, io::Write, path::Path};

use cc_conformance::{case::Case, stdin::Stdin, subject::Subject, tree};
use cc_workloads::wordcount::Output;

use super::{
    corpus,
    run_result::{Invocation, RunResult},
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

fn run_result(subject: &Subject, invocation: &Invocation, text: Vec<u8>) -> RunResult {
    let _stdin = Stdin::of(text);
    RunResult::of(subject, invocation, &subject.ctx(2))
}

/// Standard input is larger than the tasks in flight.
fn stdin_is_large(subject: &Subject) {
    let text = largest();
    let expected = run_result(&Subject::reference(), &Invocation::new(), text.clone());
    assert!(expected.totals.words > 1_000_000, "{:?}", expected.totals);
    run_result(subject, &Invocation::new(), text).assert_same(&expected);
}

/// A word that arrives in several pieces is one word, and small pieces do not make a task each.
fn stdin_in_pieces(subject: &Subject) {
    let stdin = Stdin::from(|mut writer| {
        for part in ["ha", "lf a wo", "rd", " and", " half", " a", "", " wor", "d"] {
            writer.write_all(part.as_bytes()).expect("it is read");
            tree::wait_until_quiet();
        }
    });
    let mut tasks = 0;
    let mut count = |output: &Output| tasks += usize::from(matches!(output, Output::Read(_)));
    let run_result = RunResult::until(subject, &Invocation::new(), &subject.ctx(2), None, &mut count);
    drop(stdin);
    assert_eq!(run_result.out, "2\ta\n2\thalf\n2\tword\n1\tand\n");
    assert_eq!(tasks, 1);
}

fn stdin_among_operands(subject: &Subject) {
    let file = corpus::path("odd/one-word");
    let invocation = Invocation::new().at(&file).at("-").at(Path::new("-")).at(&file);
    let run_result = run_result(subject, &invocation, b"a word on standard input".to_vec());
    assert_eq!(run_result.out, "3\tword\n1\ta\n1\tinput\n1\ton\n1\tstandard\n");
    assert_eq!(run_result.totals.files, 4);
}
