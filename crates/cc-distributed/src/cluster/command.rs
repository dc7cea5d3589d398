//! The command line: this model's own options.

use std::{env, net::IpAddr, os::unix::ffi::OsStringExt, path::PathBuf, process, time::Duration};

use cc_workloads::{Error, Model, Result, cli, printable::printable, stdio};
use clap::{Arg, ArgAction, Command, value_parser};

use super::{local, standing, worker::Service};

/// The options of a run.
#[derive(Debug)]
pub struct Options {
    /// Addresses of standing workers. Empty: the run starts worker processes on this machine.
    pub workers: Vec<String>,
    /// The file that has the token of the standing workers.
    pub token_file: Option<PathBuf>,
    /// Whether tasks name files, instead of carrying their contents.
    pub shared_fs: bool,
    /// By when a silent worker is suspected: its tasks go to other workers.
    pub suspect_after: Duration,
    /// When a silent worker is lost, if it has data that cannot be made again.
    pub lose_after: Duration,
    /// The directory for temporary files of the run's worker processes. None: the system's.
    pub temporary: Option<PathBuf>,
    /// The program of the run's worker processes. None: this one.
    pub program: Option<PathBuf>,
}

/// Default of `--suspect-after`: longer than the usual pauses of a busy machine, and short enough
/// for a user to wait.
const SUSPECT_AFTER: Duration = Duration::from_secs(2);

/// Default of `--lose-after`. A mistake costs data here, so it is longer than the migration of a
/// virtual machine, or the stall of a swapping host.
const LOSE_AFTER: Duration = Duration::from_secs(30);

impl Options {
    /// Reads the options. Those that are not given have their defaults.
    #[must_use]
    pub fn new(given: &cc_workloads::Options) -> Self {
        // The values are valid: clap has parsed them with the same function.
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

    /// The directory in which relative names begin for a worker. `base` is that of this process;
    /// empty means the current directory, which differs in a worker that shares our files.
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
            "Address of a standing worker, HOST:PORT; can be repeated [default: start worker processes on this machine]",
        ))
        .arg(
            option("token-file", "FILE")
                .value_parser(value_parser!(PathBuf))
                .help("File with the secret that coordinator and workers share [default: the user's own, for workers on this machine]"),
        )
        .arg(
            Arg::new("shared-fs")
                .long("shared-fs")
                .action(ArgAction::SetTrue)
                .global(true)
                .help_heading("Cluster")
                .help("Workers see the same files: send them names instead of contents"),
        )
        .arg(
            option("suspect-after", "SECONDS")
                .value_parser(seconds)
                .help("Seconds by which a silent worker is suspected, and its tasks go to other workers [default: 2]"),
        )
        .arg(
            option("lose-after", "SECONDS")
                .value_parser(seconds)
                .help("Seconds after which a silent worker that holds data (kv) is given up, with its data [default: 30]"),
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

/// In a process that was started as a worker, by a run or by hand, serves and does not return.
pub fn enter(services: &'static [Service], models: &[Model]) {
    local::enter(services);
    if !env::args_os().any(|arg| arg == "worker") {
        return;
    }
    // The main parser reports mistakes, and prints help.
    let Ok(matches) = cli::command(models, args).try_get_matches() else { return };
    if let Some(("worker", args)) = matches.subcommand() {
        let Err(error) = standing::stand(services, args);
        // If standard error is closed, the exit status alone shows the error.
        let _ = stdio::say(&format!("worker: {error}\n"));
        process::exit(2);
    }
}

/// Refuses workers on other machines: the user's own token must not be sent there.
pub(super) fn check_are_local(workers: &[String]) -> Result<()> {
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
