//! A client that blocks, for the models whose unit of concurrency may: one request and its answer, on the calling thread.
//!
//! It is `ureq`, which knows HTTP, on connections of its own, which know the stop: whoever waits for a server waits for the stop as
//! well. Redirects, retries and compression are not left to it: they are the [`Download`]'s.

mod ends;
mod line;

use std::{
    io::{self, ErrorKind, Read},
    time::{Instant, SystemTime},
};

use cc_core::{
    error::{Result, reason},
    stop::{OnRequest, Stop},
};
use crossbeam_channel::bounded;
use ureq::{
    Agent, Body,
    config::AutoHeaderValue,
    http::Response,
    unversioned::transport::{Connector, RustlsConnector},
};

use self::{
    ends::{Checker, End, content},
    line::{Dial, Lookup, Unreachable},
};
use super::{Settings, attempt::Attempted, download::Download, failure::Trouble};
/// So much of a body is read at once.
const READ: usize = 16 << 10;
/// The largest head of an answer.
const HEAD: usize = 16 << 10;
/// The largest request.
const REQUEST: usize = 16 << 10;
/// A body that nobody wants is read nevertheless if it is no larger: that is cheaper than another connection.
const DRAIN: u64 = 16 << 10;

/// A client, and the connections that it keeps for the next requests. Threads may share it.
pub struct Client {
    agent: Agent,
    stop: Stop,
    _on_stop: [OnRequest; 2],
}

impl Client {
    /// A client without connections, whose waits end when the stop is requested.
    pub fn new(settings: &Settings, stop: &Stop) -> Result<Self> {
        let (bell, rings) = stop.bell()?;
        let (running, stopped) = bounded(0);
        let ends_lookups = stop.on_request(move || drop(running));
        let timeout = settings.timeout();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .accept(AutoHeaderValue::None)
            .accept_encoding(AutoHeaderValue::None)
            .max_response_header_size(HEAD)
            .input_buffer_size(HEAD)
            .output_buffer_size(REQUEST)
            .max_idle_connections(settings.concurrency)
            .max_idle_connections_per_host(settings.per_host)
            .timeout_resolve(Some(timeout))
            .timeout_connect(Some(timeout))
            .timeout_per_read(Some(timeout))
            .timeout_per_write(Some(timeout))
            .build();
        let connector = Dial::new(bell).chain(RustlsConnector::default()).chain(Checker);
        let agent = Agent::with_parts(config, connector, Lookup(stopped));
        Ok(Self { agent, stop: stop.clone(), _on_stop: [rings, ends_lookups] })
    }

    /// Makes an attempt, which takes as long as it takes, but ends with the stop. Then what came of it means nothing.
    #[must_use]
    pub fn attempt(&self, mut download: Box<Download>) -> Attempted {
        if let Err(trouble) = self.exchange(&mut download) {
            download.broke(trouble);
        }
        download.finish(Instant::now())
    }

    fn exchange(&self, download: &mut Download) -> Result<(), Trouble> {
        let (head, body) = self.ask(download)?.into_parts();
        if download.answered(&head, SystemTime::now()).is_break() {
            drain(body);
            return Ok(());
        }
        self.read(body, |bytes| download.received(bytes).is_continue())
    }

    /// Sends the request, and waits for the head of the answer. A server may close a connection
    /// that was kept while the request is on its way there: GET is idempotent, so it is sent again
    /// (RFC 9112, 9.3.1). Each turn takes a connection of those that are kept.
    fn ask(&self, download: &Download) -> Result<Response<Body>, Trouble> {
        let (began, patience) = (Instant::now(), download.patience(Instant::now()));
        let request = download.request();
        loop {
            let left = patience.saturating_sub(began.elapsed());
            let request = self.agent.configure_request(request.clone()).timeout_global(Some(left)).build();
            match self.agent.run(request) {
                Err(ureq::Error::Io(error)) if End::of(&error) == Some(End::Stale) => {}
                answered => return answered.map_err(trouble),
            }
        }
    }

    /// Reads the body to its end, or until it is not wanted any more.
    fn read(&self, body: Body, mut take: impl FnMut(&[u8]) -> bool) -> Result<(), Trouble> {
        let (mut reader, mut buffer) = (body.into_reader(), [0; READ]);
        while !self.stop.requested() {
            match content(|| reader.read(&mut buffer)) {
                Ok(0) => break,
                Ok(length) if take(&buffer[..length]) => {}
                Ok(_) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(trouble(error.into())),
            }
        }
        Ok(())
    }
}

/// Reads what there is of a small body, so that the connection can be used again.
fn drain(body: Body) {
    if body.content_length().is_some_and(|length| length <= DRAIN) {
        // If it fails, there is one connection less.
        let _ = io::copy(&mut body.into_reader(), &mut io::sink());
    }
}

/// The client's error in the words that all clients have in common.
fn trouble(error: ureq::Error) -> Trouble {
    match error {
        ureq::Error::Timeout(_) => Trouble::TimedOut,
        ureq::Error::HostNotFound => Trouble::Unreachable("no such host".to_owned()),
        ureq::Error::Other(error) => match error.downcast::<Unreachable>() {
            Ok(unreachable) => Trouble::Unreachable(unreachable.0),
            Err(error) => Trouble::Unreachable(error.to_string()),
        },
        ureq::Error::Tls(why) => Trouble::Tls(why.to_owned()),
        ureq::Error::Rustls(error) => Trouble::Tls(error.to_string()),
        ureq::Error::Io(error) => io_trouble(&error),
        _ => Trouble::Malformed,
    }
}

fn io_trouble(error: &io::Error) -> Trouble {
    match End::of(error) {
        Some(End::Orderly) => Trouble::Eof,
        Some(End::TooLong) => Trouble::Malformed,
        // What rustls finds wrong comes this way.
        None if error.kind() == ErrorKind::InvalidData => Trouble::Tls(reason(error)),
        Some(End::Cut | End::Stale) | None => Trouble::Closed,
    }
}

#[cfg(test)]
mod tests;
