//! The cases of `grep`.

mod bounds;
mod corpus;
mod fails;
mod files;
mod flags;
mod gnu;
mod invocation;
mod laws;
mod mutants;
mod random;
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
    grep::{self, Job, Output},
};

use invocation::Invocation;
use run_result::RunResult;

/// The tests of this workload.
pub(crate) const SUITE: Suite = Suite::of::<Grep>();

/// The workload under test.
struct Grep;

impl Workload for Grep {
    const NAME: &'static str = "grep";
    type Run = grep::Run;

    fn entry(model: &mut Model) -> &mut Entry<Run<Self>> {
        &mut model.grep
    }

    fn warm_up(subject: &Subject) {
        let _ = RunResult::of(subject, &Invocation::new("needle").at("/dev/null"), &subject.ctx(1));
    }

    fn corpus(dir: &Path) {
        corpus::make(dir);
    }

    fn cases() -> Vec<Case> {
        let of_options = [files::cases, fails::cases].into_iter().flat_map(|cases| cases());
        let others = [flags::cases, stdin::cases, random::cases, stops::cases, bounds::cases];
        let own = of_options.map(Case::about_options).chain(others.into_iter().flat_map(|cases| cases()));
        of_every_batch::<Self>().into_iter().chain(own).collect()
    }

    fn mutants() -> Vec<(&'static str, Run<Self>)> {
        mutants::all()
    }

    const REJECTED: &'static [Rejected] = mutants::REJECTED;
}

impl Batch for Grep {
    type Job = Job;
    type Output = Output;

    fn shows(output: &Output) -> bool {
        !output.found.is_empty()
    }
}
