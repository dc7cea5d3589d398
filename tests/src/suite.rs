//! A workload's tests: one per model and case, one per mutant.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use cc_workloads::Entry;
use libtest_mimic::{Completion, Failed, Trial};
use tempfile::TempDir;

use crate::{
    case::{Case, Long},
    isolate::{self, Failure},
    subject::{self, Subject},
    workload::{Rejected, Workload},
};

/// Time limit of a case: one that runs longer has hung. It is generous, because the machine may be
/// busy.
const LIMIT: Duration = Duration::from_secs(120);
/// The same for a case that runs only with `--ignored`.
const LONG: Duration = Duration::from_secs(900);
/// The same for a mutant that hangs on purpose.
const SOON: Duration = Duration::from_secs(4);

/// The environment variable that names the directory of the workload's inputs.
const CORPUS: &str = "CC_CONFORMANCE_CORPUS";

/// The path of one of the inputs that [`Workload::corpus`] made.
///
/// # Panics
///
/// If this process does not run a case.
#[must_use]
pub fn corpus(part: &str) -> PathBuf {
    isolate::directory(CORPUS).join(part)
}

/// The tests of a workload.
pub struct Suite {
    /// The workload's name.
    pub name: &'static str,
    /// Makes all its tests.
    pub trials: fn() -> Vec<Trial>,
    /// Runs a case in this process, given the subject's name and the case's.
    pub run: fn(&str, &str),
}

impl Suite {
    /// The tests of this workload.
    #[must_use]
    pub const fn of<W: Workload>() -> Self {
        Self { name: W::NAME, trials: trials::<W>, run: run::<W> }
    }
}

fn trials<W: Workload>() -> Vec<Trial> {
    let corpus = Arc::new(Corpus { make: W::corpus, made: OnceLock::new() });
    let mut trials = vec![];
    for subject in subject::all().into_iter().filter(|subject| W::READS_FILES || !subject.is_retest) {
        match subject.entry::<W>() {
            Entry::Run(_) => {
                let cases = W::cases().into_iter().filter(|case| case.applies(&subject));
                trials.extend(cases.map(|case| trial::<W>(&subject, &case, &corpus)));
            }
            Entry::Declined(why) if subject.is_retest => eprintln!("{}: {why}", subject.name),
            Entry::Declined(why) => trials.push(is_written::<W>(&subject, why)),
        }
    }
    if W::cases().is_empty() {
        let name = format!("{}::cases_are_written", W::NAME);
        trials.push(Trial::test(name, || Err("there are no cases".into())));
    }
    trials.extend(W::REJECTED.iter().map(|rejected| mutant::<W>(rejected, &corpus)));
    trials
}

fn run<W: Workload>(subject: &str, case: &str) {
    let mutants = W::mutants().into_iter().map(|(name, run)| Subject::mutant::<W>(name, run));
    let subject = subject::all().into_iter().chain(mutants).find(|s| s.name == subject).expect("a subject");
    let case = W::cases().into_iter().find(|c| c.name == case).expect("a case");
    isolate::run(|| W::warm_up(&subject), || (case.run)(&subject));
}

/// The test of a case in a model. It runs the case in a process of its own.
fn trial<W: Workload>(subject: &Subject, case: &Case, corpus: &Arc<Corpus>) -> Trial {
    let name = format!("{}::{}::{}", W::NAME, subject.name, case.name);
    let (is_long, missing) = (case.is_long(subject), case.missing);
    let limit = if is_long { LONG } else { LIMIT };
    let start = {
        let (name, corpus) = (name.clone(), Arc::clone(corpus));
        move || match missing() {
            Some(why) => Ok(Completion::ignored_with(why)),
            None => match isolate::start(&name, &[(CORPUS, corpus.path())], limit) {
                Ok(()) => Ok(Completion::Completed),
                Err(Failure::Failed(why) | Failure::Hung(why)) => Err(Failed::from(why)),
            },
        }
    };
    Trial::ignorable_test(name, start).with_ignored_flag(is_long)
}

/// The test of a model that declines the workload. It fails unless the model is a variant.
fn is_written<W: Workload>(subject: &Subject, why: &'static str) -> Trial {
    let may_decline = subject.is_variant;
    Trial::ignorable_test(format!("{}::{}::is_written", W::NAME, subject.name), move || {
        if may_decline { Ok(Completion::ignored_with(why)) } else { Err(why.into()) }
    })
}

/// The test of a mutant: each of these cases must reject it, for this reason.
fn mutant<W: Workload>(rejected: &'static Rejected, corpus: &Arc<Corpus>) -> Trial {
    let (mutant, cases, why) = *rejected;
    let nth = W::REJECTED.iter().filter(|other| other.0 == mutant).position(|other| other.1 == cases);
    let suffix = nth.filter(|nth| *nth > 0).map_or(String::new(), |nth| format!("_{}", nth + 1));
    let corpus = Arc::clone(corpus);
    Trial::test(format!("{}::mutants::{mutant}{suffix}", W::NAME), move || {
        let is_soon = |case: &Case| cases.contains(&&*case.name) && case.long == Long::Nowhere;
        if !W::cases().iter().any(is_soon) {
            return Err("in the models, only cases that run with --ignored reject it".into());
        }
        cases.iter().try_for_each(|case| rejects::<W>(case, mutant, why, &corpus))
    })
}

fn rejects<W: Workload>(case: &str, mutant: &str, why: &str, corpus: &Corpus) -> Result<(), Failed> {
    let name = format!("{}::{mutant}::{case}", W::NAME);
    let limit = if why.contains("hung") { SOON } else { LIMIT };
    match isolate::start(&name, &[(CORPUS, corpus.path())], limit) {
        Err(Failure::Failed(said)) if said.contains(why) && !why.contains("hung") => Ok(()),
        Err(Failure::Hung(said)) if said.contains(why) && why.contains("hung") => Ok(()),
        Err(Failure::Failed(said) | Failure::Hung(said)) => {
            Err(format!("{case} rejects {mutant} for another reason than {why:?}:\n{said}").into())
        }
        Ok(()) => Err(format!("{case} lets {mutant} pass").into()),
    }
}

/// A workload's inputs: made when the first case needs them, removed after the last test.
struct Corpus {
    make: fn(&Path),
    made: OnceLock<TempDir>,
}

impl Corpus {
    fn path(&self) -> &Path {
        let make = || {
            let dir = tempfile::Builder::new().prefix("cc-corpus-").tempdir();
            let dir = dir.expect("a directory can be made");
            (self.make)(dir.path());
            dir
        };
        self.made.get_or_init(make).path()
    }
}
