//! The pending results of cc-threads under random schedules: its `grep`.

use std::process::ExitCode;

use cc_schedules::{Case, grep as spec, run};

extern crate cc_schedules as cc_workloads;
extern crate cc_schedules as crossbeam_channel;
extern crate cc_schedules as std;
extern crate self as oneshot;

// The names of the crate oneshot.
pub(crate) use cc_schedules::oneshot::{Receiver, Sender, channel};

#[allow(dead_code, missing_docs, unreachable_pub, unused_imports)]
#[path = "../../../crates/cc-threads/src/caught.rs"]
mod caught;
#[allow(dead_code, missing_docs, unreachable_pub, unused_imports)]
#[path = "../../../crates/cc-threads/src/grep.rs"]
mod grep;
#[allow(dead_code, missing_docs, unreachable_pub, unused_imports)]
#[path = "../../../crates/cc-threads/src/pending.rs"]
mod pending;
#[allow(dead_code, missing_docs, unreachable_pub, unused_imports)]
#[path = "../../../crates/cc-threads/src/threads.rs"]
mod threads;

/// Number of schedules. Each mistake that was tried was found within a quarter of them: workers
/// that end after a stop before the queues are empty, a worker that waits for only one queue or
/// ends with it, a queue of pending results that is too long or is not dropped before the join, an
/// abandoned result that is skipped, and a `feed` that is not joined.
const SCHEDULES: usize = 1_000;

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
        ("grep::a_panic_is_its_tasks_output", || {
            spec::a_panic_is_its_tasks_output(grep::run, "panicked: planned");
        }),
        ("grep::a_panic_of_the_source_is_the_runs_error", || {
            spec::a_panic_of_the_source_is_the_runs_error(grep::run, "feed");
        }),
    ];
    run(cases, SCHEDULES)
}
