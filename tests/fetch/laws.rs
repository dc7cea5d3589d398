//! What this workload provides to the common laws (`cc_conformance::laws`).

use std::{fs, path::PathBuf};

use cc_conformance::{
    fault::Fault,
    laws::{Cut, Laws, Place},
    subject::Subject,
};
use cc_peers::origin::{Origin, Settings};
use cc_workloads::{
    Ctx, Sink,
    fetch::{Job, Output},
};

use super::{
    Fetch,
    faults::{line, number},
    files::{content, files},
    kills::{assert_all_but, plain},
    origin,
    run_result::{Invocation, RunResult},
    stops::patient,
};

/// A job, its origin, and its output directory.
pub(super) struct Served {
    invocation: Invocation,
    origin: Origin,
    folder: Option<PathBuf>,
}

/// A job over these paths, some of which are equal.
fn served(paths: &[&str]) -> Served {
    let origin = origin(Settings::default());
    Served { invocation: patient(&origin, paths), origin, folder: None }
}

/// The number of resources of the ordinary job. It is more than there are downloads at once.
const COUNT: usize = 60;

impl Laws for Fetch {
    type Invocation = Served;
    type Expected = ();
    type RunResult = RunResult;
    type Pushed = Output;

    fn ordinary() -> Served {
        let (origin, folder) = (origin(Settings::default()), PathBuf::from("kept"));
        fs::create_dir_all(&folder).expect("a directory can be made");
        let invocation = plain(&origin, COUNT).but(|settings| settings.out = Some(folder.clone()));
        Served { invocation, origin, folder: Some(folder) }
    }

    fn middle() -> Vec<Place> {
        vec![Place::new("/plain/17", 0)]
    }

    fn deadly() -> Vec<(Place, u32)> {
        let place = |n| Place::new(format!("/plain/{}", n * 13 + 4), 0);
        (0..4).map(|n| (place(n), 1 + u32::from(n % 2 == 0))).collect()
    }

    fn deaths() -> Vec<(String, Place)> {
        [("before_a_request", 0), ("within_a_body", 1)]
            .map(|(end, from)| (end.to_owned(), Place::new("/plain/17", from)))
            .into()
    }

    fn stopped() -> Vec<Served> {
        vec![served(&["/plain/1", "x"])]
    }

    fn jams() -> Vec<(Served, Option<usize>)> {
        vec![(served(&["/plain/1"; 200]), None)]
    }

    fn breaks() -> Vec<(Served, Vec<usize>)> {
        vec![(served(&["/plain/1"; 100]), vec![1, 5])]
    }

    fn cut() -> Vec<Cut<Served>> {
        vec![]
    }

    fn varied() -> Vec<Served> {
        vec![Self::ordinary()]
    }

    /// `fetch` has its own cases instead of some laws. The limits decide how much has begun at a
    /// Break, and how many threads there are. The tasks come from a schedule, which has no
    /// failpoint. The timeout decides when a worker that hangs is taken for dead.
    fn name(law: &'static str) -> Option<&'static str> {
        match law {
            "break_ends_the_work"
            | "no_threads_but_the_models"
            | "panic_in_the_source"
            | "suspended_worker_is_replaced"
            | "late_worker_is_not_believed_twice" => None,
            _ => Some(law),
        }
    }

    fn with(served: Served, fault: Fault) -> Served {
        Served { invocation: served.invocation.with(fault), ..served }
    }

    fn job(served: &Served) -> Job {
        served.invocation.0.clone()
    }

    fn expected(_: &Served) {}

    fn run(subject: &Subject, served: &Served, ctx: &Ctx, out: &mut dyn Sink<Output>) {
        subject.run::<Self>(&served.invocation.0, ctx, out);
    }

    fn observe(subject: &Subject, served: &Served, ctx: &Ctx, most: Option<usize>) -> RunResult {
        RunResult::until(subject, &served.invocation, ctx, most)
    }

    fn pushes(run_result: &RunResult) -> usize {
        run_result.outputs.len()
    }

    fn assert_whole(run_result: &RunResult, (): &(), served: &Served) {
        assert_eq!((&run_result.error, run_result.status), (&None, 0));
        let folder = served.folder.as_deref().expect("all of the ordinary job is kept");
        assert_all_but(run_result, &served.origin, COUNT, &[], folder);
    }

    fn assert_part(run_result: &RunResult, (): &(), served: &Served) {
        assert_eq!((&run_result.error, &run_result.said), (&None, &vec![]));
        for shown in &run_result.lines {
            let url = shown.rsplit('\t').next().expect("a line has fields");
            assert_eq!(*shown, line(url, number(url)));
        }
        let kept = served.folder.iter().flat_map(|folder| files(folder));
        kept.for_each(|(name, text)| assert!(text == content(number(&name)), "{name}"));
    }

    fn assert_nothing(run_result: &RunResult, served: &Served) {
        assert_eq!((&run_result.outputs, served.origin.stats().requests), (&vec![], 0), "something was done");
    }
}
