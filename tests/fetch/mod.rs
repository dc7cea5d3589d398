//! The cases of `fetch`.

mod connections;
mod fails;
mod faults;
mod files;
mod kills;
mod laws;
mod limits;
mod mutants;
mod run_result;
mod servers;
mod stops;

use cc_conformance::{
    case::Case,
    laws::of_every_batch,
    subject::Subject,
    suite::Suite,
    workload::{Batch, Rejected, Run, Workload},
};
use cc_peers::origin::{Origin, Settings};
use cc_workloads::{
    Entry, Model,
    fetch::{self, Job, Output},
};

use run_result::{Invocation, RunResult};

/// The tests of this workload.
pub(crate) const SUITE: Suite = Suite::of::<Fetch>();

/// The workload under test.
struct Fetch;

impl Workload for Fetch {
    const NAME: &'static str = "fetch";
    const READS_FILES: bool = false;
    type Run = fetch::Run;

    fn entry(model: &mut Model) -> &mut Entry<Run<Self>> {
        &mut model.fetch
    }

    fn warm_up(subject: &Subject) {
        let origin = origin(Settings::default());
        let _ = RunResult::of(subject, &Invocation::of(&origin, ["/plain/1"]), &subject.ctx(1));
    }

    fn cases() -> Vec<Case> {
        let modules = [faults::cases, fails::cases, kills::cases, limits::cases, files::cases, stops::cases];
        let modules = modules.into_iter().chain([connections::cases as fn() -> Vec<Case>]);
        let own = modules.flat_map(|cases| cases());
        of_every_batch::<Self>().into_iter().chain(own).collect()
    }

    fn mutants() -> Vec<(&'static str, Run<Self>)> {
        mutants::all()
    }

    const REJECTED: &'static [Rejected] = mutants::REJECTED;
}

impl Batch for Fetch {
    type Job = Job;
    type Output = Output;
}

/// Starts an origin, which stops when it is dropped.
fn origin(settings: Settings) -> Origin {
    Origin::start(settings).expect("there is a port")
}
