//! A model's server, on a thread of this process.

use std::{
    net::{SocketAddr, TcpListener},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use cc_conformance::subject::Subject;
use cc_workloads::{
    Cause, Entry, Result, Stop,
    kv::{Config, Totals},
};

use super::{Kv, talk::Client};

/// A running server. It is stopped when this is dropped, at the latest.
pub(super) struct Served {
    /// The address at which it listens.
    pub(super) address: SocketAddr,
    stop: Stop,
    thread: Option<JoinHandle<Result<Totals>>>,
}

impl Served {
    /// Starts a server with two workers.
    pub(super) fn start(subject: &Subject, config: &Config) -> Self {
        let Entry::Run(serve) = subject.entry::<Kv>() else { panic!("{} has no kv", subject.name) };
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
        let address = listener.local_addr().expect("it has one");
        let (ctx, config) = (subject.ctx(2), config.clone());
        let stop = ctx.stop.clone();
        let thread = thread::Builder::new().name("server".to_owned());
        let thread = thread.spawn(move || serve(listener, &config, &ctx)).expect("a thread can be started");
        Self { address, stop, thread: Some(thread) }
    }

    /// A new client.
    pub(super) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Requests a stop, and returns at once.
    pub(super) fn request_stop(&self) {
        self.stop.request(Cause::Test);
    }

    /// Stops the server, and returns its totals.
    pub(super) fn stop(mut self) -> Totals {
        self.request_stop();
        self.join().expect("it was started").expect("it serves until it is stopped")
    }

    /// Stops the server, and returns how long that took.
    pub(super) fn time_to_stop(self) -> Duration {
        let began = Instant::now();
        self.stop();
        began.elapsed()
    }

    fn join(&mut self) -> Option<Result<Totals>> {
        self.thread.take().map(|thread| thread.join().expect("it does not panic"))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.request_stop();
        if !thread::panicking() {
            self.join();
        }
    }
}
