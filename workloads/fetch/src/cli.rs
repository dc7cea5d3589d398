//! `fetch`'s flags and exit status.

use std::{
    env, fs,
    hash::{BuildHasher, RandomState},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use cc_core::{
    contract::Ctx,
    error::{Error, Result, reason},
    output::{Outcome, with_output},
    printable::printable_path,
    quantity::{seconds, size},
    replace::Replacement,
    signals::interrupted,
    stdio::say,
    stream,
};
use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::{Job, RequestHeader, Run, Settings, Trust, Wanted, request::MAX_HEADERS};

/// Download many resources concurrently, with limits.
///
/// Each resource is printed when it is complete: status, length, seconds, digest (XXH3, 64 bits)
/// and URL, separated by tabs. Resources that could not be fetched are listed at the end, with
/// reasons. The exit status is 0 if all were fetched, 1 if some were not, 2 if the run could not be
/// done.
#[derive(Debug, Args)]
struct Flags {
    /// Maximum number of requests in flight
    #[arg(long, value_name = "N", default_value = "64")]
    concurrency: NonZeroUsize,
    /// Maximum number of requests in flight per host
    #[arg(long, value_name = "N", default_value = "8")]
    per_host: NonZeroUsize,
    /// Wait at most S seconds for a connection or for more of a response, and ten times as long for
    /// the whole response
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "30")]
    timeout: Duration,
    /// Maximum number of retries of a request that failed for a temporary reason
    #[arg(long, value_name = "N", default_value_t = 3)]
    retries: u32,
    /// Give up a resource that is not complete after S seconds [default: never]
    #[arg(long, value_name = "S", value_parser = seconds)]
    deadline: Option<Duration>,
    /// Send this header instead of the one of the same name; an empty value removes it.
    /// Authorization, Cookie and Host are not sent to another origin after a redirect
    #[arg(long, value_name = "NAME: VALUE", value_parser = RequestHeader::parse)]
    header: Vec<RequestHeader>,
    /// Identify as this to servers, instead of as cc-fetch and its version
    #[arg(long, value_name = "TEXT", value_parser = RequestHeader::user_agent)]
    user_agent: Option<RequestHeader>,
    /// Fail resources that are larger than SIZE bytes (suffixes K, M, G) [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_size: Option<u64>,
    /// Do not ask for compressed resources, and decompress none
    #[arg(long)]
    no_gzip: bool,
    /// Trust only the authorities whose certificates are in FILE (PEM), instead of those of
    /// SSL_CERT_FILE, SSL_CERT_DIR or the system
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Save the resources in this directory, which is created if it does not exist
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print no times, so that the output is the same in every run, except for the order
    #[arg(long)]
    no_times: bool,
    /// Read URLs from FILE, one per line, or from standard input if FILE is -; empty lines and
    /// lines that begin with # are skipped
    #[arg(short, long, value_name = "FILE", conflicts_with = "urls")]
    input: Option<PathBuf>,
    /// Resources to download
    #[arg(value_name = "URL", required_unless_present = "input")]
    urls: Vec<String>,
}

/// The workload's flags.
#[must_use]
pub fn command() -> Command {
    Flags::augment_args(Command::new("fetch").args_override_self(true))
}

/// Runs the command line.
///
/// # Errors
///
/// The arguments are invalid, or the run could not begin.
pub fn main(run: Run, ctx: &Ctx, args: &ArgMatches) -> Result<Outcome> {
    let flags = flags(args);
    let (times, job) = (!flags.no_times, flags.job()?);
    warn_of_proxies();
    with_output("fetch", &ctx.stop, |output| {
        let mut listing = job.listing(times, output);
        let result = run(&job, ctx, &mut listing);
        let (status, totals) = (listing.status(), listing.totals());
        if result.is_ok() && !ctx.stop.requested() {
            let _ = listing.finish(); // the output reports whether it was written
        }
        // After a signal, its exit status takes precedence over an error of the run.
        if let Some(status) = interrupted(&ctx.stop) {
            return Ok(status.into());
        }
        result?;
        Ok(Outcome::of(status, totals))
    })
}

/// Checks a command line as `main` does before it runs the job.
///
/// # Errors
///
/// The arguments are invalid.
#[doc(hidden)]
pub fn parse(args: &ArgMatches) -> Result<()> {
    flags(args).job().map(drop)
}

fn flags(args: &ArgMatches) -> Flags {
    Flags::from_arg_matches(args).expect("clap parsed the arguments with the same definitions")
}

