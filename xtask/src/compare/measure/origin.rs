//! What a workload waits for that does nothing but wait: the origin of `cc-peers`, in a process of
//! its own beside all runs.
//!
//! While outputs are checked it answers at once, so that the reference, which asks for one resource
//! after the other, can be waited for. When the clock counts, each request waits for the latency
//! that the manifest says; how long that takes one after the other is known, and so the reference
//! takes no part.

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
    process::tree::{Spared, spare},
};

/// The origin, which ends when this is dropped.
pub(crate) struct Origin {
    resources: Resources,
    child: Child,
    pipes: RefCell<(ChildStdin, BufReader<ChildStdout>)>,
    _spared: Spared,
}

impl Origin {
    /// Starts one that answers at once, and has it list what there is in the file `list`.
    pub(crate) fn start(peers: &Path, resources: Resources, list: &Path) -> Result<Self> {
        let command = |listen: &str| {
            let mut command = Command::new(peers);
            command.args(["origin", "--listen", listen, "--hosts", &resources.hosts.to_string()]);
            command
        };
        let mut serve = command("127.0.0.1:0");
        serve.args(["--size", &resources.bytes.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        // A Ctrl-C in the terminal is for this process, which ends it.
        let mut child = serve.process_group(0).spawn().with_context(|| peers.display().to_string())?;
        let pipes = child.stdin.take().zip(child.stdout.take()).context("both are piped")?;
        let pipes = RefCell::new((pipes.0, BufReader::new(pipes.1)));
        let origin = Self { resources, _spared: spare(child.id()), child, pipes };
        let line = origin.line()?;
        let address = line.strip_prefix("listening at ");
        let address = address.with_context(|| format!("cc-peers origin says {line:?}"))?;
        let listed = command(address).args(["--urls", &resources.count.to_string()]).output()?;
        ensure!(listed.status.success(), "cc-peers origin --urls: {}", listed.status);
        fs::write(list, listed.stdout).with_context(|| list.display().to_string())?;
        Ok(origin)
    }

    /// From now on every request waits as long as the manifest says.
    pub(crate) fn take_time(&self) -> Result<()> {
        let told = format!("latency {}", self.resources.latency_ms);
        writeln!(self.pipes.borrow_mut().0, "{told}")?;
        let line = self.line()?;
        ensure!(line == told, "cc-peers origin says {line:?}");
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
        // Whether it has ended by itself is of no interest any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        compare::measure::fixtures::{self, Place},
        process::{family::alone, tree},
    };

    #[test]
    fn it_lists_what_there_is_and_takes_time_when_it_is_told_to() {
        let _alone = alone();
        let place = Place::new();
        let origin = fixtures::origin(&place, "echo \"$line\"");
        let listed = fs::read_to_string(place.path("list")).unwrap();
        assert_eq!(listed, "origin --listen 127.0.0.1:7 --hosts 2 --urls 9\n");
        origin.take_time().unwrap();
        let child = origin.child.id();
        assert!(tree::descendants().unwrap().iter().all(|process| process.pid != child), "taken for a run's");
        let refused = fixtures::origin(&place, "echo what; exit").take_time();
        assert_eq!(refused.unwrap_err().to_string(), "cc-peers origin says \"what\"");
    }

    /// Otherwise whatever a run leaves behind could hide.
    #[test]
    fn a_child_is_spared_no_longer_than_it_is_to_be() {
        let _alone = alone();
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let is_there = || tree::descendants().unwrap().iter().any(|process| process.pid == child.id());
        assert!(is_there());
        let spared = spare(child.id());
        assert!(!is_there());
        drop(spared);
        assert!(is_there());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn the_ideal_is_as_many_latencies_as_there_are_turns() {
        let resources = Resources { count: 5000, hosts: 1, bytes: 1, latency_ms: 200, concurrency: 1000 };
        let waiting = Waiting { ideal_s: 1.0, sequential_s: 1000.0, at_once: 1000 };
        assert_eq!(resources.waiting(), waiting);
        let few = Resources { count: 1001, ..resources };
        assert_eq!(few.waiting().ideal_s, 0.4);
    }
}
