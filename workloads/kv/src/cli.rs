//! `kv`'s flags and exit status.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use cc_core::{
    contract::{Block, Ctx, Sink},
    error::{Error, Result, reason},
    output::{Outcome, Output},
    printable::printable_path,
    quantity::{seconds, size},
    signals::Interrupts,
};
use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::{Config, Serve};

/// Serve keys and values from memory, to clients that speak the protocol of Redis.
///
/// Serves until SIGINT or SIGTERM; then it answers requests that have arrived, closes the
/// connections, and exits with status 0. The exit status is 2 if the server could not start.
#[derive(Debug, Args)]
struct Flags {
    /// The address to listen at. An address that other machines can reach needs a password. With
    /// port 0 the system chooses a port, which is printed
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:6379")]
    listen: SocketAddr,
    /// A file whose first line is the password that clients must give
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Maximum number of connected clients; further ones are refused
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    max_connections: usize,
    /// Maximum memory of keys, values and requests: a number of bytes, with K, M or G [default: no
    /// limit]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_memory: Option<u64>,
    /// Maximum replies that wait for one client: a number of bytes, with K, M or G. A client that
    /// goes on sending requests and takes no reply for 10 seconds is disconnected
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "256M")]
    max_output: u64,
    /// Close the connection of a client that sends no request for S seconds [default: never]
    #[arg(long, value_name = "S", value_parser = seconds)]
    idle_timeout: Option<Duration>,
    /// Seconds that clients have to take their replies when the server stops
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "2")]
    drain: Duration,
}

/// The workload's flags.
#[must_use]
pub fn command() -> Command {
    Flags::augment_args(Command::new("kv").args_override_self(true))
}

/// Runs the command line.
///
/// # Errors
///
/// The arguments are invalid, or the run could not begin.
pub fn main(serve: Serve, ctx: &Ctx, args: &ArgMatches) -> Result<Outcome> {
    let flags = flags(args);
    let (listen, config) = (flags.listen, flags.config()?);
    config.may_listen(listen)?;
    let interrupts = Interrupts::catch(&ctx.stop)?;
    let failed = || Error::io(format!("cannot listen at {listen}"));
    let listener = TcpListener::bind(listen).map_err(failed())?;
    // The program that started this one waits for this line and reads the port from it. If the line
    // cannot be written, the server does not start.
    let line = format!("listening at {}\n", listener.local_addr().map_err(failed())?);
    let mut output = Output::open("kv", &ctx.stop, interrupts)?;
    let _ = output.push(Block::Out(line.into_bytes()));
    if let Some(status) = output.finish().map(|written| written.status(0)).filter(|status| *status != 0) {
        return Ok(status.into());
    }
    let totals = serve(listener, &config, ctx)?;
    Ok(Outcome::of(0, totals))
}

/// Checks a command line as `main` does before it runs the job.
///
/// # Errors
///
/// The arguments are invalid.
#[doc(hidden)]
pub fn parse(args: &ArgMatches) -> Result<()> {
    flags(args).config().map(drop)
}

fn flags(args: &ArgMatches) -> Flags {
    Flags::from_arg_matches(args).expect("clap parsed the arguments with the same definitions")
}

impl Flags {
    fn config(self) -> Result<Config> {
        let Self { password_file, max_connections, max_memory, max_output, idle_timeout, drain, .. } = self;
        let password = password_file.as_deref().map(password).transpose()?;
        Ok(Config {
            password,
            max_connections,
            max_memory,
            max_output,
            idle_timeout,
            drain,
            ..Config::default()
        })
    }
}

/// The file's first line.
fn password(file: &Path) -> Result<String> {
    let wrong = |why: String| Error::Usage(format!("--password-file {}: {why}", printable_path(file)));
    let text = fs::read_to_string(file).map_err(|error| wrong(reason(&error)))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(wrong("its first line is empty".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_the_first_line() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("password");
        fs::write(&file, "secret\nmore\n").unwrap();
        assert_eq!(password(&file).unwrap(), "secret");
        fs::write(&file, "\n").unwrap();
        assert!(password(&file).unwrap_err().to_string().ends_with("password: its first line is empty"));
        assert!(password(&scratch.path().join("gone")).unwrap_err().to_string().contains("No such file"));
    }
}
