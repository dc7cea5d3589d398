//! The `[service]` section of a manifest.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::compare::plan::tool::{installed, not_installed};

/// The `[service]` section of a manifest. The timed load is the input.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    /// The common arguments of all loads, for `cc-peers load`.
    pub load: Vec<String>,
    /// Arguments of `cc-peers talk`: a conversation to which every server must give the same
    /// replies.
    pub talk: Vec<String>,
    /// An established client, which is used if it is installed.
    pub client: Option<Client>,
    /// The loads of the extra rounds, by size.
    pub asked: BTreeMap<String, ExtraLoads>,
}

/// The loads of the extra rounds.
#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExtraLoads {
    /// Number of requests in a closed loop, one at a time on each connection.
    pub single: u64,
    /// Requests per second of the open loop, the same for every server, and its duration.
    pub rate: u64,
    pub seconds: f64,
    /// Number of idle connections.
    pub idle: usize,
}

/// An established client. `{port}` in its arguments stands for the server's port.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Client {
    pub program: String,
    /// The command that installs it, for a user who lacks it.
    pub install: Option<String>,
    /// The common arguments, and those with pipelined requests and with one request at a time.
    pub args: Vec<String>,
    pub pipelined: Vec<String>,
    pub single: Vec<String>,
    /// The number of requests, by size.
    pub requests: BTreeMap<String, u64>,
}

impl Service {
    /// Checks that the section has the loads of this size.
    pub(crate) fn check(&self, size: &str) -> Result<()> {
        self.asked.get(size).with_context(|| format!("[service.asked] has no size {size}"))?;
        if let Some(client) = &self.client {
            client.requests.get(size).with_context(|| format!("{} has no size {size}", client.program))?;
        }
        Ok(())
    }

    /// A message that the client is not installed; `None` if it is.
    pub(crate) fn missing(&self) -> Option<String> {
        let client = self.client.as_ref().filter(|client| installed(&client.program).is_none())?;
        let Client { program, install, .. } = client;
        Some(format!("{program}: not measured as a client: {}", not_installed(program, install.as_deref())))
    }
}

/// The package with the clients; its program has the same name.
pub(crate) const PEERS: &str = "cc-peers";
