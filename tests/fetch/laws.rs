//! What the laws of every workload are asked with.

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
    observe::{Asked, Observed},
    origin,
    stops::patient,
};

/// A job, the origin that it asks, and the directory that it may fill.
pub(super) struct Served {
    asked: Asked,
    origin: Origin,
    folder: Option<PathBuf>,
}

/// This many resources, some of which are the same one.
fn served(paths: &[&str]) -> Served {
    let origin = origin(Settings::default());
    Served { asked: patient(&origin, paths), origin, folder: None }
}

/// How many resources the ordinary job has: more than there may be at once.
const COUNT: usize = 60;

impl Laws for Fetch {
    type Asked = Served;
    type Expected = ();
    type Observed = Observed;
    type Pushed = Output;

    fn ordinary() -> Served {
        let (origin, folder) = (origin(Settings::default()), PathBuf::from("kept"));
        fs::create_dir_all(&folder).expect("a directory can be made");
        let asked = plain(&origin, COUNT).but(|settings| settings.out = Some(folder.clone()));
        Served { asked, origin, folder: Some(folder) }
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

    /// The limits decide how much has begun at a Break, and how many threads there are; the tasks
    /// come from a schedule that has no failpoint; and the timeout decides when a worker that hangs
    /// is taken for dead, which is a case of its own.
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
        Served { asked: served.asked.with(fault), ..served }
    }

    fn job(served: &Served) -> Job {
        served.asked.0.clone()
    }

    fn expected(_: &Served) {}

    fn run(subject: &Subject, served: &Served, ctx: &Ctx, out: &mut dyn Sink<Output>) {
        subject.run::<Self>(&served.asked.0, ctx, out);
    }

    fn observe(subject: &Subject, served: &Served, ctx: &Ctx, most: Option<usize>) -> Observed {
        Observed::until(subject, &served.asked, ctx, most)
    }

    fn pushes(observed: &Observed) -> usize {
        observed.outputs.len()
    }

    fn assert_whole(observed: &Observed, (): &(), served: &Served) {
        assert_eq!((&observed.error, observed.status), (&None, 0));
        let folder = served.folder.as_deref().expect("all of the ordinary job is kept");
        assert_all_but(observed, &served.origin, COUNT, &[], folder);
    }

    fn assert_part(observed: &Observed, (): &(), served: &Served) {
        assert_eq!((&observed.error, &observed.said), (&None, &vec![]));
        for shown in &observed.lines {
            let url = shown.rsplit('\t').next().expect("a line has fields");
            assert_eq!(*shown, line(url, number(url)));
        }
        let kept = served.folder.iter().flat_map(|folder| files(folder));
        kept.for_each(|(name, text)| assert!(text == content(number(&name)), "{name}"));
    }

    fn assert_nothing(observed: &Observed, served: &Served) {
        assert_eq!((&observed.outputs, served.origin.stats().requests), (&vec![], 0), "something was done");
    }
}
