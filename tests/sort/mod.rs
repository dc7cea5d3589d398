//! The cases of `sort`.

use cc_conformance::{
    case::Case,
    subject::Subject,
    workload::{Run, Workload},
};
use cc_workloads::{
    Entry, Model,
    sort::{Job, Output},
};

/// This workload.
pub(crate) struct Sort;

impl Workload for Sort {
    const NAME: &'static str = "sort";
    type Job = Job;
    type Output = Output;

    fn entry(model: &mut Model) -> &mut Entry<Run<Self>> {
        &mut model.sort
    }

    fn warm_up(_: &Subject) {}

    fn cases() -> Vec<Case> {
        vec![]
    }
}
