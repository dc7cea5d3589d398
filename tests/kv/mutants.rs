//! The mutants of this workload: servers that are each wrong in one way. Servers with wrong answers
//! are in the checker's own tests (`linear`).

use std::{fs::File, io::Write, mem, net::TcpListener, thread, time::Duration};

use cc_conformance::{subject::Subject, workload::Rejected};
use cc_workloads::{
    Ctx, Entry, Result,
    kv::{Config, Serve, TOO_MANY, Totals},
};

use super::Kv;

pub(super) fn all() -> Vec<(&'static str, Serve)> {
    vec![
        ("does_nothing", does_nothing),
        ("turns_everybody_away", turns_everybody_away),
        ("forgets_the_password", |listener, config, ctx| {
            reference(listener, &Config { password: None, ..config.clone() }, ctx)
        }),
        ("lets_everybody_in", |listener, config, ctx| {
            reference(listener, &Config { max_connections: 10_000, ..config.clone() }, ctx)
        }),
        ("takes_any_memory", |listener, config, ctx| {
            reference(listener, &Config { max_memory: None, ..config.clone() }, ctx)
        }),
        ("keeps_any_reply", |listener, config, ctx| {
            reference(listener, &Config { max_output: u64::MAX, ..config.clone() }, ctx)
        }),
        ("keeps_few_replies", |listener, config, ctx| {
            let output_timeout = Duration::ZERO;
            reference(listener, &Config { max_output: 64 << 10, output_timeout, ..config.clone() }, ctx)
        }),
        ("waits_for_ever", |listener, config, ctx| {
            reference(listener, &Config { idle_timeout: None, ..config.clone() }, ctx)
        }),
        ("drains_for_ever", |listener, config, ctx| {
            reference(listener, &Config { drain: Duration::from_secs(3600), ..config.clone() }, ctx)
        }),
        ("leaves_a_thread", leaves_a_thread),
        ("leaves_a_descriptor", leaves_a_descriptor),
        ("leaves_the_listener", leaves_the_listener),
    ]
}

/// Each mutant, the cases that must reject it, and a part of the message with which they do.
pub(super) const REJECTED: &[Rejected] = &[
    ("does_nothing", &["commands"], "talk.rs"),
    ("turns_everybody_away", &["commands", "half_closed"], "max number of clients"),
    ("forgets_the_password", &["password"], "GET a"),
    ("lets_everybody_in", &["too_many_clients_are_turned_away"], "inside"),
    ("takes_any_memory", &["no_more_memory"], "+OK"),
    ("keeps_any_reply", &["who_takes_no_reply_is_hung_up_on"], "takes no reply"),
    ("keeps_few_replies", &["a_pipeline_may_be_written_before_a_reply_is_read"], "the server reads"),
    ("waits_for_ever", &["who_says_nothing_is_hung_up_on"], "is_closed"),
    ("drains_for_ever", &["who_does_not_read_holds_up_a_stop_no_longer_than_allowed"], "hung"),
    ("leaves_a_thread", &["commands"], "thread"),
    ("leaves_a_descriptor", &["commands"], "descriptor"),
    ("leaves_the_listener", &["a_stop_before_the_first_client"], "descriptor"),
];

/// Runs the reference.
fn reference(listener: TcpListener, config: &Config, ctx: &Ctx) -> Result<Totals> {
    match Subject::reference().entry::<Kv>() {
        Entry::Run(serve) => serve(listener, config, ctx),
        Entry::Declined(why) => panic!("the reference has no kv: {why}"),
    }
}

fn does_nothing(_: TcpListener, _: &Config, _: &Ctx) -> Result<Totals> {
    Ok(Totals::default())
}

fn turns_everybody_away(listener: TcpListener, config: &Config, ctx: &Ctx) -> Result<Totals> {
    let (mut stream, _) = listener.accept().expect("a client connects");
    let _ = stream.write(TOO_MANY);
    drop(stream);
    reference(listener, config, ctx)
}

fn leaves_a_thread(listener: TcpListener, config: &Config, ctx: &Ctx) -> Result<Totals> {
    drop(thread::spawn(thread::park));
    reference(listener, config, ctx)
}

fn leaves_a_descriptor(listener: TcpListener, config: &Config, ctx: &Ctx) -> Result<Totals> {
    mem::forget(File::open("/dev/null").expect("it is there"));
    reference(listener, config, ctx)
}

fn leaves_the_listener(listener: TcpListener, config: &Config, ctx: &Ctx) -> Result<Totals> {
    mem::forget(listener.try_clone().expect("there is a descriptor"));
    reference(listener, config, ctx)
}
