//! The command line: the options of this model.

use std::{env, net::IpAddr, os::unix::ffi::OsStringExt, path::PathBuf, process, time::Duration};

use cc_workloads::{Error, Model, Result, cli, printable::printable, stdio};
use clap::{Arg, ArgAction, Command, value_parser};

use super::{local, standing, worker::Service};

/// The options of a run.
#[derive(Debug)]
pub struct Options {
    /// Addresses of standing workers; none means a local cluster.
    pub workers: Vec<String>,
    /// Where the token of those is.
    pub token_file: Option<PathBuf>,
    /// Send names instead of contents.
    pub shared_fs: bool,
    /// The time within which a silent worker is suspected: what it was asked for is asked of
    /// others.
    pub suspect_after: Duration,
    /// The time within which a silent worker is lost, if data is lost with it that no other worker
    /// has.
    pub lose_after: Duration,
    /// Where workers of the run's own have their temporary files, if not where everybody has them.
    pub temporary: Option<PathBuf>,
    /// The program that the run's own workers are, if not this one.
    pub program: Option<PathBuf>,
}

/// Long enough for a pause of a busy machine, short enough to wait for.
const SUSPECT_AFTER: Duration = Duration::from_secs(2);

/// A wrong suspicion costs data here, so the pause is one that only a dead machine makes: it is
/// longer than a virtual machine's migration or a swapping host's stall.
const LOSE_AFTER: Duration = Duration::from_secs(30);

impl Options {
    /// Reads them, and takes the defaults for those that are not there.
    #[must_use]
    pub fn new(given: &cc_workloads::Options) -> Self {
        // What the command line has not refused is in order.
        let time =
            |name, default| given.get(name).and_then(|text| seconds(text.to_str()?).ok()).unwrap_or(default);
        Self {
            workers: given.all("worker").map(|address| address.to_string_lossy().into_owned()).collect(),
            token_file: given.get("token-file").map(PathBuf::from),
            shared_fs: given.get("shared-fs").is_some(),
            suspect_after: time("suspect-after", SUSPECT_AFTER),
            lose_after: time("lose-after", LOSE_AFTER),
            temporary: None,
            program: None,
        }
    }

    /// Where relative names begin for a worker, if they begin at `base` for us: workers that share
    /// our files have a current directory of their own.
    pub fn base(&self, base: &[u8]) -> Result<Vec<u8>> {
        if !self.shared_fs || !base.is_empty() {
            return Ok(base.to_vec());
        }
        let here = env::current_dir().map_err(Error::io("current directory"))?;
        Ok(here.into_os_string().into_vec())
    }
}

/// Adds the options to the command line.
pub fn args(command: Command) -> Command {
    let option = |name: &'static str, value: &'static str| {
        Arg::new(name).long(name).value_name(value).global(true).help_heading("Cluster")
    };
    command
        .arg(option("worker", "ADDR").action(ArgAction::Append).help(
            "A standing worker, HOST:PORT; may be given many times [default: a cluster of processes on this machine]",
        ))
        .arg(
            option("token-file", "FILE")
                .value_parser(value_parser!(PathBuf))
                .help("The secret that coordinator and workers share [default: the user's own, on this machine only]"),
        )
        .arg(
            Arg::new("shared-fs")
                .long("shared-fs")
                .action(ArgAction::SetTrue)
                .global(true)
                .help_heading("Cluster")
                .help("Workers see the same files: send names instead of contents"),
        )
        .arg(
            option("suspect-after", "SECONDS")
                .value_parser(seconds)
                .help("A silent worker is suspected within so many seconds, and its tasks go to others [default: 2]"),
        )
        .arg(
            option("lose-after", "SECONDS")
                .value_parser(seconds)
                .help("A silent worker that keeps data (kv) is given up, with its data, after so many seconds [default: 30]"),
        )
        .subcommand(standing::command())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let range = 0.1..=3600.0;
    if range.contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("must be between 0.1 and 3600".to_owned())
    }
}

/// In a process that was started as a worker, by a run or by hand, works and does not return.
pub fn enter(services: &'static [Service], models: &[Model]) {
    local::enter(services);
    if !env::args_os().any(|arg| arg == "worker") {
        return;
    }
    // A line that is wrong, or asks for help, is left to the command line of the run.
    let Ok(matches) = cli::command(models, args).try_get_matches() else { return };
    if let Some(("worker", args)) = matches.subcommand() {
        let Err(error) = standing::stand(services, args);
        let _ = stdio::say(&format!("worker: {error}\n")); // the status says the same
        process::exit(2);
    }
}

/// Refuses workers on other machines: the user's own token is no secret of theirs, and must not be
/// sent there.
pub(super) fn is_here(workers: &[String]) -> Result<()> {
    let is_loopback = |worker: &&String| {
        let host = worker.rsplit_once(':').map_or("", |(host, _)| host).trim_matches(['[', ']']);
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    match workers.iter().find(|worker| !is_loopback(worker)) {
        None => Ok(()),
        Some(worker) => {
            Err(Error::Usage(format!("{} is not on this machine: give --token-file", printable(worker))))
        }
    }
}
