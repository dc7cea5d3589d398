//! The cases of `wordcount`.

use cc_conformance::{
    case::Case,
    subject::Subject,
    workload::{Run, Workload},
};
use cc_workloads::{
    Entry, Model,
    wordcount::{Job, Output},
};

/// This workload.
pub(crate) struct Wordcount;

impl Workload for Wordcount {
    const NAME: &'static str = "wordcount";
    type Job = Job;
    type Output = Output;

    fn entry(model: &mut Model) -> &mut Entry<Run<Self>> {
        &mut model.wordcount
    }

    fn warm_up(_: &Subject) {}

    fn cases() -> Vec<Case> {
        vec![]
    }
}
