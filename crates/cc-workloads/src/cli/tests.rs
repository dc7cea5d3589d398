//! Whatever is typed is understood or refused, and nothing panics.

use std::time::Instant;

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::MODELS;

#[test]
fn seconds_may_be_fractions() {
    assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
    assert_eq!(seconds("315576000"), Ok(Duration::from_secs(315_576_000)));
    let refused = ["", "x", "-1", "0", "inf", "NaN", "315576001", "1e18", "1e19", "1e308"];
    assert!(refused.iter().all(|text| seconds(text).is_err()));
    assert!(seconds("1e19").unwrap_err().contains("ten years"));
}

#[test]
fn workers_and_windows_have_a_limit() {
    let parsed = |args: &[&str]| command(MODELS).try_get_matches_from([&["cc"], args, &["sort"]].concat());
    for flag in ["--workers", "--window"] {
        let most = if flag == "--workers" { MAX_WORKERS } else { MAX_WINDOW };
        assert!(parsed(&[flag, "1"]).is_ok() && parsed(&[flag, &most.to_string()]).is_ok());
        for wrong in ["0", "20000000", "-1", "x", &(most + 1).to_string()] {
            let error = parsed(&[&format!("{flag}={wrong}")]).unwrap_err().to_string();
            assert!(error.contains(&format!("it must be a number from 1 to {most}")), "{error}");
        }
    }
}

/// What a workload cannot do without.
fn required(workload: &str) -> &'static [&'static str] {
    match workload {
        "grep" => &["-e", "x"],
        "resize" => &["--width", "8", "source"],
        "fetch" => &["http://a/"],
        _ => &[],
    }
}

/// What a command line becomes before anything is done.
fn parse(workload: &str, args: &ArgMatches) -> Result<()> {
    match workload {
        "grep" => grep::parse(args),
        "resize" => resize::parse(args),
        "mandelbrot" => mandelbrot::parse(args),
        "wordcount" => wordcount::parse(args),
        "sort" => sort::parse(args),
        "kv" => kv::parse(args),
        "fetch" => fetch::parse(args),
        other => panic!("{other} has no line here"),
    }
}

/// Whether a flag names a file or a directory, which this test must not make.
fn is_path(arg: &Arg) -> bool {
    let names = arg.get_value_names().unwrap_or_default();
    names.iter().any(|name| ["FILE", "DIR", "SRC"].iter().any(|path| name.contains(path)))
}

/// Parses a command line with this value of a flag, and computes with what comes of it as a run
/// would.
fn try_value(workload: &str, arg: &Arg, value: &str) {
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
    line.push(workload.to_owned());
    line.extend(required(workload).iter().map(|arg| (*arg).to_owned()));
    line.extend(flag.into_iter().filter(|_| !before));
    let Ok(matches) = command(MODELS).try_get_matches_from(line) else { return };
    let (workload, args) = matches.subcommand().expect("it is given");
    let ctx = context(&matches, args);
    assert!(ctx.workers.get() <= MAX_WORKERS && ctx.window.get() <= MAX_WINDOW);
    if let Ok(Some(time)) = args.try_get_one::<Duration>(arg.get_id().as_str()) {
        let _ = Instant::now() + 10 * *time;
    }
    let _ = parse(workload, args);
}

/// Parts of numbers, of sizes and of what is neither.
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
        let all = command(MODELS);
        for (workload, command, _) in WORKLOADS {
            let command = command();
            for arg in all.get_arguments().chain(command.get_arguments()).filter(|arg| !is_path(arg)) {
                try_value(workload, arg, &value);
            }
        }
    }
}
