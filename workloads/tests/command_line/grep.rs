//! Tests of `grep` as a user runs it: with files, and with an input that is still open.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use super::{alone, assert_interrupted, assert_printed, poems, program};

/// Runs a grep of these files.
fn grep(name: &str, model: &str, args: &[&str], dir: &Path) -> Output {
    program(name, model, &["grep"], dir).args(args).output().expect("the program starts")
}

/// Runs a grep of this input.
fn filtered(name: &str, model: &str, args: &[&str], input: &str) -> Output {
    let mut child = piped(program(name, model, &["grep"], Path::new(".")).args(args));
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("written");
    child.wait_with_output().expect("waited for")
}

/// Starts a grep for `e` whose input the test writes.
pub(crate) fn interactive(name: &str, model: &str, flags: &[&str]) -> Child {
    piped(program(name, model, &["grep"], Path::new(".")).args(flags).arg("e"))
}

fn piped(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts")
}

pub(crate) fn lines_of_many_files_carry_names_in_the_order_asked_for(name: &str, models: &[&str]) {
    let dir = poems();
    for model in models {
        let out = grep(name, model, &["are", "sugar", "roses"], dir.path());
        let lines = "sugar:and so are you\nroses:Roses are red,\nroses:violets are blue,\n";
        assert_printed(&out, 0, lines, model);
    }
}

pub(crate) fn a_directory_is_searched_in_the_order_of_paths(name: &str, models: &[&str]) {
    let dir = poems();
    for model in models {
        let out = grep(name, model, &["-rin", "R.*E"], dir.path());
        let roses = "roses:1:Roses are red,\nroses:2:violets are blue,\n";
        let sugar = "sugar:1:sugar is sweet\r\nsugar:2:and so are you\n";
        assert_printed(&out, 0, &format!("{roses}{sugar}"), model);
    }
}

/// Runs with the default number of workers: one per processor.
pub(crate) fn every_variant_says_the_same(name: &str, models: &[&str]) {
    let dir = poems();
    for model in models {
        let mut command = Command::new(name);
        command.args(["--model", model, "grep", "-c", "are", "roses", "sugar"]).current_dir(&dir);
        assert_printed(&command.output().expect("the program starts"), 0, "roses:2\nsugar:1\n", model);
    }
}

pub(crate) fn standard_input_is_searched_and_no_match_is_status_1(name: &str, models: &[&str]) {
    for model in models {
        let out = filtered(name, model, &["-o", "b.."], "abcd\nxbyz\n");
        assert_printed(&out, 0, "bcd\nbyz\n", model);
        assert_printed(&filtered(name, model, &["q"], "abcd\n"), 1, "", model);
    }
}

pub(crate) fn a_missing_file_is_named_and_the_rest_is_searched(name: &str, models: &[&str]) {
    let dir = poems();
    for model in models {
        let out = grep(name, model, &["-h", "sweet", "missing", ".", "sugar"], dir.path());
        assert_printed(&out, 2, "sugar is sweet\r\n", model);
        let message = "grep: missing: No such file or directory\ngrep: .: Is a directory\n";
        assert_eq!(String::from_utf8_lossy(&out.stderr), message, "{model}");
        let out = grep(name, model, &["-qs", "sweet", "missing", "sugar"], dir.path());
        assert_printed(&out, 0, "", model);
        assert_eq!(String::from_utf8_lossy(&out.stderr), "", "{model}");
    }
}

pub(crate) fn a_wrong_pattern_or_flag_is_status_2(name: &str, models: &[&str]) {
    let here = Path::new(".");
    for model in models {
        let out = grep(name, model, &["a(b", "-"], here);
        assert_printed(&out, 2, "", model);
        let message = String::from_utf8_lossy(&out.stderr);
        assert_eq!(message.lines().next(), Some(r#"grep: pattern "a(b": regex parse error:"#), "{model}");
        assert_printed(&grep(name, model, &["--no-such-flag"], here), 2, "", model);
        let out = grep(name, model, &[], here);
        assert_printed(&out, 2, "", model);
        let message = "grep: no pattern: give one as the first operand, with -e or with -f\n";
        assert_eq!(String::from_utf8_lossy(&out.stderr), message, "{model}");
    }
}

pub(crate) fn a_line_is_reported_while_the_input_is_still_open_and_ctrl_c_is_130(
    name: &str,
    models: &[&str],
) {
    let _alone = alone();
    for model in models {
        let mut child = interactive(name, model, &["-n"]);
        let mut input = child.stdin.take().expect("piped");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        for (text, found) in [("one\nsix\n", "1:one\n"), ("three\n", "3:three\n")] {
            input.write_all(text.as_bytes()).expect("written");
            let mut line = String::new();
            output.read_line(&mut line).expect("read");
            assert_eq!(line, found, "{model}");
        }
        assert_interrupted(&mut child);
    }
}

pub(crate) fn ctrl_c_ends_it_while_the_output_is_not_read(name: &str, models: &[&str]) {
    let _alone = alone();
    for model in models {
        let mut child = interactive(name, model, &[]);
        let mut input = child.stdin.take().expect("piped");
        // The output is more than a pipe holds, so the program blocks on writing. The input is less
        // than both pipes hold together: a program with one thread does not read while it blocks.
        for _ in 0..80 {
            input.write_all(&[b'e', b'\n'].repeat(512)).expect("written");
        }
        assert_interrupted(&mut child);
    }
}

pub(crate) fn a_closed_pipe_ends_it_silently(name: &str, models: &[&str]) {
    for model in models {
        let mut child = interactive(name, model, &[]);
        let mut input = child.stdin.take().expect("piped");
        let mut output = child.stdout.take().expect("piped");
        input.write_all(b"yes\n").expect("written");
        output.read_exact(&mut [0; 4]).expect("read");
        drop(output);
        // The program reads until it notices the closed output; then its input is closed, too.
        while input.write_all(b"yes\n").is_ok() {}
        assert_eq!(child.wait().expect("waited for").code(), Some(141), "{model}");
    }
}

pub(crate) fn enough_is_enough_on_an_input_without_end(name: &str, models: &[&str]) {
    for model in models {
        for (flags, printed) in [(["-m1"], "yes\n"), (["-q"], "")] {
            let mut child = interactive(name, model, &flags);
            let mut input = child.stdin.take().expect("piped");
            while input.write_all(b"yes\n").is_ok() {}
            drop(input);
            assert_printed(&child.wait_with_output().expect("waited for"), 0, printed, model);
        }
    }
}
