//! Every command line is accepted or refused, and none causes a panic.

use std::time::{Duration, Instant};

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::{MODELS, model::Workload};

#[test]
fn workers_and_windows_have_a_limit() {
    let parsed = |args: &[&str]| {
        command(MODELS, |command| command).try_get_matches_from([&["cc"], args, &["sort"]].concat())
    };
    for flag in ["--workers", "--window"] {
        let most = if flag == "--workers" { MAX_WORKERS } else { MAX_WINDOW };
        assert!(parsed(&[flag, "1"]).is_ok() && parsed(&[flag, &most.to_string()]).is_ok());
        for wrong in ["0", "20000000", "-1", "x", &(most + 1).to_string()] {
            let error = parsed(&[&format!("{flag}={wrong}")]).unwrap_err().to_string();
            assert!(error.contains(&format!("it must be a number from 1 to {most}")), "{error}");
        }
    }
}

/// The arguments that a workload requires.
fn required(workload: &str) -> &'static [&'static str] {
    match workload {
        "grep" => &["-e", "x"],
        "resize" => &["--width", "8", "source"],
        "fetch" => &["http://a/"],
        _ => &[],
    }
}

/// Whether a flag names a file or a directory, which this test must not create.
fn is_path(arg: &Arg) -> bool {
    let names = arg.get_value_names().unwrap_or_default();
    names.iter().any(|name| ["FILE", "DIR", "SRC"].iter().any(|path| name.contains(path)))
}

/// Parses a command line with this value of a flag, and computes with the parsed value as a run
/// would.
fn try_value(row: &Workload, arg: &Arg, value: &str) {
    let before = matches!(arg.get_id().as_str(), "workers" | "window" | "model");
    let flag = match (arg.get_long(), arg.get_short()) {
        _ if !arg.get_action().takes_values() => arg.get_long().map(|long| vec![format!("--{long}")]),
        (Some(long), _) => Some(vec![format!("--{long}={value}")]),
        (None, Some(short)) => Some(vec![format!("-{short}"), value.to_owned()]),
        (None, None) => Some(vec!["--".to_owned(), value.to_owned()]),
    };
    let flag = flag.unwrap_or_default();
    let mut line = vec!["cc".to_owned()];
    line.extend(flag.iter().filter(|_| before).cloned());
    line.push(row.name.to_owned());
    line.extend(required(row.name).iter().map(|arg| (*arg).to_owned()));
    line.extend(flag.into_iter().filter(|_| !before));
    let Ok(matches) = command(MODELS, |command| command).try_get_matches_from(line) else { return };
    let (_, args) = matches.subcommand().expect("it is given");
    let ctx = context(&matches);
    assert!(ctx.workers.get() <= MAX_WORKERS && ctx.window.get() <= MAX_WINDOW);
    if let Ok(Some(time)) = args.try_get_one::<Duration>(arg.get_id().as_str()) {
        let _ = Instant::now() + 10 * *time;
    }
    let _ = (row.parse)(args);
}

/// Parts of numbers, of sizes, and of other texts.
const PARTS: &[&str] = &[
    "0",
    "1",
    "7",
    "99",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1e19",
    "inf",
    "NaN",
    "-",
    "+",
    ".",
    ",",
    "x",
    ":",
    "b",
    "K",
    "M",
    "G",
    "E",
    "n",
    "r",
    "%",
    " ",
    "\\",
    "(",
    "[",
    "é",
    "\u{1b}",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_value_of_any_flag_panics(value in vec(select(PARTS), 0..6).prop_map(|parts| parts.concat())) {
        let all = command(MODELS, |command| command);
        for row in WORKLOADS {
            let command = (row.command)();
            for arg in all.get_arguments().chain(command.get_arguments()).filter(|arg| !is_path(arg)) {
                try_value(row, arg, &value);
            }
        }
    }
}
