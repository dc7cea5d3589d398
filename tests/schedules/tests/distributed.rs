//! The pending results of the cluster under random schedules: grep, with threads instead of
//! workers.

use std::process::ExitCode;

use cc_schedules::{Case, grep as spec, run, tokio_sync as sync};

extern crate cc_schedules as cc_workloads;
extern crate cc_schedules as crossbeam_channel;
extern crate cc_schedules as std;
extern crate self as tokio;

#[allow(dead_code, missing_docs, unreachable_pub, unused_imports)]
#[path = "../../../crates/cc-distributed/src/grep.rs"]
mod grep;
#[allow(dead_code, missing_docs, unreachable_pub, unused_imports)]
#[path = "../../../crates/cc-distributed/src/job_setup.rs"]
mod job_setup;
#[allow(dead_code, missing_docs, unreachable_pub, unused_imports)]
#[path = "../../../crates/cc-distributed/src/cluster/queue.rs"]
mod queue;
#[allow(dead_code, missing_docs, unreachable_pub, unused_imports)]
#[path = "../../../crates/cc-distributed/src/threads.rs"]
mod threads;

/// Number of schedules. Each mistake that was tried was found within half of them: a wait for the
/// result alone, channels that are kept open, too many pending results, a loader that ends with
/// `feed`, and threads that are not joined, or do not stop the run when they panic.
const SCHEDULES: usize = 600;

fn main() -> ExitCode {
    let cases: &[Case] = &[
        ("grep::outputs_come_in_order_and_bounded", || {
            spec::outputs_come_in_order_and_bounded(grep::run, 2);
        }),
        ("grep::a_stop_ends_the_run", || {
            spec::a_stop_ends_the_run(grep::run);
        }),
        ("grep::a_stop_within_a_rest_ends_the_run", || {
            spec::a_stop_within_a_rest_ends_the_run(grep::run);
        }),
        ("grep::a_sink_that_has_enough_ends_the_run", || {
            spec::a_sink_that_has_enough_ends_the_run(grep::run);
        }),
        ("grep::a_task_that_kills_its_workers_is_its_own_output", || {
            spec::a_panic_is_its_tasks_output(grep::run, "3 workers were lost while they ran only this task");
        }),
        ("grep::a_panic_of_the_source_is_the_runs_error", || {
            spec::a_panic_of_the_source_is_the_runs_error(grep::run, "feed");
        }),
        ("grep::a_panic_of_a_loader_is_the_runs_error", || {
            spec::a_panic_of_a_loader_is_the_runs_error(grep::run, "load-0");
        }),
    ];
    run(cases, SCHEDULES)
}

/// The cluster's queue, with threads instead of connections to workers.
mod cluster {
    use std::{
        ops::ControlFlow,
        panic::{AssertUnwindSafe, catch_unwind},
    };

    use cc_schedules::{Ctx, Result, stop::OnRequest};
    use serde::{Serialize, de::DeserializeOwned};
    use shuttle::{
        future::block_on,
        rand::{Rng, thread_rng},
        thread,
    };

    use crate::grep;
    pub(crate) use crate::queue;
    use queue::{Completion, Credit, Lane, Outcome, Pending, Queue};

    pub(crate) struct Cluster {
        queue: Queue,
        workers: Vec<thread::JoinHandle<()>>,
        _on_stop: OnRequest,
    }

    impl Cluster {
        pub(crate) fn start(_: &str, job: Vec<u8>, _: &command::Options, ctx: &Ctx) -> Result<Self> {
            let queue = Queue::default();
            let worker = |n| {
                let (queue, job) = (queue.clone(), job.clone());
                thread::spawn(move || work(&queue, &job, n))
            };
            let workers = (0..ctx.workers.get()).map(worker).collect();
            let closed = queue.clone();
            let on_stop = ctx.stop.on_request(move || closed.close());
            Ok(Self { queue, workers, _on_stop: on_stop })
        }

        pub(crate) fn submit<O: Send + 'static>(
            &self,
            task: Vec<u8>,
            lane: Lane,
            check: impl FnMut(&str, &[u8]) -> Result<O, String> + Send + 'static,
        ) -> Pending<O> {
            self.queue.submit(task.into(), lane, check)
        }

        pub(crate) fn output<T: DeserializeOwned, O>(
            &self,
            completion: Completion<O>,
            failed: impl FnOnce(&T, &str) -> O,
        ) -> ControlFlow<(), O> {
            match completion {
                Ok(Outcome::Done(output)) => ControlFlow::Continue(output),
                Ok(Outcome::Failed { task, why }) => {
                    ControlFlow::Continue(failed(&postcard::from_bytes(&task).expect(PLAIN), &why))
                }
                Err(_) => ControlFlow::Break(()),
            }
        }

        pub(crate) fn close(self) -> Result<()> {
            Ok(())
        }
    }

    impl Drop for Cluster {
        fn drop(&mut self) {
            self.queue.close();
            self.workers.drain(..).for_each(|worker| worker.join().expect("it has not failed"));
        }
    }

    /// Runs workers one after the other. A worker that panics is lost, with all its leases.
    fn work(queue: &Queue, job: &[u8], number: usize) {
        loop {
            let consumer = queue.join(&format!("{number}:1/session"), Credit { tasks: 2, bytes: 100 });
            let mut work = grep::work(&worker::JobContext, job).expect("a search can be made");
            let life = || {
                while let Some(lease) = block_on(consumer.lease()) {
                    let answer = work(&lease.task).expect("it is a task");
                    consumer.done(lease.id, answer.into()).expect("it is the answer to its task");
                    if thread_rng().gen_bool(0.1) {
                        return true;
                    }
                }
                false
            };
            if matches!(catch_unwind(AssertUnwindSafe(life)), Ok(false)) {
                return;
            }
        }
    }

    const PLAIN: &str = "plain data";

    pub(crate) fn encode(what: &impl Serialize) -> Vec<u8> {
        postcard::to_stdvec(what).expect(PLAIN)
    }

    pub(crate) fn decoded<O: DeserializeOwned>(
        accepts: impl Fn(&str, &O) -> Result<(), String>,
    ) -> impl FnMut(&str, &[u8]) -> Result<O, String> {
        move |location, answer| {
            let output = postcard::from_bytes(answer).expect(PLAIN);
            accepts(location, &output).map(|()| output)
        }
    }

    pub(crate) mod command {
        use cc_schedules::Result;

        pub(crate) struct Options {
            pub(crate) shared_fs: bool,
        }

        impl Options {
            pub(crate) fn new((): &()) -> Self {
                Self { shared_fs: false }
            }

            pub(crate) fn base<'a>(&self, base: &'a str) -> Result<&'a str> {
                Ok(base)
            }
        }
    }

    pub(crate) mod worker {
        use cc_schedules::Result;

        pub(crate) struct JobContext;

        impl JobContext {
            pub(crate) fn files(&self, _: bool) -> Result<()> {
                Ok(())
            }
        }

        pub(crate) type Work = Box<dyn FnMut(&[u8]) -> Result<Vec<u8>, String>>;

        pub(crate) struct Service;

        impl Service {
            pub(crate) const fn tasks(_: &str, _: fn(&JobContext, &[u8]) -> Result<Work>) -> Self {
                Self
            }
        }
    }
}
