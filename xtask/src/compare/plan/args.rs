//! The command line of `cargo xtask compare`.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use cc_core::Ctx;
use clap::ValueEnum;

use crate::{
    compare::{
        plan::{effort::Effort, query::line},
        stats::baseline,
    },
    report::Html,
};

/// Run every model on the same work, check that all outputs are the same, and measure them
///
/// Exit status: 0 if all outputs agree, 2 for a usage error, 3 if outputs differ, 4 if nothing is
/// selected, 5 if a build or a run failed or timed out, 6 if a row is slower than --fail-on allows,
/// 130 after Ctrl-C, which prints what has been measured by then.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The workloads to compare [default: all]
    #[arg(value_name = "WORKLOAD")]
    pub(crate) workloads: Vec<String>,
    /// Measure only this model or tool, and the reference; may be given several times
    #[arg(long = "model", value_name = "NAME")]
    pub(crate) models: Vec<String>,
    /// Number of workers of each model [default: one per core]; with a list (1,2,4), each model is
    /// measured with each number
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub(crate) workers: Vec<NonZeroUsize>,
    /// Number of timed rounds [default: as many as fit into 45 seconds per workload, together with
    /// the other measurements]
    #[arg(long, value_name = "N")]
    pub(crate) rounds: Option<NonZeroUsize>,
    /// Size of the input [default: small]
    #[arg(long, value_enum)]
    pub(crate) size: Option<Size>,
    /// Tiny inputs and three rounds: shows whether everything works, not how fast it is
    #[arg(long, conflicts_with = "size")]
    pub(crate) smoke: bool,
    /// Smaller inputs and few rounds: a first impression of all workloads in about a minute, with
    /// wide intervals
    #[arg(long, conflicts_with = "smoke")]
    pub(crate) quick: bool,
    /// A file or directory to use as the input, instead of a generated one
    #[arg(long, value_name = "PATH", conflicts_with_all = ["size", "smoke"])]
    pub(crate) input: Option<PathBuf>,
    /// Kill a run that takes longer than this
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub(crate) timeout: u64,
    /// Measure granularity instead: make the tasks smaller step by step, and report where each
    /// model falls to half of its best rate
    #[arg(long, conflicts_with_all = ["size", "input", "query", "markdown", "csv", "quick", "baseline"])]
    pub(crate) granularity: bool,
    /// Run an A/A test instead: compare a program with itself N times, and report how often a
    /// difference is found; the program is the reference, or the selected model
    #[arg(long, value_name = "N", conflicts_with_all = ["granularity", "baseline", "csv", "markdown"])]
    pub(crate) aa: Option<NonZeroUsize>,
    /// Also write the result with all samples to FILE as JSON; - prints it instead of the table
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Also write one line of figures per row to FILE as CSV; - prints them instead of the table
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) html: Html,
    /// Report what has changed since an earlier result: a file that --json wrote, or one in
    /// target/compare/history
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    /// With --baseline: exit with status 6 if a row is slower by more than this, which means that
    /// the whole 95 % interval of its change lies above it
    #[arg(long, value_name = "5%", requires = "baseline", value_parser = baseline::percentage)]
    pub(crate) fail_on: Option<f64>,
    /// Run each model once more, untimed, and record when its workers were busy: as a trace for
    /// ui.perfetto.dev in target/compare/trace, and as timelines in the --html page
    #[arg(long, conflicts_with_all = ["granularity", "aa"])]
    pub(crate) trace: bool,
    /// Print the table as Markdown
    #[arg(long)]
    pub(crate) markdown: bool,
    /// Explain the columns of the table, and exit
    #[arg(long)]
    pub(crate) explain: bool,
    /// List the workloads with their models and tools, and exit
    #[arg(long)]
    pub(crate) list: bool,
    /// Arguments for the workload, without its input, instead of the manifest's queries
    #[arg(last = true, value_name = "ARG")]
    pub(crate) query: Vec<String>,
}

/// Time limit per workload and number of workers: seven workloads, including the incremental
/// build, take less than seven minutes.
const DEFAULT: Duration = Duration::from_secs(45);
/// Time limit with `--quick`: seven workloads take a minute.
const QUICK: Duration = Duration::from_secs(8);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Size {
    Small,
    Large,
}