impl Flags {
    fn job(self) -> Result<Job> {
        let wanted = match &self.input {
            Some(file) => read_urls(file)?,
            None => self.urls.iter().map(Wanted::new).collect(),
        };
        if let Some(folder) = &self.out {
            let failed =
                |error| Error::Usage(format!("--out {}: {}", printable_path(folder), reason(&error)));
            let checked = fs::create_dir_all(folder).and_then(|()| Replacement::check_directory(folder));
            checked.map_err(failed)?;
        }
        Ok(Job { settings: self.settings()?, wanted })
    }

    fn settings(self) -> Result<Settings> {
        let trust = self.trust()?;
        let headers = self.headers()?;
        let Self { concurrency, per_host, timeout, retries, deadline, out, max_size, .. } = self;
        let gzip = !self.no_gzip;
        let seed = RandomState::new().hash_one("fetch");
        let (concurrency, per_host) = (concurrency.get(), per_host.get());
        Ok(Settings {
            concurrency,
            per_host,
            timeout,
            retries,
            deadline,
            out: out.map(stream::shared_name),
            max_size,
            gzip,
            headers,
            trust,
            seed,
            ..Settings::default()
        })
    }

    fn trust(&self) -> Result<Trust> {
        let Some(file) = &self.cacert else { return Ok(Trust::of_environment()) };
        let failed = |why| Error::Usage(format!("--cacert {}: {why}", printable_path(file)));
        Trust::of_file(file).map_err(failed)
    }

    /// The user agent first, so that `--header` replaces it.
    fn headers(&self) -> Result<Vec<RequestHeader>> {
        let is_given = |agent: &&RequestHeader| !self.header.iter().any(|header| header.is_like(agent));
        let headers: Vec<_> = self.user_agent.iter().filter(is_given).chain(&self.header).cloned().collect();
        if headers.iter().map(RequestHeader::size).sum::<usize>() > MAX_HEADERS {
            return Err(Error::Usage(format!("--header: all headers together exceed {MAX_HEADERS} bytes")));
        }
        Ok(headers)
    }
}

/// Variables that name a proxy. Others ignore `HTTP_PROXY` as well, which a web server sets from a
/// header of a request.
const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

/// Says that connections go to the servers themselves, if the environment names a proxy.
fn warn_of_proxies() {
    let is_set = |name: &&&str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_off = |name: &&str| env::var_os(name).is_some_and(|value| value == "*");
    if let Some(name) = PROXIES.iter().find(is_set)
        && !["no_proxy", "NO_PROXY"].iter().any(is_off)
    {
        // Best effort: the run goes on without the warning.
        let _ = say(&format!("fetch: warning: {name} is ignored: proxies are not used\n"));
    }
}

/// The URLs in a file, each with its line.
fn read_urls(file: &Path) -> Result<Vec<Wanted>> {
    let failed = |error| Error::Usage(format!("--input {}: {}", printable_path(file), reason(&error)));
    let mut text = Vec::new();
    if file.as_os_str() == "-" {
        stream::stdin().and_then(|file| stream::read_to_end(file, &mut text)).map_err(failed)?;
    } else {
        text = fs::read(file).map_err(failed)?;
    }
    Ok(lines(&String::from_utf8_lossy(&text), file))
}

/// The URLs in the text of this file, each with its line.
#[must_use]
pub fn lines(text: &str, file: &Path) -> Vec<Wanted> {
    // Some editors begin a file with a byte order mark, which belongs to no URL.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let at = |nth| Some(format!("{}:{}", file.display(), nth + 1));
    lines.map(|(nth, line)| Wanted { url: line.to_owned(), line: at(nth) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_file_is_a_url() {
        assert_eq!(lines("\u{feff}http://a/\n", Path::new("urls")), lines("http://a/", Path::new("urls")));
        assert!(lines("\u{feff}# all\n", Path::new("urls")).is_empty());
        let listed = lines("# all\nhttp://a/\n\n  http://b/  \r\n", Path::new("urls"));
        let [a, b] = &listed[..] else { panic!("{listed:?}") };
        assert_eq!((&*a.url, a.line.as_deref()), ("http://a/", Some("urls:2")));
        assert_eq!((&*b.url, b.line.as_deref()), ("http://b/", Some("urls:4")));
        assert!(read_urls(Path::new("gone")).unwrap_err().to_string().contains("gone: No such file"));
    }

    #[test]
    fn a_directory_that_takes_no_file_is_reported_before_anything_is_fetched() {
        // Not even root can create a file there.
        let args = ["fetch", "--out", "/proc/self/fd", "http://a/"];
        let why = parse(&command().try_get_matches_from(args).unwrap()).unwrap_err().to_string();
        assert!(why.starts_with("--out /proc/self/fd: ") && !why.contains("os error"), "{why}");
    }
}
