//! Histories of concurrent clients, which must be linearizable.

use cc_conformance::{
    case::Case,
    linear::{
        Limit, MAX_OPERATIONS,
        check::check,
        plan::{Kind, Plan, spread},
        record::record,
    },
    subject::Subject,
};
use cc_workloads::kv::{Config, Slots};

use super::server::Served;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in Kind::ALL {
        let name = format!("{kind:?}").to_lowercase();
        cases.push(Case::new(format!("histories_of_{name}"), move |subject| histories(subject, kind, 10)));
        let long = move |subject: &Subject| histories(subject, kind, 200);
        cases.push(Case::new(format!("many_histories_of_{name}"), long).long());
    }
    cases
}

/// The number of shards over which keys are spread. It does not depend on the model.
const SHARDS: usize = 8;

/// One server for all histories; each has keys of its own.
fn histories(subject: &Subject, kind: Kind, count: u64) {
    let served = Served::start(subject, &Config::default());
    let slots = Slots::new(SHARDS);
    let mut overlapping = 0;
    for nth in 0..count {
        let keys = spread(SHARDS, 1, &format!("h{nth}"), |key| slots.shard(key.as_bytes()));
        let plan = Plan::random(kind, keys, 4, MAX_OPERATIONS, nth);
        let history = record(&[served.address], &plan, Vec::new());
        let (answered, refused, unknown) = history.counts();
        assert!(answered > 50 && refused == 0 && unknown == 0, "{answered} {refused} {unknown}");
        overlapping += history.overlapping();
        check(&history, Limit::default()).assert_linearizable();
    }
    assert!(overlapping > 0, "no operations overlapped");
}