impl Args {
    pub(crate) fn is_selected(&self, name: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|model| model == name)
    }

    pub(crate) fn size(&self) -> &'static str {
        match self.size {
            Some(Size::Large) => "large",
            None if self.smoke => "smoke",
            None if self.quick => "quick",
            Some(Size::Small) | None => "small",
        }
    }

    /// The numbers of workers, in ascending order.
    pub(crate) fn counts(&self) -> Vec<NonZeroUsize> {
        let mut counts = self.workers.clone();
        counts.sort_unstable();
        counts.dedup();
        if counts.is_empty() { vec![Ctx::available_workers()] } else { counts }
    }

    /// The largest number of workers.
    pub(crate) fn workers(&self) -> NonZeroUsize {
        self.counts().into_iter().max().unwrap_or_else(Ctx::available_workers)
    }

    pub(crate) fn effort(&self) -> Effort {
        let timeout = Duration::from_secs(self.timeout);
        let (memory_rounds, stop_rounds, empty_rounds, service_rounds) =
            if self.smoke || self.quick { (1, 1, 2, 1) } else { (2, 2, 5, 2) };
        let (limit, at_least, at_most) = match self.size() {
            "quick" => (QUICK, 2, 5),
            // The time of a run is not known in advance, so at least five rounds are measured.
            _ if self.input.is_some() || self.size == Some(Size::Large) => (DEFAULT, 5, 25),
            _ if self.quick => (DEFAULT, 3, 5),
            _ => (DEFAULT, 3, 25),
        };
        let rounds = self.rounds.or(NonZeroUsize::new(3).filter(|_| self.smoke));
        let limit = limit * self.counts().len() as u32;
        Effort {
            rounds,
            at_least,
            at_most,
            limit,
            memory_rounds,
            stop_rounds,
            empty_rounds,
            service_rounds,
            timeout,
        }
    }

    /// About how long this number of workloads takes; `None` if it is not known in advance.
    pub(crate) fn estimate(&self, workloads: usize) -> Option<Duration> {
        let is_known = self.rounds.is_none() && self.input.is_none() && self.size != Some(Size::Large);
        let is_comparison = self.aa.is_none() && !self.granularity && !self.smoke;
        (is_known && is_comparison).then(|| self.effort().limit * workloads as u32)
    }

    /// Whether JSON or CSV goes to standard output instead of the table.
    pub(crate) fn is_piped(&self) -> bool {
        [&self.json, &self.csv].into_iter().flatten().any(|path| path == Path::new("-"))
    }

    /// The command that repeats this comparison.
    pub(crate) fn command(&self) -> String {
        let words: Vec<String> = std::env::args().skip(1).collect();
        format!("cargo xtask {}", line(&words))
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parsed(line: &str) -> Result<Args, clap::Error> {
        Line::try_parse_from(["compare"].into_iter().chain(line.split_whitespace())).map(|line| line.args)
    }

    #[test]
    fn the_command_line_is_sound() {
        Line::command().debug_assert();
    }

    #[test]
    fn workers_are_tried_from_few_to_many() {
        let counts = |line: &str| parsed(line).unwrap().counts().into_iter().map(NonZeroUsize::get).collect();
        let found: Vec<usize> = counts("grep --workers 4,1,2,1");
        assert_eq!(found, [1, 2, 4]);
        assert_eq!(parsed("--workers 4,1,2").unwrap().workers().get(), 4);
        assert_eq!(parsed("").unwrap().counts(), [Ctx::available_workers()]);
        assert!(parsed("--workers 0").is_err() && parsed("--workers 1,,2").is_err());
    }

    #[test]
    fn what_makes_no_sense_together_is_refused() {
        for line in [
            "--smoke --quick",
            "--fail-on 5%",
            "--aa 3 --csv -",
            "--granularity --baseline x",
            "--trace --aa 3",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
        let args = parsed("--quick --baseline x --fail-on 5% --csv -").unwrap();
        assert_eq!((args.fail_on, args.is_piped()), (Some(0.05), true));
        assert_eq!((args.effort().rounds, args.effort().at_most), (None, 5));
        assert_eq!(parsed("--quick --rounds 9").unwrap().effort().rounds.map(NonZeroUsize::get), Some(9));
    }

    #[test]
    fn a_quick_comparison_has_less_to_do_unless_the_size_is_given() {
        let size = |line: &str| parsed(line).unwrap().size();
        assert_eq!((size(""), size("--quick"), size("--smoke")), ("small", "quick", "smoke"));
        assert_eq!((size("--quick --size small"), size("--quick --size large")), ("small", "large"));
    }

    #[test]
    fn seven_workloads_take_less_than_seven_minutes_and_a_quick_look_at_them_a_minute() {
        let estimate = |line: &str| parsed(line).unwrap().estimate(7);
        assert!(estimate("").unwrap() < Duration::from_secs(7 * 60));
        assert!(estimate("--quick").unwrap() <= Duration::from_secs(60));
        assert_eq!(estimate("--workers 1,2"), estimate("").map(|one| 2 * one));
        assert_eq!((estimate("--size large"), estimate("--rounds 9")), (None, None));
    }
}
