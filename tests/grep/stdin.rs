//! Standard input.

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    ops::ControlFlow,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

use cc_conformance::{case::Case, stdin::Stdin, subject::Subject};
use cc_workloads::{Block, Sink};
use rustix::stdio::dup2_stdin;

use super::{
    corpus, gnu,
    invocation::Invocation,
    run_result::{self, Collector, RunResult},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("stdin_is_a_file", stdin_is_a_file),
        Case::new("stdin_in_pieces", stdin_in_pieces),
        Case::new("stdin_among_operands", stdin_among_operands),
        Case::new("stdin_is_large", stdin_is_large),
        Case::new("stdin_is_odd", stdin_is_odd),
        Case::new("gnu_stdin", gnu_stdin).unless(gnu::missing).long_in_models(),
        Case::new("stdin_is_left_after_the_last_line", stdin_is_left_after_the_last_line),
        Case::new("a_file_is_named_like_stdin", a_file_is_named_like_stdin),
        Case::new("lines_come_out_as_they_come_in", lines_come_out_as_they_come_in),
    ]
}

fn run_result(subject: &Subject, invocation: &Invocation, text: &[u8]) -> RunResult {
    let _stdin = Stdin::of(text.to_vec());
    RunResult::of(subject, invocation, &subject.ctx(2))
}

fn conforms(subject: &Subject, invocation: &Invocation, text: &[u8]) {
    let shown = |subject| {
        let mut run_result = run_result(subject, invocation, text);
        if invocation.query.max.is_some() {
            // The number of bytes searched depends on how the input was divided as it arrived.
            run_result.totals.bytes = 0;
        }
        run_result
    };
    shown(subject).assert_same(&shown(&Subject::reference()), invocation);
}

fn read(part: &str) -> Vec<u8> {
    std::fs::read(corpus::path(part)).expect("the corpus is there")
}

fn stdin_is_a_file(subject: &Subject) {
    dup2_stdin(File::open(corpus::path("big")).expect("it is there")).expect("it can be replaced");
    let run_result = RunResult::of(subject, &Invocation::new("needle").flags(&["-n", "-H"]), &subject.ctx(2));
    dup2_stdin(File::open("/dev/null").expect("it is there")).expect("it can be replaced");
    let file = RunResult::reference(&Invocation::new("needle").flags(&["-n"]).at(corpus::path("big"))).out();
    let lines = file.split_inclusive(|byte| *byte == b'\n');
    let expected: Vec<u8> = lines.flat_map(|line| [b"(standard input):", line].concat()).collect();
    assert!(run_result.out() == expected, "{}", run_result::difference(&run_result.out(), &expected));
}

/// The next program that reads the same file continues after the last line that `-m` allows. If the
/// search ends early for another reason, nothing is left of the file.
fn stdin_is_left_after_the_last_line(subject: &Subject) {
    let text = read("big");
    let line_end = |nth: usize| {
        let lines = text.split_inclusive(|byte| *byte == b'\n').enumerate();
        let is_needle = |line: &[u8]| line.windows(6).any(|part| part == b"needle");
        let (last, _) = lines.filter(|(_, line)| is_needle(line)).nth(nth - 1).expect("there are as many");
        text.split_inclusive(|byte| *byte == b'\n').take(last + 1).map(<[u8]>::len).sum::<usize>() as u64
    };
    let end = text.len() as u64;
    for (flags, skipped, expected) in [
        (&["-m1"][..], 0, line_end(1)),
        (&["-m30", "-c"], 0, line_end(30)),
        (&["-m30", "-A2"], 0, line_end(30)),
        (&["-m1"], line_end(1), line_end(2)),
        (&["-q"], 0, end),
        (&["-l"], 7, end),
        (&["-c"], 0, end),
    ] {
        let mut file = File::open(corpus::path("big")).expect("it is there");
        file.seek(SeekFrom::Start(skipped)).expect("it is a file");
        dup2_stdin(&file).expect("standard input can be replaced");
        let invocation = Invocation::new("needle").flags(flags).at("-");
        let job = invocation.job();
        let mut out = Collector::default();
        let _ = run_result::run(subject, &job, &subject.ctx(2), &mut out);
        job.position_stdin();
        dup2_stdin(File::open("/dev/null").expect("it is there")).expect("it can be replaced");
        assert_eq!(file.stream_position().expect("it is a file"), expected, "{invocation}");
    }
}

/// A large file with the name that stands for standard input is not taken for it.
fn a_file_is_named_like_stdin(subject: &Subject) {
    const NAME: &str = "(standard input)";
    std::fs::copy(corpus::path("big"), NAME).expect("it can be copied");
    for flags in [&["-m1", "-n"][..], &["-l"], &["-m3", "-H"]] {
        let invocation = Invocation::new("needle").flags(flags).at(NAME).at("-").at(NAME);
        conforms(subject, &invocation, b"needle in standard input\n");
        let shown = run_result(subject, &invocation, b"needle in standard input\n").out();
        let expected = if flags == ["-l"] { 3 } else { 1 };
        let of_stdin = if flags == ["-l"] { NAME.as_bytes() } else { b"needle in standard input" };
        let lines = shown.split(|byte| *byte == b'\n');
        assert_eq!(lines.filter(|line| line.ends_with(of_stdin)).count(), expected, "{invocation}");
    }
}

