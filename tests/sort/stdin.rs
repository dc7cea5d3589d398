//! Standard input.

use std::{fs, io::Write};

use cc_conformance::{case::Case, stdin::Stdin, subject::Subject};

use super::{corpus, invocation::Invocation, oracle::Expected, run_result::RunResult};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("stdin_is_larger_than_memory", |subject| larger_than_memory(subject, 2)),
        Case::new("stdin_64_workers", |subject| larger_than_memory(subject, 64)),
        Case::new("stdin_in_pieces", stdin_in_pieces),
        Case::new("stdin_is_empty", stdin_is_empty),
        Case::new("stdin_among_operands", stdin_among_operands),
        Case::new("stdin_has_long_lines", stdin_has_long_lines),
    ]
}

fn conforms(subject: &Subject, invocation: &Invocation, text: &[u8], workers: usize) {
    RunResult::with_stdin(subject, invocation, &subject.ctx(workers), text)
        .assert(&Expected::of(invocation, text));
}

/// The size of standard input is not known in advance: what does not fit in memory is spilled.
fn larger_than_memory(subject: &Subject, workers: usize) {
    let invocation = Invocation::new(corpus::flags("first_field"));
    let run_result = RunResult::with_stdin(subject, &invocation, &subject.ctx(workers), &large());
    let mut expected = corpus::expected("large", "first_field");
    expected.totals.files = 1;
    run_result.assert(&expected);
}

/// The large files in sequence, which do not fit in memory.
pub(super) fn large() -> Vec<u8> {
    let texts: Vec<_> =
        corpus::files("large").iter().map(|file| fs::read(file).expect("it is there")).collect();
    texts.join(&b'\n')
}

/// A line that arrives in several pieces is one line.
fn stdin_in_pieces(subject: &Subject) {
    let stdin = Stdin::from(|mut writer| {
        for part in ["ha", "lf a li", "ne\n", "\n", "", "and", " half\na", " line"] {
            writer.write_all(part.as_bytes()).expect("it is read");
        }
    });
    let run_result = RunResult::of(subject, &Invocation::new(&["-r"]), &subject.ctx(2));
    drop(stdin);
    assert_eq!(String::from_utf8_lossy(&run_result.out), "half a line\nand half\na line\n\n");
    assert_eq!((run_result.totals.files, run_result.totals.lines, run_result.totals.bytes), (1, 4, 29));
}

fn stdin_is_empty(subject: &Subject) {
    conforms(subject, &Invocation::new(&[]), b"", 2);
    conforms(subject, &Invocation::new(&["-u"]).at("-"), b"\n", 2);
}

/// Standard input between files keeps its place among them.
fn stdin_among_operands(subject: &Subject) {
    let file = corpus::path("odd/zeros");
    let large = corpus::path("large/c");
    let invocation = Invocation::new(&["-k1,1"]).at(&file).at(&large).at("-").at(&large).at(&file);
    let text = fs::read(corpus::path("large/b")).expect("the corpus is there");
    conforms(subject, &invocation, &text, 2);
}

fn stdin_has_long_lines(subject: &Subject) {
    for name in ["longer-than-a-chunk", "longer-than-the-room"] {
        let text = fs::read(corpus::path("odd").join(name)).expect("the corpus is there");
        conforms(subject, &Invocation::new(&["-r"]), &text, 2);
    }
}
