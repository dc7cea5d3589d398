//! The clients of a service, and their measurements.
//!
//! A timed run of a service is a load with a fixed number of requests, in a closed loop. It gives
//! the time, and the server's processor time and memory, in the same rounds as any other workload.
//! The other figures of [`Served`] come from separate rounds with other kinds of requests.

use std::{fs::File, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::compare::{
    measure::server::RunningServer,
    plan::{
        service::{ExtraLoads, Service},
        tool::installed,
    },
    result::{Input, Served, Subject, seconds},
    stats::estimate,
};

/// The client programs, and the service section of the manifest.
#[derive(Clone)]
pub(crate) struct Clients {
    service: Service,
    /// The path of the program `cc-peers`.
    peers: PathBuf,
    size: String,
}

/// The fields of the output of `cc-peers load --json` that are used here.
#[derive(Deserialize)]
pub(crate) struct LoadReport {
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

/// Placeholder in a tool's arguments for the port on which it must listen.
pub(crate) const PORT: &str = "{port}";
/// Maximum acceptable delay of the load generator in seconds (99th percentile). Beyond it, the
/// latencies of the open loop depend more on the generator than on the server.
pub(crate) const LATE_S: f64 = 1e-3;

impl Clients {
    /// The clients of a service, for a load of this size.
    pub(crate) fn of(service: &Service, peers: PathBuf, input: &Input) -> Self {
        Self { service: service.clone(), peers, size: input.name.clone() }
    }

    fn peers(&self, what: &str, server: &RunningServer, args: &[String]) -> Command {
        let mut command = Command::new(&self.peers);
        command.args([what, "--connect", &server.address.to_string()]).args(args);
        command
    }

    /// Runs a load with these arguments and the common ones. Returns its report, and the server's
    /// processor time.
    pub(crate) fn load(&self, server: &mut RunningServer, args: &[String]) -> Result<(LoadReport, Duration)> {
        let common = Subject { args: self.service.load.clone(), ..Subject::default() };
        let mut command = self.peers("load", server, &common.with(args));
        command.arg("--json");
        let client = server.run_client(command, None)?;
        let report = serde_json::from_str(&client.printed).context("the output of cc-peers load")?;
        Ok((report, client.cpu))
    }

    pub(crate) fn talk(&self, server: &mut RunningServer, out: Option<File>) -> Result<()> {
        let command = self.peers("talk", server, &self.service.talk);
        server.run_client(command, out).map(drop)
    }

    /// A description of the measurements for the notes of the table.
    pub(crate) fn description(&self) -> Result<String> {
        let ExtraLoads { rate, seconds, idle, .. } = self.extra_loads()?;
        let load = self.service.load.join(" ");
        Ok(format!(
            "cc-peers load {load}, in a separate process. -P 16: closed loop with a pipeline of 16 requests, and the \
             server's CPU time per request; -P 1: one request at a time. p50, p99, p99.9: latency in an open loop, \
             {rate} requests per second in total (Poisson process) for {seconds} s, each counted from when it was due. \
             idle: memory per idle connection, of {idle}"
        ))
    }

    /// Estimated time in seconds of all extra measurements of one server: that of the open loop,
    /// and as much again for the others.
    pub(crate) fn extra_s(&self) -> f64 {
        self.extra_loads().map_or(0.0, |loads| 2.0 * loads.seconds)
    }

    fn extra_loads(&self) -> Result<ExtraLoads> {
        self.service.asked.get(&self.size).copied().context("the size was checked")
    }

    /// The extra measurements of a server that has just been started.
    pub(crate) fn extra(&self, server: &mut RunningServer) -> Result<Served> {
        let mut served = Served::default();
        let loads = self.extra_loads()?;
        self.idle(server, loads.idle, &mut served)?;
        let words = |text: String| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (single, cpu) = self.load(server, &words(format!("--pipeline 1 --requests {}", loads.single)))?;
        served.single_per_s = Some(single.requests_per_s);
        served.single_cpu_s = Some(seconds(cpu) / single.requests as f64);
        let open = words(format!("--rate {} --seconds {}", loads.rate, loads.seconds));
        let (open, _) = self.load(server, &open)?;
        served.rate_per_s = Some(loads.rate as f64);
        let Quantiles { p50, p99, p999 } = open.latency_s;
        (served.p50_s, served.p99_s, served.p999_s) = (Some(p50), Some(p99), Some(p999));
        served.late_p99_s = open.late_s.map(|late| late.p99);
        self.established_client(server, &mut served)?;
        Ok(served)
    }

    fn idle(&self, server: &mut RunningServer, wanted: usize, served: &mut Served) -> Result<()> {
        let (line, bytes) = server.memory_growth(self.peers(
            "idle",
            server,
            &["--connections".to_owned(), wanted.to_string()],
        ))?;
        let open = line.split(' ').nth(1).and_then(|open| open.parse::<f64>().ok());
        let open = open.filter(|open| *open > 0.0);
        let open =
            open.with_context(|| format!("cc-peers idle printed {line:?}, not a number of connections"))?;
        (served.idle_connections, served.idle_bytes) = (Some(open), Some(bytes / open));
        Ok(())
    }

    /// The rates that an established client measures, if it is installed.
    fn established_client(&self, server: &mut RunningServer, served: &mut Served) -> Result<()> {
        let Some(client) = &self.service.client else { return Ok(()) };
        let Some(program) = installed(&client.program) else { return Ok(()) };
        let requests = client.requests.get(&self.size).context("the size was checked")?.to_string();
        let port = server.address.port().to_string();
        let mut rate = |own: &[String]| {
            let filled = |arg: &String| arg.replace(PORT, &port).replace("{requests}", &requests);
            let mut command = Command::new(&program);
            command.args(client.args.iter().chain(own).map(filled));
            mean_rate(&server.run_client(command, None)?.printed)
                .with_context(|| format!("the output of {}", client.program))
        };
        served.client_pipelined_per_s = Some(rate(&client.pipelined)?);
        served.client_single_per_s = Some(rate(&client.single)?);
        Ok(())
    }
}

/// The mean rate of all tests. Each line is `"TEST","REQUESTS PER SECOND",…`, and all tests have
/// the same number of requests, so the mean is the harmonic one.
fn mean_rate(printed: &str) -> Result<f64> {
    let rate = |line: &str| line.split(',').nth(1)?.trim_matches('"').parse::<f64>().ok();
    let rates: Vec<f64> = printed.lines().filter_map(rate).filter(|rate| *rate > 0.0).collect();
    if rates.is_empty() {
        bail!("no rate found in {printed:?}");
    }
    Ok(rates.len() as f64 / rates.iter().map(|rate| 1.0 / rate).sum::<f64>())
}

impl Served {
    /// The median of each figure.
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
