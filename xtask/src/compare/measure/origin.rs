//! The origin: the server to which programs that only wait send their requests. It is
//! `cc-peers origin`, a separate process that runs during all rounds.
//!
//! During the check it replies immediately, so that the reference, which sends one request after
//! the other, ends soon. During timed rounds each reply is delayed by the latency in the manifest.
//! The reference's time can then be computed, and the reference is not run.

use std::{
    cell::RefCell,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{
    compare::{plan::resources::Resources, result::Waiting},
    process::tree::{Excluded, exclude},
};

/// A running origin; it is killed when this value is dropped.
pub(crate) struct Origin {
    resources: Resources,
    child: Child,
    pipes: RefCell<(ChildStdin, BufReader<ChildStdout>)>,
    _excluded: Excluded,
}

impl Origin {
    /// Starts an origin without latency, and writes the list of its resources to the file `list`.
    pub(crate) fn start(peers: &Path, resources: Resources, list: &Path) -> Result<Self> {
        let command = |listen: &str| {
            let mut command = Command::new(peers);
            command.args(["origin", "--listen", listen, "--hosts", &resources.hosts.to_string()]);
            command
        };
        let mut serve = command("127.0.0.1:0");
        serve.args(["--size", &resources.bytes.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        // A process group of its own: a Ctrl-C in the terminal must reach only this process, which
        // then ends the origin.
        let mut child = serve.process_group(0).spawn().with_context(|| peers.display().to_string())?;
        let pipes = child.stdin.take().zip(child.stdout.take()).context("both are piped")?;
        let pipes = RefCell::new((pipes.0, BufReader::new(pipes.1)));
        let origin = Self { resources, _excluded: exclude(child.id()), child, pipes };
        let line = origin.line()?;
        let address = line.strip_prefix("listening at ");
        let address = address.with_context(|| format!("cc-peers origin printed {line:?}"))?;
        let listed = command(address).args(["--urls", &resources.count.to_string()]).output()?;
        ensure!(listed.status.success(), "cc-peers origin --urls: {}", listed.status);
        fs::write(list, listed.stdout).with_context(|| list.display().to_string())?;
        Ok(origin)
    }

    /// Delays every further reply by the latency in the manifest.
    pub(crate) fn set_latency(&self) -> Result<()> {
        let command = format!("latency {}", self.resources.latency_ms);
        writeln!(self.pipes.borrow_mut().0, "{command}")?;
        let line = self.line()?;
        ensure!(line == command, "cc-peers origin printed {line:?}");
        Ok(())
    }

    pub(crate) fn waiting(&self) -> Waiting {
        self.resources.waiting()
    }

    fn line(&self) -> Result<String> {
        let mut line = String::new();
        self.pipes.borrow_mut().1.read_line(&mut line)?;
        ensure!(!line.is_empty(), "cc-peers origin has ended");
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        // Errors are ignored: the process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        compare::measure::fixtures::{self, Fixture},
        process::{guard::exclusive, tree},
    };

    #[test]
    fn an_origin_lists_its_resources_and_sets_its_latency_on_command() {
        let _exclusive = exclusive();
        let fixture = Fixture::new();
        let origin = fixtures::origin(&fixture, "echo \"$line\"");
        let listed = fs::read_to_string(fixture.path("list")).unwrap();
        assert_eq!(listed, "origin --listen 127.0.0.1:7 --hosts 2 --urls 9\n");
        origin.set_latency().unwrap();
        let child = origin.child.id();
        assert!(
            tree::descendants().unwrap().iter().all(|process| process.pid != child),
            "it counts as a run's process"
        );
        let refused = fixtures::origin(&fixture, "echo what; exit").set_latency();
        assert_eq!(refused.unwrap_err().to_string(), "cc-peers origin printed \"what\"");
    }

    /// Otherwise a leftover process of a run with the same process id would not be found.
    #[test]
    fn a_child_is_excluded_only_until_the_guard_is_dropped() {
        let _exclusive = exclusive();
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let is_listed = || tree::descendants().unwrap().iter().any(|process| process.pid == child.id());
        assert!(is_listed());
        let excluded = exclude(child.id());
        assert!(!is_listed());
        drop(excluded);
        assert!(is_listed());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn the_ideal_time_is_one_latency_per_batch_of_concurrent_requests() {
        let resources = Resources { count: 5000, hosts: 1, bytes: 1, latency_ms: 200, concurrency: 1000 };
        let waiting = Waiting { ideal_s: 1.0, sequential_s: 1000.0, at_once: 1000 };
        assert_eq!(resources.waiting(), waiting);
        let few = Resources { count: 1001, ..resources };
        assert_eq!(few.waiting().ideal_s, 0.4);
    }
}
