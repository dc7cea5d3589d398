//! The conformance suite: one test per workload × model × case, generated from the tables.
//!
//! `cargo test -p cc-conformance` runs it, `-- grep::threads` a part of it, `-- --ignored` what takes longer.
//! This program is also the process that each case runs in, and the worker process that a case's model spawns.

mod grep;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use cc_conformance::{
    asked::Asked,
    corpus, gnu,
    isolate::{self, Failure},
    mutant,
    observe::Observed,
    subject::{self, Subject},
};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use grep::{Case, Needs};

/// After this time a case has hung. The machine may be busy.
const LIMIT: Duration = Duration::from_secs(120);
const LONG: Duration = Duration::from_secs(900);

fn main() -> ExitCode {
    subject::enter();
    if let Some(name) = isolate::requested() {
        run(&name);
        return ExitCode::SUCCESS;
    }
    let args = Arguments::from_args();
    let corpus = tempfile::Builder::new().prefix("cc-corpus-").tempdir().expect("a directory can be made");
    if !args.list {
        corpus::make(corpus.path());
    }
    let mut trials = Vec::new();
    for subject in subject::all() {
        let cases = grep::cases().into_iter().filter(|case| case.applies(&subject));
        trials.extend(cases.map(|case| trial(&subject, &case, corpus.path().to_owned())));
    }
    trials.extend(grep::mutants::trials(corpus.path()));
    let conclusion = libtest_mimic::run(&args, trials);
    drop(corpus);
    conclusion.exit_code()
}

/// Runs a case in this process.
fn run(name: &str) {
    let (subject, case) = name.rsplit_once("::").expect("subject::case");
    let subjects = subject::all().into_iter().chain(mutant::all());
    let subject = subjects.into_iter().find(|s| format!("grep::{}", s.name) == subject).expect("a subject");
    let case = grep::cases().into_iter().find(|c| c.name == case).expect("a case");
    let warm_up = || drop(Observed::of(&subject, &Asked::new("needle").at("/dev/null"), &subject.ctx(1)));
    isolate::run(warm_up, || (case.run)(&subject));
}

/// A case of a model, in a process of its own.
fn trial(subject: &Subject, case: &Case, corpus: PathBuf) -> Trial {
    let name = format!("grep::{}::{}", subject.name, case.name);
    let (limit, needs, long) = (if case.long { LONG } else { LIMIT }, case.needs, case.long);
    let start = {
        let name = name.clone();
        move || {
            if needs == Needs::Gnu && !*gnu::INSTALLED {
                return Ok(Completion::ignored_with("GNU grep is not installed"));
            }
            match isolate::start(&name, &[(corpus::CORPUS, &corpus)], limit) {
                Ok(()) => Ok(Completion::Completed),
                Err(Failure::Failed(why) | Failure::Hung(why)) => Err(Failed::from(why)),
            }
        }
    };
    Trial::ignorable_test(name, start).with_ignored_flag(long)
}
