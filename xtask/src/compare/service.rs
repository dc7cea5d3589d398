//! Workloads that serve: what is asked of them in place of files, and how fast they answer.
//!
//! A run of a service is a load of so many requests, in a closed loop: its time, what the server takes of the cores
//! meanwhile and what it holds. The rounds are those of every other workload; the rest, [`Served`], comes from
//! rounds of its own, in which each server in turn is asked in other ways.

use std::{collections::BTreeMap, fs::File, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::{
    call::{Call, Called, Request},
    external::{installed, not_installed},
    input::{Input, Subject},
    json::seconds,
    measure::{Entrant, Rounds},
    query::Query,
    run::{Plan, Seen},
    serve::{Manner, Serving, free_port, serve},
    stats,
};

/// What a manifest says of a service. The load that is timed is the input.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    /// What all loads have in common: arguments of `cc-peers load`.
    load: Vec<String>,
    /// The conversation that has the same outcome with every server: arguments of `cc-peers talk`.
    talk: Vec<String>,
    /// A client that people use, if it is installed.
    client: Option<Client>,
    /// What is asked in the rounds of their own, by size.
    asked: BTreeMap<String, Asked>,
}

/// How a server is asked beside the load.
#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// So many requests in a closed loop, one at a time on each connection.
    single: u64,
    /// So many requests are due in a second, whoever is asked; for so long.
    rate: u64,
    seconds: f64,
    /// So many connections that say nothing.
    idle: usize,
}

/// Another program that asks. `{port}` stands for the server's.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Client {
    program: String,
    /// The command that installs it, for a user who lacks it.
    install: Option<String>,
    /// Once with requests one behind the other, once with one at a time: the rest of the arguments.
    args: Vec<String>,
    pipelined: Vec<String>,
    single: Vec<String>,
    /// So many requests, by size.
    requests: BTreeMap<String, u64>,
}

/// Who asks, and what.
#[derive(Clone)]
pub(crate) struct Clients {
    service: Service,
    /// The program `cc-peers`.
    peers: PathBuf,
    size: String,
}

/// What a server did for its clients. Of a row, the medians over the runs that measured it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Served {
    /// In the load.
    pub requests: Option<f64>,
    pub pipelined_per_s: Option<f64>,
    pub pipelined_cpu_s: Option<f64>,
    pub single_per_s: Option<f64>,
    pub single_cpu_s: Option<f64>,
    pub rate_per_s: Option<f64>,
    pub p50_s: Option<f64>,
    pub p99_s: Option<f64>,
    pub p999_s: Option<f64>,
    pub late_p99_s: Option<f64>,
    pub idle_connections: Option<f64>,
    pub idle_bytes: Option<f64>,
    pub client_pipelined_per_s: Option<f64>,
    pub client_single_per_s: Option<f64>,
}

/// What `cc-peers load --json` prints, as far as it is of use here.
#[derive(Deserialize)]
struct Loaded {
    requests: u64,
    wall_s: f64,
    requests_per_s: f64,
    latency_s: Quantiles,
    late_s: Option<Quantiles>,
}

#[derive(Deserialize)]
struct Quantiles {
    p50: f64,
    p99: f64,
    p999: f64,
}

/// The port that a tool is told to listen at.
const PORT: &str = "{port}";
/// A wait of the generator's own beyond which an open loop says more of it than of the server.
pub(crate) const LATE_S: f64 = 1e-3;

impl Service {
    pub(crate) fn clients(&self, peers: PathBuf, input: &Input) -> Clients {
        Clients { service: self.clone(), peers, size: input.name.clone() }
    }

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

impl Clients {
    fn peers(&self, what: &str, server: &Serving, args: &[String]) -> Command {
        let mut command = Command::new(&self.peers);
        command.args([what, "--connect", &server.address.to_string()]).args(args);
        command
    }

