//! The mutants of this workload: implementations that are each wrong in one way.

use cc_conformance::{
    mutant::{self, edited},
    workload::{Rejected, Run},
};
use cc_workloads::{
    Ctx, Result, Sink,
    fetch::{Failure, Fetched, Job, Output, Trust},
};

use super::Fetch;

pub(super) fn all() -> Vec<(&'static str, Run<Fetch>)> {
    let mut all = mutant::all::<Fetch>();
    all.extend([
        ("ignores_the_limit_of_a_host", ignores_per_host as Run<Fetch>),
        ("ignores_the_limit", ignores_concurrency),
        ("ignores_the_deadline", ignores_deadline),
        ("never_tries_again", never_tries_again),
        ("loses_a_failure", loses_a_failure),
        ("keeps_credentials", keeps_credentials),
        ("shows_credentials", shows_credentials),
        ("digests_something_else", digests_something_else),
        ("keeps_nothing", keeps_nothing),
        ("keeps_what_failed", keeps_what_failed),
        ("trusts_the_system", trusts_the_system),
        ("forgets_the_headers", forgets_the_headers),
        ("ignores_the_maximum_size", ignores_the_maximum_size),
    ]);
    all
}

/// Each mutant, the cases that must reject it, and a part of the message with which they do.
pub(super) const REJECTED: &[Rejected] = &[
    ("drops_one", &["every_fault", "plain_ones"], "one output each"),
    ("repeats_one", &["every_fault", "plain_ones"], "one output each"),
    ("stops_early", &["plain_ones"], "one output each"),
    ("does_nothing", &["plain_ones"], "one output each"),
    ("hoards", &["results_come_as_they_are_completed"], "hung"),
    ("holds_one_back", &["results_come_as_they_are_completed"], "hung"),
    ("ignores_the_stop", &["stop_in_flight"], "hung"),
    ("pushes_after_break", &["break_after_some"], "pushed after Break"),
    ("leaves_a_thread", &["plain_ones"], "thread"),
    ("leaves_a_process", &["plain_ones"], "left behind"),
    ("leaves_a_descriptor", &["plain_ones"], "descriptor"),
    ("leaves_a_file", &["plain_ones"], "left behind"),
    ("prints", &["plain_ones"], "where the output belongs"),
    ("hangs", &["plain_ones"], "hung"),
    ("ignores_the_limit_of_a_host", &["no_more_at_a_host_than_allowed"], "peak"),
    ("ignores_the_limit", &["no_more_at_once_than_allowed"], "at once"),
    ("ignores_the_deadline", &["the_deadline"], "hung"),
    ("never_tries_again", &["every_fault", "no_more_retries_than_allowed"], "faults.rs"),
    ("loses_a_failure", &["every_fault"], "one output each"),
    ("keeps_credentials", &["credentials_stay_with_their_host"], "403 Forbidden"),
    ("shows_credentials", &["credentials_stay_with_their_host"], "a password is shown"),
    ("digests_something_else", &["every_fault", "plain_ones"], "faults.rs"),
    ("keeps_nothing", &["files_are_whole_and_have_names"], "files.rs"),
    ("keeps_what_failed", &["what_fails_leaves_no_file"], "files.rs"),
    ("trusts_the_system", &["certificates_are_checked"], "connections.rs"),
    ("forgets_the_headers", &["headers_of_the_command_line_are_sent"], "connections.rs"),
    ("ignores_the_maximum_size", &["no_more_than_the_maximum_size"], "connections.rs"),
];

/// The threads model, which can have more requests at once, with another job.
fn altered(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>, alter: impl FnOnce(&mut Job)) -> Result<()> {
    let mut job = job.clone();
    alter(&mut job);
    cc_threads::fetch::run(&job, ctx, out)
}

fn ignores_per_host(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    altered(job, ctx, out, |job| job.settings.per_host = usize::MAX)
}

fn trusts_the_system(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    altered(job, ctx, out, |job| job.settings.trust = Trust::System)
}

fn forgets_the_headers(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    altered(job, ctx, out, |job| job.settings.headers.clear())
}

fn ignores_the_maximum_size(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    altered(job, ctx, out, |job| job.settings.max_size = None)
}

fn ignores_concurrency(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    altered(job, ctx, out, |job| job.settings.concurrency = 32)
}

fn ignores_deadline(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    altered(job, ctx, out, |job| job.settings.deadline = None)
}

fn never_tries_again(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    altered(job, ctx, out, |job| job.settings.retries = 0)
}

fn keeps_nothing(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    altered(job, ctx, out, |job| job.settings.out = None)
}

fn loses_a_failure(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let is_lost = |output: &Output| output.outcome == Err(Failure::RedirectLoop);
    edited::<Fetch>(job, ctx, out, |_, output| if is_lost(&output) { vec![] } else { vec![output] })
}

/// Sends the credentials to the other host, as if they were meant for it.
fn keeps_credentials(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    altered(job, ctx, out, |job| {
        for wanted in job.wanted.iter_mut().filter(|wanted| wanted.url.contains("/away/")) {
            wanted.url = wanted.url.replace("127.0.0.1", "localhost").replace("away", "stranger");
        }
    })
}

fn shows_credentials(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    edited::<Fetch>(job, ctx, out, |_, output| {
        vec![Output { url: job.wanted[output.index].url.clone(), ..output }]
    })
}

fn digests_something_else(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    edited::<Fetch>(job, ctx, out, |_, output| {
        let other = |fetched| Fetched { digest: 7, ..fetched };
        vec![Output { outcome: output.outcome.clone().map(other), ..output }]
    })
}

fn keeps_what_failed(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    edited::<Fetch>(job, ctx, out, |_, output| {
        if let (Some(folder), Err(why)) = (&job.settings.out, &output.outcome) {
            std::fs::write(folder.join(output.index.to_string()), why.to_string()).expect("it is there");
        }
        vec![output]
    })
}
