//! Tests of `mandelbrot` and `resize` as a user runs them.

use std::{
    fs,
    num::{NonZeroU32, NonZeroUsize},
    ops::ControlFlow,
    path::Path,
    process::Output,
};

use cc_workloads::{
    Block, Ctx, Sink,
    mandelbrot::{Job, View, sequential},
};

use super::{assert_printed, poems, program};

fn run(name: &str, model: &str, args: &[&str], dir: &Path) -> Output {
    program(name, model, args, dir).output().expect("the program starts")
}

/// The line that the reference prints for a picture of the default region.
pub(crate) fn reference(width: u32, height: u32, max_iter: u32) -> String {
    struct Ignored;
    impl Sink<Block> for Ignored {
        fn push(&mut self, block: Block) -> ControlFlow<()> {
            panic!("{block:?}");
        }
    }
    let pixels = |n| NonZeroU32::new(n).expect("not zero");
    let job = Job::new(View { max_iter, ..View::new(pixels(width), pixels(height)) });
    let mut ignored = Ignored;
    let mut picture = job.picture(&mut ignored);
    sequential::run(&job, &Ctx::new(NonZeroUsize::MIN), &mut picture).expect("computed");
    format!("{:032x} {width}x{height} max-iter {max_iter}\n", picture.digest())
}

pub(crate) fn a_tiny_picture_is_the_references_however_it_is_cut(name: &str, models: &[&str]) {
    let known = "2bcc814983bee1c5762b1bcdeb2023d3 30x20 max-iter 1000\n";
    assert_eq!(reference(30, 20, 1000), known);
    let other = reference(40, 30, 100);
    for model in models {
        for tile in ["1x1", "4x3", "7x3", "4x30", "999x999"] {
            for (size, max_iter, expected) in [("30x20", "1000", known), ("40x30", "100", &*other)] {
                let args = ["mandelbrot", "--size", size, "--max-iter", max_iter, "--tile", tile];
                let out = run(name, model, &args, Path::new("."));
                assert_printed(&out, 0, expected, model);
                assert_eq!(String::from_utf8_lossy(&out.stderr), "", "{model}");
            }
        }
    }
}

pub(crate) fn a_picture_becomes_a_thumbnail_and_what_is_none_is_named(name: &str, models: &[&str]) {
    for model in models {
        let dir = poems();
        fs::write(dir.path().join("rose.jpg"), "not an image").expect("written");
        let args = ["mandelbrot", "--size", "30x20", "--out", "set.png"];
        assert_eq!(run(name, model, &args, dir.path()).status.code(), Some(0), "{model}");
        let args = ["resize", "--width", "15", "set.png", "missing.png", "roses", "rose.jpg"];
        let out = run(name, model, &args, dir.path());
        let (made, messages) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert_eq!(out.status.code(), Some(1), "{model}: {messages}");
        assert!(made.ends_with(" 15x10 set.png\n") && made.lines().count() == 1, "{model}: {made}");
        let mut messages: Vec<&str> = messages.lines().collect();
        messages.sort_unstable();
        let [missing, jpg, text] = messages[..] else { panic!("{model}: {messages:?}") };
        assert_eq!(missing, "resize: missing.png: No such file or directory", "{model}");
        assert!(jpg.starts_with("resize: rose.jpg: ") && text.starts_with("resize: roses: "), "{messages:?}");
    }
}

pub(crate) fn help_and_wrong_flags_of_the_other_workloads(name: &str, models: &[&str]) {
    let here = Path::new(".");
    for model in models {
        for (workload, flag) in [("mandelbrot", "--max-iter"), ("resize", "--width")] {
            let out = run(name, model, &[workload, "--help"], here);
            let messages = String::from_utf8_lossy(&out.stdout);
            assert!(out.status.code() == Some(0) && messages.contains(flag), "{model}: {messages}");
            assert_printed(&run(name, model, &[workload, "--no-such-flag"], here), 2, "", model);
        }
        assert_printed(&run(name, model, &["mandelbrot", "--tile", "0x3"], here), 2, "", model);
        assert_printed(&run(name, model, &["resize", "."], here), 2, "", model);
    }
}
