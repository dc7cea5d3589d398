//! The output folder: it has complete thumbnails and nothing else.

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
    run_result::{Invocation, RunResult, conforms, files},
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

/// Every good image has a thumbnail of its name, in the same folders; the bad images have none.
fn into_a_folder(subject: &Subject) {
    let invocation = Invocation::of("good").at(corpus::path("bad")).into("out/there");
    let run_result = conforms(subject, &invocation);
    assert_eq!(run_result.folder.len() as u64, run_result.totals.images);
    assert!(run_result.folder.contains_key(Path::new("below/this/deep.jpg")));
    // A second run replaces the files.
    conforms(subject, &invocation);
}

/// A link in the output folder is replaced or reported, and nothing outside of the folder is
/// touched.
fn links_lead_nowhere(subject: &Subject) {
    for dir in ["out", "outside"] {
        fs::create_dir(dir).expect("it can be made");
    }
    fs::write("outside/precious", "mine").expect("it can be written");
    symlink("../outside/precious", "out/plain.jpg").expect("it can be made");
    symlink("../outside", "out/below").expect("it can be made");
    let run_result = RunResult::of(subject, &Invocation::of("good").into("out"), &subject.ctx(2));
    assert_eq!((run_result.totals.failed, run_result.status), (1, 1), "{}", run_result.said());
    assert!(run_result.said().contains("/deep.jpg: "), "{}", run_result.said());
    assert!(fs::symlink_metadata("out/plain.jpg").is_ok_and(|there| there.is_file()), "the link is there");
    assert_eq!(fs::read("outside/precious").expect("it is there"), b"mine");
    assert_eq!(fs::read_dir("outside").expect("it is there").count(), 1);
}

/// Existing files are left as they are, and the others are made.
fn skip_existing(subject: &Subject) {
    let invocation = Invocation { skip_existing: true, ..Invocation::of("good").into("out") };
    fs::create_dir("out").expect("it can be made");
    fs::write("out/plain.jpg", "mine").expect("it can be written");
    let run_result = RunResult::of(subject, &invocation, &subject.ctx(2));
    let all = RunResult::of(subject, &Invocation::of("good"), &subject.ctx(2));
    assert_eq!(run_result.totals.images + 1, all.totals.images);
    assert_eq!(run_result.folder.len() as u64, all.totals.images);
    assert_eq!(run_result.folder.get(Path::new("plain.jpg")).map(|bytes| &bytes[..]), Some(&b"mine"[..]));
    let again = RunResult::of(subject, &invocation, &subject.ctx(2));
    assert_eq!((again.totals.images, again.status), (0, 0));
    assert!(again.folder == run_result.folder, "the folder was changed");
}

/// Two images with the same target: the first gets its thumbnail, the second is reported.
fn targets_that_collide(subject: &Subject) {
    fs::create_dir("other").expect("it can be made");
    fs::copy(corpus::path("good/grey.jpg"), "other/plain.jpg").expect("it can be written");
    let invocation = Invocation::of("good").at("other/plain.jpg").into("out");
    let run_result = conforms(subject, &invocation);
    let [(name, why)] = &run_result.failures()[..] else { panic!("{:?}", run_result.failures()) };
    assert!(name == "other/plain.jpg" && why.contains("plain.jpg"), "{name}: {why}");
    assert_eq!(run_result.status, 1);
}

/// A folder with a target's name cannot be replaced: that image is reported, and the others are
/// done.
fn target_that_is_a_folder(subject: &Subject) {
    fs::create_dir_all("out/plain.jpg").expect("it can be made");
    fs::write("out/below", "in the way").expect("it can be written");
    let run_result = RunResult::of(subject, &Invocation::of("good").into("out"), &subject.ctx(2));
    let said = run_result.said();
    assert!(said.contains("/plain.jpg: ") && said.contains("/deep.jpg: "), "{said}");
    assert_eq!((run_result.totals.failed, run_result.status), (2, 1), "{said}");
    // The thumbnails and the file that was in the way, and no temporary file.
    assert_eq!(run_result.folder.len() as u64, run_result.totals.images + 1);
}

/// A full disk ends the run with a clear error, and without half a file. A limit on file sizes
/// stands for the full disk: it makes the same call fail.
fn no_room_in_the_folder(subject: &Subject) {
    // SIGXFSZ would end a process without a handler for it.
    let handler = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
    let handler = handler.expect("the signal's handler can be set");
    let invocation = Invocation::of("medium").into("out");
    let ctx = subject.ctx(2);
    let before = getrlimit(Resource::Fsize);
    // From the fourth push on. Only this thread writes files, and all workers have been started by
    // then.
    let mut watch = |pushes: usize| {
        if pushes == 3 {
            setrlimit(Resource::Fsize, Rlimit { current: Some(100), ..before }).expect("it is a lower limit");
        }
    };
    let run_result = RunResult::until(subject, &invocation, &ctx, None, &mut watch);
    setrlimit(Resource::Fsize, before).expect("it is the former limit");
    signal_hook::low_level::unregister(handler);

    let error = run_result.error.expect("no error");
    assert!(error.starts_with("out/") && error.ends_with(".jpg: File too large"), "{error:?}");
    assert_eq!(run_result.outputs.len(), 4, "pushed after the folder was full");
    assert_eq!(ctx.stop.cause(), Some(Cause::Break), "the run was not asked to stop");
    let whole = RunResult::reference(&Invocation::of("medium").into("whole"));
    assert_eq!(run_result.folder.len(), 3, "{:?}", run_result.folder.keys());
    assert!(files(Path::new("out")).iter().all(|(name, bytes)| whole.folder.get(name) == Some(bytes)));
}
