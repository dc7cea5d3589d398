//! An input that breaks off: what makes the tasks panics after some of them.

use std::{
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
};

use cc_workloads::Sink;

use crate::{
    fault::{Action, Plan},
    subject::Subject,
    trap::Trap,
    workload::Batch,
};

/// Runs a job whose source of tasks panics at the task of this number. That must not look like the
/// end of the input: the run ends with an error that says so, or, where the calling thread makes
/// the tasks, with the panic itself.
///
/// # Panics
///
/// If the run ends as if it were done, or with another error.
pub fn breaks_off<W: Batch>(subject: &Subject, job: &W::Job, source: &str, from: u64) {
    let trap = Trap::new(&format!("trap-{source}-{from}"));
    let mut plan = Plan::default();
    plan.push(trap.fault(source, from, Action::Panic, 1));
    let in_force = plan.enforce();
    let run = || subject.try_run::<W>(job, &subject.ctx(2), &mut Discard);
    let ended = catch_unwind(AssertUnwindSafe(run));
    drop(in_force);
    assert_eq!(trap.strikes(), 1, "the input did not break off");
    match ended {
        Ok(Ok(())) => panic!("the run ended as if its input had not broken off"),
        Ok(Err(error)) => {
            let error = error.to_string();
            assert!(error.ends_with(": panicked: planned"), "another error: {error}");
        }
        Err(_) => {}
    }
}

/// Takes everything.
struct Discard;

impl<T> Sink<T> for Discard {
    fn push(&mut self, _: T) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
