//! The folder that thumbnails go to: what is in it is whole, and nothing else is.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use cc_conformance::{case::Case, subject::Subject};
use cc_workloads::Cause;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::SIGXFSZ;

use super::{
    corpus,
    observe::{Asked, Observed, conforms, files},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("into_a_folder", into_a_folder),
        Case::new("links_lead_nowhere", links_lead_nowhere),
        Case::new("skip_existing", skip_existing),
        Case::new("targets_that_collide", targets_that_collide),
        Case::new("target_that_is_a_folder", target_that_is_a_folder),
        Case::new("no_room_in_the_folder", no_room_in_the_folder),
    ]
}

/// Every good one under its name, in the same folders; nothing of the bad ones.
fn into_a_folder(subject: &Subject) {
    let asked = Asked::of("good").at(corpus::path("bad")).into("out/there");
    let observed = conforms(subject, &asked);
    assert_eq!(observed.folder.len() as u64, observed.totals.images);
    assert!(observed.folder.contains_key(Path::new("below/this/deep.jpg")));
    // Once more, over what is there.
    conforms(subject, &asked);
}

/// A link in the folder is replaced, or reported, and nothing outside of the folder is touched.
fn links_lead_nowhere(subject: &Subject) {
    for dir in ["out", "outside"] {
        fs::create_dir(dir).expect("it can be made");
    }
    fs::write("outside/precious", "mine").expect("it can be written");
    symlink("../outside/precious", "out/plain.jpg").expect("it can be made");
    symlink("../outside", "out/below").expect("it can be made");
    let observed = Observed::of(subject, &Asked::of("good").into("out"), &subject.ctx(2));
    assert_eq!((observed.totals.failed, observed.status), (1, 1), "{}", observed.said());
    assert!(observed.said().contains("/deep.jpg: "), "{}", observed.said());
    assert!(fs::symlink_metadata("out/plain.jpg").is_ok_and(|there| there.is_file()), "the link is there");
    assert_eq!(fs::read("outside/precious").expect("it is there"), b"mine");
    assert_eq!(fs::read_dir("outside").expect("it is there").count(), 1);
}

/// What is there is left as it is; the rest is made.
fn skip_existing(subject: &Subject) {
    let asked = Asked { skip_existing: true, ..Asked::of("good").into("out") };
    fs::create_dir("out").expect("it can be made");
    fs::write("out/plain.jpg", "mine").expect("it can be written");
    let observed = Observed::of(subject, &asked, &subject.ctx(2));
    let all = Observed::of(subject, &Asked::of("good"), &subject.ctx(2));
    assert_eq!(observed.totals.images + 1, all.totals.images);
    assert_eq!(observed.folder.len() as u64, all.totals.images);
    assert_eq!(observed.folder.get(Path::new("plain.jpg")).map(|bytes| &bytes[..]), Some(&b"mine"[..]));
    let again = Observed::of(subject, &asked, &subject.ctx(2));
    assert_eq!((again.totals.images, again.status), (0, 0));
    assert!(again.folder == observed.folder, "the folder was changed");
}

/// Two images with one name: the first has its thumbnail, the second is reported.
fn targets_that_collide(subject: &Subject) {
    fs::create_dir("other").expect("it can be made");
    fs::copy(corpus::path("good/grey.jpg"), "other/plain.jpg").expect("it can be written");
    let asked = Asked::of("good").at("other/plain.jpg").into("out");
    let observed = conforms(subject, &asked);
    let [(name, why)] = &observed.failures()[..] else { panic!("{:?}", observed.failures()) };
    assert!(name == "other/plain.jpg" && why.contains("plain.jpg"), "{name}: {why}");
    assert_eq!(observed.status, 1);
}

/// It cannot be replaced: that one is reported, the rest is done.
fn target_that_is_a_folder(subject: &Subject) {
    fs::create_dir_all("out/plain.jpg").expect("it can be made");
    fs::write("out/below", "in the way").expect("it can be written");
    let observed = Observed::of(subject, &Asked::of("good").into("out"), &subject.ctx(2));
    let said = observed.said();
    assert!(said.contains("/plain.jpg: ") && said.contains("/deep.jpg: "), "{said}");
    assert_eq!((observed.totals.failed, observed.status), (2, 1), "{said}");
    // The file that was in the way, and no temporary one.
    assert_eq!(observed.folder.len() as u64, observed.totals.images + 1);
}

/// A full disk ends the run with a clear error, and without half a file. No disk is at hand that is full; a limit on
/// the size of files makes the same call fail.
fn no_room_in_the_folder(subject: &Subject) {
    // Who does not take the signal is ended by it.
    let taken = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
    let taken = taken.expect("the signal can be taken");
    let asked = Asked::of("medium").into("out");
    let ctx = subject.ctx(2);
    let before = getrlimit(Resource::Fsize);
    // From the fourth on, on this thread, where files are written. Workers have started by then.
    let mut watch = |pushes: usize| {
        if pushes == 3 {
            setrlimit(Resource::Fsize, Rlimit { current: Some(100), ..before }).expect("it is a lower limit");
        }
    };
    let observed = Observed::until(subject, &asked, &ctx, None, &mut watch);
    setrlimit(Resource::Fsize, before).expect("it is the limit that there was");
    signal_hook::low_level::unregister(taken);

    let error = observed.error.expect("no error");
    assert!(error.starts_with("out/") && error.ends_with(".jpg: File too large"), "{error:?}");
    assert_eq!(observed.outputs.len(), 4, "pushed after the folder was full");
    assert_eq!(ctx.stop.cause(), Some(Cause::Break), "the run was not asked to stop");
    let whole = Observed::reference(&Asked::of("medium").into("whole"));
    assert_eq!(observed.folder.len(), 3, "{:?}", observed.folder.keys());
    assert!(files(Path::new("out")).iter().all(|(name, bytes)| whole.folder.get(name) == Some(bytes)));
}
