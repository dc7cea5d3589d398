//! The cases of `wordcount`.

mod bounds;
mod corpus;
mod counts;
mod fails;
mod laws;
mod mutants;
mod run_result;
mod stdin;
mod stops;

use std::path::Path;

use cc_conformance::{
    case::Case,
    laws::of_every_batch,
    subject::Subject,
    suite::Suite,
    workload::{Batch, Rejected, Run, Workload},
};
use cc_workloads::{
    Entry, Model,
    wordcount::{self, Job, Output},
};

use run_result::{Invocation, RunResult};

/// The tests of this workload.
pub(crate) const SUITE: Suite = Suite::of::<Wordcount>();

/// The workload under test.
struct Wordcount;

impl Workload for Wordcount {
    const NAME: &'static str = "wordcount";
    type Run = wordcount::Run;

    fn entry(model: &mut Model) -> &mut Entry<Run<Self>> {
        &mut model.wordcount
    }

    fn warm_up(subject: &Subject) {
        let _ = RunResult::of(subject, &Invocation::of("small"), &subject.ctx(1));
    }

    fn corpus(dir: &Path) {
        corpus::make(dir);
    }

    fn cases() -> Vec<Case> {
        let of_options = fails::cases().into_iter().map(Case::about_options);
        let others = [counts::cases, stdin::cases, stops::cases, bounds::cases];
        let own = of_options.chain(others.into_iter().flat_map(|cases| cases()));
        of_every_batch::<Self>().into_iter().chain(own).collect()
    }

    fn mutants() -> Vec<(&'static str, Run<Self>)> {
        mutants::all()
    }

    const REJECTED: &'static [Rejected] = mutants::REJECTED;
}

impl Batch for Wordcount {
    type Job = Job;
    type Output = Output;

    fn shows(output: &Output) -> bool {
        match output {
            Output::Read(read) => read.totals.words > 0,
            Output::Ranked(ranked) => ranked.distinct > 0,
        }
    }
}
