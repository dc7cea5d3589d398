//! A source of tasks that panics after some tasks.

use std::{
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
};

use cc_workloads::Sink;

use crate::{
    failpoint::Failpoint,
    fault::{Action, Plan},
    subject::Subject,
    workload::Batch,
};

/// Runs a job whose source of tasks panics at the task of this number. That must not look like the
/// end of the input: the run ends with an error that tells of the panic, or, in a model whose
/// calling thread makes the tasks, with the panic itself.
///
/// # Panics
///
/// If the run ends as if it were complete, or with another error.
pub fn breaks_off<W: Batch>(subject: &Subject, job: &W::Job, source: &str, from: u64) {
    let failpoint = Failpoint::new(&format!("failpoint-{source}-{from}"));
    let mut plan = Plan::default();
    plan.push(failpoint.fault(source, from, Action::Panic, 1));
    let in_force = plan.enforce();
    let run = || subject.try_run::<W>(job, &subject.ctx(2), &mut Discard);
    let ended = catch_unwind(AssertUnwindSafe(run));
    drop(in_force);
    assert_eq!(failpoint.hits(), 1, "the input did not break off");
    match ended {
        Ok(Ok(())) => panic!("the run ended as if its input had not broken off"),
        Ok(Err(error)) => {
            let error = error.to_string();
            assert!(error.ends_with(": panicked: planned"), "another error: {error}");
        }
        Err(_) => {}
    }
}

/// A sink that takes every output.
struct Discard;

impl<T> Sink<T> for Discard {
    fn push(&mut self, _: T) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
