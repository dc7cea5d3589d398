//! The cases of `sort`.

mod bounds;
mod corpus;
mod fails;
mod files;
mod gnu;
mod invocation;
mod laws;
mod mutants;
mod oracle;
mod orders;
mod random;
mod room;
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
    sort::{self, Job, Output},
};

use invocation::Invocation;
use run_result::RunResult;

/// The tests of this workload.
pub(crate) const SUITE: Suite = Suite::of::<Sort>();

/// The workload under test.
struct Sort;

impl Workload for Sort {
    const NAME: &'static str = "sort";
    type Run = sort::Run;

    fn entry(model: &mut Model) -> &mut Entry<Run<Self>> {
        &mut model.sort
    }

    fn warm_up(subject: &Subject) {
        let _ = RunResult::of(subject, &Invocation::of("odd/no-newline", &[]), &subject.ctx(1));
    }

    fn corpus(dir: &Path) {
        corpus::make(dir);
    }

    fn cases() -> Vec<Case> {
        let of_options = [files::cases, fails::cases].into_iter().flat_map(|cases| cases());
        let others = [orders::cases, random::cases, stdin::cases, stops::cases, room::cases, bounds::cases];
        let own = of_options.map(Case::about_options).chain(others.into_iter().flat_map(|cases| cases()));
        of_every_batch::<Self>().into_iter().chain(own).collect()
    }

    fn mutants() -> Vec<(&'static str, Run<Self>)> {
        mutants::all()
    }

    const REJECTED: &'static [Rejected] = mutants::REJECTED;
}

impl Batch for Sort {
    type Job = Job;
    type Output = Output;

    fn shows(output: &Output) -> bool {
        matches!(output, Output::Lines { lines: 1.., .. })
    }
}