    /// A load with these arguments beside those that all have in common.
    fn load(&self, server: &mut Serving, args: &[String]) -> Result<(Loaded, Duration)> {
        let common = Subject { args: self.service.load.clone(), ..Subject::default() };
        let mut command = self.peers("load", server, &common.with(args));
        command.arg("--json");
        let asked = server.ask(command, None)?;
        let loaded = serde_json::from_str(&asked.printed).context("what cc-peers prints")?;
        Ok((loaded, asked.cpu))
    }

    fn talk(&self, server: &mut Serving, out: Option<File>) -> Result<()> {
        let command = self.peers("talk", server, &self.service.talk);
        server.ask(command, out).map(drop)
    }

    /// How servers are asked, in words.
    pub(crate) fn said(&self) -> Result<String> {
        let Asked { rate, seconds, idle, .. } = self.asked()?;
        let load = self.service.load.join(" ");
        Ok(format!(
            "cc-peers load {load}, in a process of its own. -P 16: closed loop, 16 requests one behind the other, and CPU of \
             the server for each; -P 1: one at a time. p50, p99, p99.9: open loop, {rate} requests a second for all, drawn \
             (Poisson) for {seconds} s, each counted from when it was due. idle: memory of each of {idle} idle connections"
        ))
    }

    /// About how long all that is not the load takes with one server: the open loop, and as long for the rest.
    pub(crate) fn extra_s(&self) -> f64 {
        self.asked().map_or(0.0, |asked| 2.0 * asked.seconds)
    }

    fn asked(&self) -> Result<Asked> {
        self.service.asked.get(&self.size).copied().context("the size was checked")
    }

    /// All that is not the load, of a server that has just been started.
    fn extra(&self, server: &mut Serving) -> Result<Served> {
        let (mut served, asked) = (Served::default(), self.asked()?);
        self.idle(server, asked.idle, &mut served)?;
        let words = |text: String| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (single, cpu) = self.load(server, &words(format!("--pipeline 1 --requests {}", asked.single)))?;
        served.single_per_s = Some(single.requests_per_s);
        served.single_cpu_s = Some(seconds(cpu) / single.requests as f64);
        let open = words(format!("--rate {} --seconds {}", asked.rate, asked.seconds));
        let (open, _) = self.load(server, &open)?;
        served.rate_per_s = Some(asked.rate as f64);
        let Quantiles { p50, p99, p999 } = open.latency_s;
        (served.p50_s, served.p99_s, served.p999_s) = (Some(p50), Some(p99), Some(p999));
        served.late_p99_s = open.late_s.map(|late| late.p99);
        self.others(server, &mut served)?;
        Ok(served)
    }

    fn idle(&self, server: &mut Serving, wanted: usize, served: &mut Served) -> Result<()> {
        let (line, bytes) =
            server.hold(self.peers("idle", server, &["--connections".to_owned(), wanted.to_string()]))?;
        let held = line.split(' ').nth(1).and_then(|held| held.parse::<f64>().ok());
        let held = held.filter(|held| *held > 0.0).with_context(|| format!("cc-peers idle says {line:?}"))?;
        (served.idle_connections, served.idle_bytes) = (Some(held), Some(bytes / held));
        Ok(())
    }

