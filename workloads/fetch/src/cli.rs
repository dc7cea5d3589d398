//! `fetch`'s flags and exit status.

use std::{
    fs,
    hash::{BuildHasher, RandomState},
    io::{self, Read},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use cc_core::{
    contract::Ctx,
    error::{Error, Result, reason},
    output::{Outcome, with_output},
    printable::printable_path,
    quantity::seconds,
    signals::interrupted,
};
use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::{Job, Run, Settings, Wanted};

/// Download many resources at once, with limits.
///
/// Each resource that is there makes a line when it is: its status, its length, the seconds that it took, its digest (XXH3, 64 bits) and
/// its URL, with tabulators between them. Those that could not be had are listed at the end, with reasons. The exit status is 0 if
/// all are there, 1 if some are not, 2 if the run could not be done.
#[derive(Debug, Args)]
struct Flags {
    /// So many requests at once, at most
    #[arg(long, value_name = "N", default_value = "64")]
    concurrency: NonZeroUsize,
    /// So many of them at one host
    #[arg(long, value_name = "N", default_value = "8")]
    per_host: NonZeroUsize,
    /// Wait for so many seconds for a connection or for more of an answer, and ten times as long for all of it
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "30")]
    timeout: Duration,
    /// Try again so many times what may succeed then
    #[arg(long, value_name = "N", default_value_t = 3)]
    retries: u32,
    /// What is not there after so many seconds has failed [default: never]
    #[arg(long, value_name = "S", value_parser = seconds)]
    deadline: Option<Duration>,
    /// Keep what comes in this directory, which is made if it is not there
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Leave the times out of the output: what remains is the same each time, but for the order
    #[arg(long)]
    no_times: bool,
    /// Read URLs from FILE, a line each, or from standard input if that is -; empty lines and those with # are none
    #[arg(short, long, value_name = "FILE", conflicts_with = "urls")]
    input: Option<PathBuf>,
    /// What to download
    #[arg(value_name = "URL", required_unless_present = "input")]
    urls: Vec<String>,
}

/// The workload's flags.
#[must_use]
pub fn command() -> Command {
    Flags::augment_args(Command::new("fetch").args_override_self(true))
}

/// Does what the command line asks for.
///
/// # Errors
///
/// If it asks for something that cannot be, or if the run could not begin.
pub fn main(run: Run, ctx: &Ctx, args: &ArgMatches) -> Result<Outcome> {
    let flags = flags(args);
    let (times, job) = (!flags.no_times, flags.job()?);
    with_output("fetch", &ctx.stop, |output| {
        let mut listing = job.listing(times, output);
        let ran = run(&job, ctx, &mut listing);
        let (status, totals) = (listing.status(), listing.totals());
        if ran.is_ok() && !ctx.stop.requested() {
            let _ = listing.finish(); // the writer knows whether it is read
        }
        if let Some(status) = interrupted(&ctx.stop) {
            return Ok(status.into());
        }
        ran?;
        Ok(Outcome::of(status, totals))
    })
}

/// What a run makes of a command line before anything is done.
///
/// # Errors
///
/// If it asks for something that cannot be.
#[doc(hidden)]
pub fn parse(args: &ArgMatches) -> Result<()> {
    flags(args).job().map(drop)
}

fn flags(args: &ArgMatches) -> Flags {
    Flags::from_arg_matches(args).expect("clap has parsed them by the same definitions")
}

impl Flags {
    fn job(self) -> Result<Job> {
        let wanted = match &self.input {
            Some(file) => listed(file)?,
            None => self.urls.iter().map(Wanted::new).collect(),
        };
        if let Some(folder) = &self.out {
            let failed =
                |error| Error::Usage(format!("--out {}: {}", printable_path(folder), reason(&error)));
            fs::create_dir_all(folder).map_err(failed)?;
        }
        Ok(Job { settings: self.settings(), wanted })
    }

    fn settings(self) -> Settings {
        let Self { concurrency, per_host, timeout, retries, deadline, out, .. } = self;
        let seed = RandomState::new().hash_one("fetch");
        let (concurrency, per_host) = (concurrency.get(), per_host.get());
        Settings { concurrency, per_host, timeout, retries, deadline, out, seed, ..Settings::default() }
    }
}

/// The URLs of a file, each with its line.
fn listed(file: &Path) -> Result<Vec<Wanted>> {
    let failed = |error| Error::Usage(format!("--input {}: {}", printable_path(file), reason(&error)));
    let mut text = Vec::new();
    if file.as_os_str() == "-" {
        io::stdin().lock().read_to_end(&mut text).map_err(failed)?;
    } else {
        text = fs::read(file).map_err(failed)?;
    }
    Ok(lines(&String::from_utf8_lossy(&text), file))
}

/// The URLs of a text that comes from this file, each with its line.
#[must_use]
pub fn lines(text: &str, file: &Path) -> Vec<Wanted> {
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let at = |nth| Some(format!("{}:{}", file.display(), nth + 1));
    lines.map(|(nth, line)| Wanted { url: line.to_owned(), line: at(nth) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_url_in_a_line() {
        let listed = lines("# all\nhttp://a/\n\n  http://b/  \r\n", Path::new("urls"));
        let [a, b] = &listed[..] else { panic!("{listed:?}") };
        assert_eq!((&*a.url, a.line.as_deref()), ("http://a/", Some("urls:2")));
        assert_eq!((&*b.url, b.line.as_deref()), ("http://b/", Some("urls:4")));
        assert!(super::listed(Path::new("gone")).unwrap_err().to_string().contains("gone: No such file"));
    }
}
