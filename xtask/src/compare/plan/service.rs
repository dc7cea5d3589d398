//! What a manifest says of a workload that serves.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::compare::plan::tool::{installed, not_installed};

/// What a manifest says of a service. The load that is timed is the input.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    /// What all loads have in common: arguments of `cc-peers load`.
    pub load: Vec<String>,
    /// The conversation that has the same outcome with every server: arguments of `cc-peers talk`.
    pub talk: Vec<String>,
    /// A client that people use, if it is installed.
    pub client: Option<Client>,
    /// What is asked in the rounds of their own, by size.
    pub asked: BTreeMap<String, Asked>,
}

/// How a server is asked beside the load.
#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Requests of a closed loop, one at a time on each connection.
    pub single: u64,
    /// Requests that are due in a second, the same for every server, and for how long.
    pub rate: u64,
    pub seconds: f64,
    /// Connections that say nothing.
    pub idle: usize,
}

/// Another program that asks. `{port}` stands for the server's.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Client {
    pub program: String,
    /// The command that installs it, for a user who lacks it.
    pub install: Option<String>,
    /// Once with requests one behind the other, once with one at a time: the rest of the arguments.
    pub args: Vec<String>,
    pub pipelined: Vec<String>,
    pub single: Vec<String>,
    /// The number of requests, by size.
    pub requests: BTreeMap<String, u64>,
}

impl Service {
    /// Whether it says what to ask at this size.
    pub(crate) fn check(&self, size: &str) -> Result<()> {
        self.asked.get(size).with_context(|| format!("the service has no size {size}"))?;
        if let Some(client) = &self.client {
            client.requests.get(size).with_context(|| format!("{} has no size {size}", client.program))?;
        }
        Ok(())
    }

    /// The client that is not installed.
    pub(crate) fn missing(&self) -> Option<String> {
        let client = self.client.as_ref().filter(|client| installed(&client.program).is_none())?;
        let Client { program, install, .. } = client;
        Some(format!("{program}: no client, since {}", not_installed(program, install.as_deref())))
    }
}

/// The package with the clients, and its program.
pub(crate) const PEERS: &str = "cc-peers";
