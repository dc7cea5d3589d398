//! Tests of `sort` as a user runs it, and of a directory for temporary files that is missing.

use std::{
    fs::{self, File},
    process::{Command, Output},
};

use super::{assert_printed, program, scratch};

fn output(command: &mut Command) -> Output {
    command.output().expect("the program starts")
}

/// Asserts the whole result: the exit status, the output, and the message.
fn assert_said(out: &Output, status: i32, printed: &str, message: &str, what: &str) {
    assert_printed(out, status, printed, what);
    assert_eq!(String::from_utf8_lossy(&out.stderr), message, "{what}");
}

pub(crate) fn sort_has_the_flags_of_gnu_sort(name: &str, models: &[&str]) {
    let dir = scratch();
    let write = |file: &str, text: &str| fs::write(dir.path().join(file), text).expect("written");
    write("sizes", "2K\n1M\n3\n");
    write("sorted", "a\nc\n");
    write("records", "b\0a\nb\0");
    write("list", "f\0sorted\0");
    for model in models {
        let run = |args: &[&str]| output(program(name, model, &["sort"], dir.path()).args(args));
        let cases: [(&[&str], i32, &str, &str); 12] = [
            (&["-h", "sizes"], 0, "3\n2K\n1M\n", ""),
            (&["-k1.2,1h", "-s", "sizes"], 0, "2K\n1M\n3\n", ""),
            (&["-z", "records"], 0, "a\nb\0b\0", ""),
            (&["-m", "sorted", "f"], 0, "a\nb\na\nc\n", ""),
            (&["-m", "-o", "merged", "sorted"], 0, "", ""),
            (&["--files0-from=list"], 0, "a\na\nb\nc\n", ""),
            (&["-c", "sorted"], 0, "", ""),
            (&["-c", "f"], 1, "", "sort: f:2: disorder: a\n"),
            (&["-C", "f"], 1, "", ""),
            (&["-c", "none"], 2, "", "sort: cannot read: none: No such file or directory\n"),
            (&["-dn", "f"], 2, "", "sort: options '-dn' are incompatible\n"),
            (&["-o", "x", "-oy", "f"], 2, "", "sort: multiple output files specified\n"),
        ];
        for (args, status, printed, message) in cases {
            assert_said(&run(args), status, printed, message, &format!("{model} {args:?}"));
        }
        assert_eq!(fs::read(dir.path().join("merged")).expect("it was made"), b"a\nc\n");
    }
}

pub(crate) fn a_missing_temporary_directory_matters_only_if_it_is_needed(name: &str, models: &[&str]) {
    let dir = scratch();
    let none = dir.path().join("none");
    for model in models {
        let command = |args: &[&str]| {
            let mut command = program(name, model, args, dir.path());
            command.env("TMPDIR", &none);
            command
        };
        assert_said(&output(&mut command(&["sort", "f"])), 0, "a\nb\n", "", model);
        assert_said(&output(&mut command(&["sort", "-T", "none", "f"])), 0, "a\nb\n", "", model);
        let stdin = File::open(dir.path().join("f")).expect("it is there");
        assert_said(&output(command(&["sort"]).stdin(stdin)), 0, "a\nb\n", "", model);
        let counted = output(&mut command(&["wordcount", "f"]));
        assert_said(&counted, 0, "1\ta\n1\tb\n", "", model);
        let found = output(&mut command(&["grep", "-c", "a", "f"]));
        assert_said(&found, 0, "1\n", "", model);
    }
}