    /// The client that people use.
    fn others(&self, server: &mut Serving, served: &mut Served) -> Result<()> {
        let Some(client) = &self.service.client else { return Ok(()) };
        let Some(program) = installed(&client.program) else { return Ok(()) };
        let requests = client.requests.get(&self.size).context("the size was checked")?.to_string();
        let port = server.address.port().to_string();
        let mut rate = |own: &[String]| {
            let filled = |arg: &String| arg.replace(PORT, &port).replace("{requests}", &requests);
            let mut command = Command::new(&program);
            command.args(client.args.iter().chain(own).map(filled));
            mean_rate(&server.ask(command, None)?.printed)
                .with_context(|| format!("what {} prints", client.program))
        };
        served.client_pipelined_per_s = Some(rate(&client.pipelined)?);
        served.client_single_per_s = Some(rate(&client.single)?);
        Ok(())
    }
}

/// Of lines `"TEST","REQUESTS A SECOND",…`, all tests being of as many requests: how many there were in a second.
fn mean_rate(printed: &str) -> Result<f64> {
    let rate = |line: &str| line.split(',').nth(1)?.trim_matches('"').parse::<f64>().ok();
    let rates: Vec<f64> = printed.lines().filter_map(rate).filter(|rate| *rate > 0.0).collect();
    if rates.is_empty() {
        bail!("there is no rate in {printed:?}");
    }
    Ok(rates.len() as f64 / rates.iter().map(|rate| 1.0 / rate).sum::<f64>())
}

impl Served {
    /// The medians of each.
    pub(super) fn medians(all: &[Self]) -> Option<Self> {
        let median =
            |what: fn(&Self) -> Option<f64>| stats::median(&all.iter().filter_map(what).collect::<Vec<_>>());
        (!all.is_empty()).then(|| Self {
            requests: median(|served| served.requests),
            pipelined_per_s: median(|served| served.pipelined_per_s),
            pipelined_cpu_s: median(|served| served.pipelined_cpu_s),
            single_per_s: median(|served| served.single_per_s),
            single_cpu_s: median(|served| served.single_cpu_s),
            rate_per_s: median(|served| served.rate_per_s),
            p50_s: median(|served| served.p50_s),
            p99_s: median(|served| served.p99_s),
            p999_s: median(|served| served.p999_s),
            late_p99_s: median(|served| served.late_p99_s),
            idle_connections: median(|served| served.idle_connections),
            idle_bytes: median(|served| served.idle_bytes),
            client_pipelined_per_s: median(|served| served.client_pipelined_per_s),
            client_single_per_s: median(|served| served.client_single_per_s),
        })
    }
}

/// What a run of a service is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Only that it begins to serve.
    Start,
    Load,
    Talk,
    Extra,
}

impl Rounds<'_> {
    /// Starts the entrant's server and asks it what this run is for. The time and the cores' are those of the load; of a
    /// server that is only started, until it serves.
    pub(super) fn serve(
        &self,
        clients: &Clients,
        entrant: &Entrant,
        query: &Query,
        purpose: Purpose,
        plan: Plan,
    ) -> Result<Seen> {
        let scratch = self.scratch();
        let out = plan.keep.as_ref().map(|(out, _)| out.try_clone()).transpose()?;
        let (call, manner) = told(&entrant.call)?;
        let request = Request { query, subject: &Subject::default() };
        let Called { command, .. } = call.command(request, &scratch)?;
        let (mut seen, found) = serve(command, manner, plan, &scratch, |server| match purpose {
            Purpose::Start => Ok(None),
            Purpose::Talk => clients.talk(server, out).map(|()| None),
            Purpose::Extra => clients.extra(server).map(|served| Some((served, None))),
            Purpose::Load => {
                let (load, cpu) = clients.load(server, &self.work.input.measured.args)?;
                Ok(Some((Served::of(&load, cpu), Some((load.wall_s, cpu)))))
            }
        })?;
        if let Some((served, timed)) = found {
            seen.served = Some(served);
            if let Some((wall, cpu)) = timed {
                (seen.wall, seen.cpu) = (Duration::from_secs_f64(wall), cpu);
            }
        }
        Ok(seen)
    }
}

impl Served {
    fn of(load: &Loaded, cpu: Duration) -> Self {
        let requests = load.requests as f64;
        Self {
            requests: Some(requests),
            pipelined_per_s: Some(load.requests_per_s),
            pipelined_cpu_s: Some(seconds(cpu) / requests.max(1.0)),
            ..Self::default()
        }
    }
}

/// A program that has to be given a port gets one that is free.
fn told(call: &Call) -> Result<(Call, Manner)> {
    if !call.args.iter().any(|arg| arg.contains(PORT)) {
        return Ok((call.clone(), Manner::Says));
    }
    let port = free_port()?;
    let args = call.args.iter().map(|arg| arg.replace(PORT, &port.to_string())).collect();
    Ok((Call { args, ..call.clone() }, Manner::Accepts(port)))
}

/// The package with the clients, and its program.
pub(crate) const PEERS: &str = "cc-peers";

#[cfg(test)]
mod tests;
