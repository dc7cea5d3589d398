//! Bounds: memory with a slow reader, descriptors, threads.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use cc_conformance::{bounds::limit_descriptors, case::Case, stdin::Stdin, subject::Subject, tree};
use cc_workloads::{Block, Ctx, Sink};

use super::{
    corpus, files,
    invocation::Invocation,
    run_result::{self, conforms},
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![Case::new("descriptor_limit_of_64", descriptor_limit_of_64)];
    for (name, shape) in [("one_file", Shape::File), ("many_files", Shape::Tree), ("stdin", Shape::Stdin)] {
        let case = move |subject: &Subject| slow_reader(subject, shape, 5);
        cases.push(Case::new(format!("slow_reader_of_{name}"), case));
        let case = move |subject: &Subject| slow_reader(subject, shape, 100);
        cases.push(Case::new(format!("slow_reader_of_{name}_1_gb"), case).long());
    }
    cases
}

#[derive(Clone, Copy)]
enum Shape {
    File,
    Tree,
    Stdin,
}

/// The size of an input for which the output has ten megabytes.
const SMALL: u64 = 1_500_000;

/// Allowed difference between two runs: the number of tasks in flight varies, by a mebibyte or two
/// per task.
const SLACK: u64 = 16 << 20;

/// A slow reader: before it takes a block, it waits until all other threads sleep, and measures
/// memory.
struct Slow {
    pushes: u64,
    out: u64,
    peak: u64,
}

impl Sink<Block> for Slow {
    fn push(&mut self, block: Block) -> ControlFlow<()> {
        let (Block::Out(text) | Block::Err(text)) = block;
        self.pushes += 1;
        self.out += text.len() as u64;
        if self.pushes < 8 || self.pushes.is_multiple_of(64) {
            tree::wait_until_quiet();
            self.peak = self.peak.max(tree::memory());
        }
        ControlFlow::Continue(())
    }
}

/// With `-on .` the output is many times the input. The memory for what waits for a slow reader
/// does not grow with it.
fn slow_reader(subject: &Subject, shape: Shape, times: u64) {
    let size = if matches!(shape, Shape::Stdin) { SMALL * 6 } else { SMALL };
    let small = peak(subject, shape, size);
    let large = peak(subject, shape, size * times);
    let (small_mb, large_mb) = (small / 1_000_000, large / 1_000_000);
    assert!(
        large <= small * 2 + SLACK,
        "{small_mb} MB for the small output, {large_mb} MB for {times} times as much"
    );
}

/// The peak memory of the processes while they wait for the reader.
fn peak(subject: &Subject, shape: Shape, size: u64) -> u64 {
    let name = PathBuf::from(size.to_string());
    // With few flags, the output fills the queues. Standard input cannot be read a second time, so
    // its text waits in the queues as well.
    let flags: &[_] = if matches!(shape, Shape::Stdin) { &["-n"] } else { &["-o", "-n"] };
    let invocation = Invocation::new(".").flags(flags);
    let invocation = match shape {
        Shape::File | Shape::Stdin => {
            write_lines(&name, size);
            if matches!(shape, Shape::File) { invocation.at(&name) } else { invocation }
        }
        Shape::Tree => {
            fs::create_dir(&name).expect("it can be made");
            (0..size / 50_000).for_each(|n| write_lines(&name.join(n.to_string()), 50_000));
            invocation.flag("-r").at(&name)
        }
    };
    let stdin = matches!(shape, Shape::Stdin).then(|| {
        let mut input = File::open(&name).expect("it was written");
        Stdin::from(move |mut writer| drop(std::io::copy(&mut input, &mut writer)))
    });
    let mut ctx: Ctx = subject.ctx(2);
    ctx.window = 4.try_into().expect("four is not zero");
    let mut slow = Slow { pushes: 0, out: 0, peak: 0 };
    let _ = run_result::run(subject, &invocation.job(), &ctx, &mut slow);
    drop(stdin);
    assert!(slow.out > size * if flags.len() == 2 { 5 } else { 1 }, "{} bytes of output", slow.out);
    slow.peak
}

fn write_lines(name: &Path, size: u64) {
    let mut file = BufWriter::new(File::create(name).expect("it can be made"));
    for _ in 0..size / 80 {
        writeln!(file, "{:79}", "one of many equal lines").expect("it can be written");
    }
}

/// A run needs at most 64 descriptors, independent of the number of files.
fn descriptor_limit_of_64(subject: &Subject) {
    limit_descriptors(64);
    let everything =
        |invocation: Invocation| invocation.at_all(["odd", "many", "big"].map(corpus::path)).flag("-r");
    for flags in [&["-H", "-n"][..], &["-v", "-c"]] {
        conforms(subject, &everything(Invocation::new("needle").flags(flags)));
    }
    conforms(subject, &everything(Invocation::new("needle")).at_all(files::troublesome()));
}