/// A line that arrives in several pieces is one line.
fn stdin_in_pieces(subject: &Subject) {
    let (shown_tx, shown_rx) = sync_channel(0);
    let stdin = Stdin::from(move |mut writer| {
        for piece in ["needle 1\nhay\nnee", "dle 2", "\n"] {
            writer.write_all(piece.as_bytes()).expect("the run reads its input");
        }
        // The reader has taken all that was written before, so the next text arrives in a piece of
        // its own.
        until(&shown_rx, b"3:needle");
        for piece in ["needle", " 3", "\n\n", "needle 4"] {
            writer.write_all(piece.as_bytes()).expect("the run reads its input");
        }
        drop(writer);
        for _ in shown_rx {}
    });
    let out = shown(subject, &Invocation::new("needle").flag("-o").flag("-n"), shown_tx);
    drop(stdin);
    assert_eq!(String::from_utf8_lossy(&out), "1:needle\n3:needle\n4:needle\n6:needle\n");
}

/// Each line is shown before the next one is written, as in `tail -f log | grep`.
fn lines_come_out_as_they_come_in(subject: &Subject) {
    let (shown_tx, shown_rx) = sync_channel(0);
    let stdin = Stdin::from(move |mut writer| {
        for n in 0..40 {
            writeln!(writer, "hay\nneedle {n}").expect("the run reads its input");
            until(&shown_rx, format!("needle {n}\n").as_bytes());
        }
    });
    let out = shown(subject, &Invocation::new("needle"), shown_tx);
    drop(stdin);
    assert_eq!(String::from_utf8_lossy(&out).lines().count(), 40);
}

/// Waits for a block that contains this text.
fn until(shown_rx: &Receiver<Vec<u8>>, text: &[u8]) {
    let _ = shown_rx.iter().find(|block| block.windows(text.len()).any(|part| part == text));
}

/// Runs the job, sends each block to the writer as it is shown, and returns all of them.
fn shown(subject: &Subject, invocation: &Invocation, shown_tx: SyncSender<Vec<u8>>) -> Vec<u8> {
    struct Tell(Vec<u8>, SyncSender<Vec<u8>>);
    impl Sink<Block> for Tell {
        fn push(&mut self, block: Block) -> ControlFlow<()> {
            let (Block::Out(text) | Block::Err(text)) = block;
            self.0.extend(&text);
            let _ = self.1.send(text); // the writer may have ended
            ControlFlow::Continue(())
        }
    }
    let mut tell = Tell(Vec::new(), shown_tx);
    let _ = run_result::run(subject, &invocation.job(), &subject.ctx(2), &mut tell);
    tell.0
}

fn stdin_among_operands(subject: &Subject) {
    let text = read("odd/no-newline");
    let invocation = Invocation::new("needle").flags(&["-H", "-n"]);
    let invocation = invocation.at(corpus::path("odd/crlf")).at("-").at("missing").at(corpus::path("big"));
    conforms(subject, &invocation, &text);
    // The second time, standard input is at its end.
    conforms(subject, &invocation.clone().at("-").at(corpus::path("odd/utf8")), &text);
    conforms(subject, &invocation.flag("-r").at(corpus::path("odd")), &text);
}

fn stdin_is_large(subject: &Subject) {
    let text = read("big");
    for flags in [&["-n"][..], &["-c"], &["-o", "-n"], &["-m30", "-n"], &["-v", "-n"], &["-l"]] {
        conforms(subject, &Invocation::new("needle").flags(flags).at("-"), &text);
    }
    conforms(subject, &Invocation::new("[hy]").flags(&["-o", "-n"]), &text[..2 << 20]);
    conforms(subject, &Invocation::new("needle").flags(&["-c", "-H"]), &read("long"));
}

/// The odd files that are binary, or text, independent of how they arrive. A pipe delivers at least
/// a page at once, and the lines before a NUL that has not arrived yet are shown.
fn odd_texts() -> impl Iterator<Item = Vec<u8>> {
    let texts = corpus::odd_files().into_iter().map(|file| std::fs::read(file).expect("the corpus is there"));
    let comes_late = |text: &[u8]| {
        // The text after the last newline is searched only when the input has ended.
        let ends = text.iter().rposition(|byte| *byte == b'\n').unwrap_or(0).min(4096);
        text.iter().skip(ends).any(|byte| *byte == 0)
    };
    texts.filter(move |text| !comes_late(text))
}

fn stdin_is_odd(subject: &Subject) {
    for text in odd_texts() {
        for flags in [&["-n"][..], &["-v", "-c"], &["-L"]] {
            conforms(subject, &Invocation::new("needle").flags(flags), &text);
        }
    }
}

fn gnu_stdin(subject: &Subject) {
    for text in odd_texts() {
        for flags in [&["-n"][..], &["-v"], &["-c"], &["-L"], &["-o", "-n", "-m2"], &["-q"], &["-H", "-i"]] {
            let invocation = Invocation::new("needle").flags(flags).at("-");
            std::fs::write("text", &text).expect("it can be written");
            let file = File::open("text").expect("it was written");
            gnu::agrees(&invocation, &run_result(subject, &invocation, &text), Some(file));
        }
    }
}
