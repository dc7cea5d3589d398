//! The cases of `resize`.

mod bounds;
mod corpus;
mod fails;
mod folder;
mod images;
mod laws;
mod mutants;
mod pillow;
mod run_result;
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
    resize::{self, Job, Output},
};

use run_result::{Invocation, RunResult};

/// The tests of this workload.
pub(crate) const SUITE: Suite = Suite::of::<Resize>();

/// The workload under test.
struct Resize;

impl Workload for Resize {
    const NAME: &'static str = "resize";
    type Run = resize::Run;

    fn entry(model: &mut Model) -> &mut Entry<Run<Self>> {
        &mut model.resize
    }

    fn warm_up(subject: &Subject) {
        let _ = RunResult::of(subject, &Invocation::of("none"), &subject.ctx(1));
    }

    fn corpus(dir: &Path) {
        corpus::make(dir);
    }

    fn cases() -> Vec<Case> {
        let of_options = [images::cases, folder::cases, fails::cases].into_iter().flat_map(|cases| cases());
        let others = [bounds::cases, pillow::cases, stops::cases].into_iter().flat_map(|cases| cases());
        let own = of_options.map(Case::about_options).chain(others);
        of_every_batch::<Self>().into_iter().chain(own).collect()
    }

    fn mutants() -> Vec<(&'static str, Run<Self>)> {
        mutants::all()
    }

    const REJECTED: &'static [Rejected] = mutants::REJECTED;
}

impl Batch for Resize {
    type Job = Job;
    type Output = Output;
}
