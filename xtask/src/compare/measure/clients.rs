//! Workloads that serve: what is asked of them in place of files, and how fast they answer.
//!
//! A run of a service is a load of a fixed number of requests, in a closed loop: its time, what the
//! server takes of the cores meanwhile and what it holds. The rounds are those of every other
//! workload; the rest, [`Served`], comes from rounds of its own, in which each server in turn is
//! asked in other ways.

use std::{fs::File, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::compare::{
    measure::server::Serving,
    plan::{
        service::{Asked, Service},
        tool::installed,
    },
    result::{Input, Served, Subject, seconds},
    stats::estimate,
};

/// Who asks, and what.
#[derive(Clone)]
pub(crate) struct Clients {
    service: Service,
    /// The program `cc-peers`.
    peers: PathBuf,
    size: String,
}

/// What `cc-peers load --json` prints, as far as it is of use here.
#[derive(Deserialize)]
pub(crate) struct Loaded {
    pub requests: u64,
    pub wall_s: f64,
    pub requests_per_s: f64,
    pub latency_s: Quantiles,
    pub late_s: Option<Quantiles>,
}

#[derive(Deserialize)]
pub(crate) struct Quantiles {
    p50: f64,
    p99: f64,
    p999: f64,
}

/// The port that a tool is told to listen at.
pub(crate) const PORT: &str = "{port}";
/// A wait of the generator's own beyond which an open loop says more of it than of the server.
pub(crate) const LATE_S: f64 = 1e-3;

impl Clients {
    /// Those of a service, for a load of this size.
    pub(crate) fn of(service: &Service, peers: PathBuf, input: &Input) -> Self {
        Self { service: service.clone(), peers, size: input.name.clone() }
    }

    fn peers(&self, what: &str, server: &Serving, args: &[String]) -> Command {
        let mut command = Command::new(&self.peers);
        command.args([what, "--connect", &server.address.to_string()]).args(args);
        command
    }

    /// A load with these arguments beside those that all have in common.
    pub(crate) fn load(&self, server: &mut Serving, args: &[String]) -> Result<(Loaded, Duration)> {
        let common = Subject { args: self.service.load.clone(), ..Subject::default() };
        let mut command = self.peers("load", server, &common.with(args));
        command.arg("--json");
        let asked = server.ask(command, None)?;
        let loaded = serde_json::from_str(&asked.printed).context("what cc-peers prints")?;
        Ok((loaded, asked.cpu))
    }

    pub(crate) fn talk(&self, server: &mut Serving, out: Option<File>) -> Result<()> {
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

    /// About how long all that is not the load takes with one server: the open loop, and as long
    /// for the rest.
    pub(crate) fn extra_s(&self) -> f64 {
        self.asked().map_or(0.0, |asked| 2.0 * asked.seconds)
    }

    fn asked(&self) -> Result<Asked> {
        self.service.asked.get(&self.size).copied().context("the size was checked")
    }

    /// All that is not the load, of a server that has just been started.
    pub(crate) fn extra(&self, server: &mut Serving) -> Result<Served> {
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

/// Of lines `"TEST","REQUESTS A SECOND",…`, all tests being of as many requests: how many there
/// were in a second.
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
    pub(crate) fn medians(all: &[Self]) -> Option<Self> {
        let median = |what: fn(&Self) -> Option<f64>| {
            estimate::median(&all.iter().filter_map(what).collect::<Vec<_>>())
        };
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

#[cfg(test)]
mod tests;
