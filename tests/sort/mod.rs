//! The cases of `sort`.

mod asked;
mod bounds;
mod corpus;
mod fails;
mod files;
mod gnu;
mod laws;
mod mutants;
mod observe;
mod oracle;
mod orders;
mod random;
mod room;
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

use asked::Asked;
use observe::Observed;

/// Its tests.
pub(crate) const SUITE: Suite = Suite::of::<Sort>();

/// This workload.
struct Sort;

impl Workload for Sort {
    const NAME: &'static str = "sort";
    type Run = sort::Run;

    fn entry(model: &mut Model) -> &mut Entry<Run<Self>> {
        &mut model.sort
    }

    fn warm_up(subject: &Subject) {
        let _ = Observed::of(subject, &Asked::of("odd/no-newline", &[]), &subject.ctx(1));
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
