//! The checks are checked: wrong implementations must be rejected, each by the cases that look for what is wrong
//! with it.

use std::{path::Path, time::Duration};

use cc_conformance::{
    corpus,
    isolate::{self, Failure},
};
use libtest_mimic::{Failed, Trial};

/// Each mutant, the cases that must reject it, and a part of what they must say.
const REJECTED: &[(&str, &[&str], &str)] = &[
    ("drops_one", &["tree", "no_flag", "flag_n", "big_file"], "differ"),
    ("repeats_one", &["tree", "no_flag", "flag_n", "big_file"], "differ"),
    ("swaps_two", &["tree", "no_flag", "flag_n", "big_file"], "differ"),
    ("stops_early", &["tree", "no_flag", "flag_n", "big_file"], "differ"),
    ("does_nothing", &["tree", "no_flag", "flag_n", "big_file", "stdin_is_large"], ""),
    ("loses_totals", &["no_flag"], "the totals differ"),
    ("holds_one_back", &["lines_come_out_as_they_come_in"], "hung"),
    ("hoards", &["slow_reader_of_one_file", "slow_reader_of_many_files", "slow_reader_of_stdin"], "MB"),
    ("hoards", &["lines_come_out_as_they_come_in"], "hung"),
    ("hoards", &["break_stops_reading"], "tasks were begun"),
    ("ignores_the_stop", &["stop_midway"], "nothing was left out"),
    ("ignores_the_stop", &["stop_within_a_big_file"], ""),
    ("ignores_the_stop", &["stop_while_stdin_is_silent", "stop_while_a_fifo_is_silent"], "hung"),
    ("ignores_the_stop", &["break_after_some"], "not asked to stop"),
    ("pushes_after_break", &["break_after_some", "break_stops_reading"], "pushed after Break"),
    ("reads_on", &["max_stops_reading"], "ranges were searched"),
    ("lets_panics_through", &["panic_in_a_small_file", "panic_in_a_big_file"], "planned"),
    ("starts_a_thread", &["no_threads_but_the_models"], "threads instead of"),
    ("leaves_a_thread", &["tree"], "left behind"),
    ("leaves_a_process", &["tree"], "left behind"),
    ("leaves_a_descriptor", &["tree"], "left behind"),
    ("leaves_a_file", &["tree"], "left behind"),
    ("prints", &["tree"], "where the output belongs"),
    ("hangs", &["tree"], "grep::hangs::tree hung"),
];

/// For those that hang on purpose.
const SOON: Duration = Duration::from_secs(4);

/// One test per mutant and what is wrong with it.
pub(crate) fn trials(corpus: &Path) -> Vec<Trial> {
    let trial = |(mutant, cases, why): &(&'static str, &'static [&'static str], &'static str)| {
        let (mutant, cases, why, corpus) = (*mutant, *cases, *why, corpus.to_owned());
        let nth = REJECTED.iter().filter(|other| other.0 == mutant).position(|other| other.1 == cases);
        let suffix = nth.filter(|nth| *nth > 0).map_or(String::new(), |nth| format!("_{}", nth + 1));
        Trial::test(format!("grep::mutants::{mutant}{suffix}"), move || {
            cases.iter().try_for_each(|case| rejects(case, mutant, why, &corpus))
        })
    };
    REJECTED.iter().map(trial).collect()
}

fn rejects(case: &str, mutant: &str, why: &str, corpus: &Path) -> Result<(), Failed> {
    let name = format!("grep::{mutant}::{case}");
    let limit = if why.contains("hung") { SOON } else { Duration::from_secs(60) };
    match isolate::start(&name, &[(corpus::CORPUS, corpus)], limit) {
        Err(Failure::Failed(said)) if said.contains(why) && !why.contains("hung") => Ok(()),
        Err(Failure::Hung(said)) if said.contains(why) && why.contains("hung") => Ok(()),
        Err(Failure::Failed(said) | Failure::Hung(said)) => {
            Err(format!("{case} rejects {mutant} for another reason than {why:?}:\n{said}").into())
        }
        Ok(()) => Err(format!("{case} lets {mutant} pass").into()),
    }
}
