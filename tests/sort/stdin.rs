//! Standard input.

use std::{fs, io::Write};

use cc_conformance::{case::Case, stdin::Stdin, subject::Subject};

use super::{asked::Asked, corpus, observe::Observed, oracle::Expected};

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

fn conforms(subject: &Subject, asked: &Asked, text: &[u8], workers: usize) {
    Observed::with_stdin(subject, asked, &subject.ctx(workers), text).assert(&Expected::of(asked, text));
}

/// Nobody knows how large it is: what does not fit is put aside.
fn larger_than_memory(subject: &Subject, workers: usize) {
    let asked = Asked::new(corpus::flags("first_field"));
    let observed = Observed::with_stdin(subject, &asked, &subject.ctx(workers), &large());
    let mut expected = corpus::expected("large", "first_field");
    expected.totals.files = 1;
    observed.assert(&expected);
}

/// More than fits: the large files, one behind the other.
pub(super) fn large() -> Vec<u8> {
    let texts: Vec<_> =
        corpus::files("large").iter().map(|file| fs::read(file).expect("it is there")).collect();
    texts.join(&b'\n')
}

/// Lines that arrive in parts are lines all the same.
fn stdin_in_pieces(subject: &Subject) {
    let stdin = Stdin::from(|mut writer| {
        for part in ["ha", "lf a li", "ne\n", "\n", "", "and", " half\na", " line"] {
            writer.write_all(part.as_bytes()).expect("it is read");
        }
    });
    let observed = Observed::of(subject, &Asked::new(&["-r"]), &subject.ctx(2));
    drop(stdin);
    assert_eq!(String::from_utf8_lossy(&observed.out), "half a line\nand half\na line\n\n");
    assert_eq!((observed.totals.files, observed.totals.lines, observed.totals.bytes), (1, 4, 29));
}

fn stdin_is_empty(subject: &Subject) {
    conforms(subject, &Asked::new(&[]), b"", 2);
    conforms(subject, &Asked::new(&["-u"]).at("-"), b"\n", 2);
}

/// Between files, its lines are between theirs.
fn stdin_among_operands(subject: &Subject) {
    let file = corpus::path("odd/zeros");
    let large = corpus::path("large/c");
    let asked = Asked::new(&["-k1,1"]).at(&file).at(&large).at("-").at(&large).at(&file);
    let text = fs::read(corpus::path("large/b")).expect("the corpus is there");
    conforms(subject, &asked, &text, 2);
}

fn stdin_has_long_lines(subject: &Subject) {
    for name in ["longer-than-a-chunk", "longer-than-the-room"] {
        let text = fs::read(corpus::path("odd").join(name)).expect("the corpus is there");
        conforms(subject, &Asked::new(&["-r"]), &text, 2);
    }
}
