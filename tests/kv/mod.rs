//! The cases of `kv`.

mod bounds;
mod drivers;
mod faults;
mod histories;
mod mutants;
mod server;
mod speaks;
mod stops;
mod talk;

use cc_conformance::{
    case::Case,
    subject::Subject,
    suite::Suite,
    workload::{Rejected, Workload},
};
use cc_workloads::{
    Entry, Model,
    kv::{Config, Serve},
};

use server::Served;

/// The tests of this workload.
pub(crate) const SUITE: Suite = Suite::of::<Kv>();

/// The workload under test.
struct Kv;

impl Workload for Kv {
    const NAME: &'static str = "kv";
    const READS_FILES: bool = false;
    type Run = Serve;

    fn entry(model: &mut Model) -> &mut Entry<Serve> {
        &mut model.kv
    }

    fn warm_up(subject: &Subject) {
        let served = Served::start(subject, &Config::default());
        served.client().says("PING", "+PONG");
        served.stop();
        drivers::warm_up();
    }

    fn cases() -> Vec<Case> {
        let modules =
            [speaks::cases, drivers::cases, bounds::cases, stops::cases, faults::cases, histories::cases];
        modules.into_iter().flat_map(|cases| cases()).collect()
    }

    fn mutants() -> Vec<(&'static str, Serve)> {
        mutants::all()
    }

    const REJECTED: &'static [Rejected] = mutants::REJECTED;
}
