//! The cases of `mandelbrot`.

mod fails;
mod laws;
mod mutants;
mod pictures;
mod run_result;
mod stops;

use cc_conformance::{
    case::Case,
    laws::of_every_batch,
    subject::Subject,
    suite::Suite,
    workload::{Batch, Rejected, Run, Workload},
};
use cc_workloads::{
    Entry, Model,
    mandelbrot::{self, Job, Output},
};

use run_result::{RunResult, view};

/// The tests of this workload.
pub(crate) const SUITE: Suite = Suite::of::<Mandelbrot>();

/// The workload under test.
struct Mandelbrot;

impl Workload for Mandelbrot {
    const NAME: &'static str = "mandelbrot";
    const READS_FILES: bool = false;
    type Run = mandelbrot::Run;

    fn entry(model: &mut Model) -> &mut Entry<Run<Self>> {
        &mut model.mandelbrot
    }

    fn warm_up(subject: &Subject) {
        let _ = RunResult::of(subject, &view(1, 1), &subject.ctx(1));
    }

    fn cases() -> Vec<Case> {
        let own = [pictures::cases, stops::cases, fails::cases].into_iter().flat_map(|cases| cases());
        of_every_batch::<Self>().into_iter().chain(own).collect()
    }

    fn mutants() -> Vec<(&'static str, Run<Self>)> {
        mutants::all()
    }

    const REJECTED: &'static [Rejected] = mutants::REJECTED;
}

impl Batch for Mandelbrot {
    type Job = Job;
    type Output = Output;
}
