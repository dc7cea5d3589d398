//! Images of all kinds, good and bad, from folders of all kinds: every thumbnail is the reference's, to the byte.

use std::{env, fs, ops::ControlFlow, os::unix::fs::symlink, path::PathBuf, process};

use cc_conformance::{
    case::{Case, Needs},
    subject::Subject,
    tree,
};
use cc_workloads::{
    Sink,
    resize::{Fit, Format, Job, Made, Output, Settings},
};

use super::{
    Resize, corpus,
    observe::{Asked, Observed, conforms, conforms_in},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("good_images", good_images),
        Case::new("other_formats", other_formats),
        Case::new("fits", fits),
        Case::new("bad_images", bad_images),
        Case::new("troublesome_operands", troublesome_operands),
        Case::new("folders", folders),
        Case::new("relative_names", relative_names),
        Case::new("nothing_to_do", nothing_to_do),
        Case::new("two_thousand_of_one_pixel", two_thousand_of_one_pixel),
        Case::new("one_worker", |subject| with_workers(subject, 1, None)),
        Case::new("three_workers", |subject| with_workers(subject, 3, None)),
        Case::new("sixty_four_workers", |subject| with_workers(subject, 64, None)),
        Case::new("window_of_one", |subject| with_workers(subject, 2, Some(1))),
        Case::new("one_worker_window_of_one", |subject| with_workers(subject, 1, Some(1))),
        Case::new("no_threads_but_the_models", no_threads_but_the_models).needs(Needs::Reference),
    ]
}

fn good_images(subject: &Subject) {
    let observed = conforms(subject, &Asked::of("good"));
    assert_eq!(observed.failures(), []);
    assert_eq!(observed.status, 0);
    let made = |end: &str| {
        let shown = observed.outputs.iter().find(|shown| shown.0.ends_with(end.as_bytes()));
        shown.map(|shown| &shown.2).expect("there is an output of each")
    };
    let size_of = |end: &str| match made(end) {
        Made::Thumbnail { width, height, .. } => (*width, *height),
        Made::Failed(why) => panic!("{end}: {why}"),
    };
    // 90 × 60, made 24 wide as they are seen.
    assert_eq!((size_of("/plain.jpg"), size_of("/cmyk.jpg")), ((24, 16), (24, 16)));
    assert_eq!((size_of("/turned-3.jpg"), size_of("/turned-6.jpg")), ((24, 16), (24, 36)));
    assert_eq!(size_of("/one-pixel.png"), (1, 1));
    assert!(made("/interlaced.png") == made("/plain.png"), "other thumbnails of the same pixels");
}

fn other_formats(subject: &Subject) {
    for (format, quality) in [(Format::Jpeg, 40), (Format::Png, 85), (Format::Webp, 85)] {
        let mut asked = Asked::of("good");
        asked.settings = Settings { format: Some(format), quality, ..asked.settings };
        assert_eq!(conforms(subject, &asked).failures(), []);
    }
}

fn fits(subject: &Subject) {
    for (fit, height) in
        [(Fit::Contain, None), (Fit::Contain, Some(9)), (Fit::Cover, Some(30)), (Fit::Exact, Some(7))]
    {
        for enlarge in [false, true] {
            let mut asked = Asked::new();
            let names = ["plain.jpg", "turned-6.jpg", "alpha.png", "one-pixel.png", "wide.png"];
            asked.sources = names.map(|name| corpus::path("good").join(name)).into();
            asked.settings = Settings { width: 40, height, fit, enlarge, ..asked.settings };
            conforms(subject, &asked);
        }
    }
}

/// Each is reported by name with the reason, and the good ones between them are done.
fn bad_images(subject: &Subject) {
    let good = corpus::path("good/plain.jpg");
    let asked = corpus::BAD
        .iter()
        .fold(Asked::new().at(&good), |asked, (name, _)| asked.at(corpus::path("bad").join(name)).at(&good));
    let observed = conforms(subject, &asked);
    let failures = observed.failures();
    assert_eq!(failures.len(), corpus::BAD.len(), "{failures:?}");
    for ((name, why), (failed, reason)) in corpus::BAD.iter().zip(&failures) {
        assert!(failed.ends_with(&format!("/{name}")) && reason.contains(why), "{failed}: {reason}");
        assert!(observed.said().contains(&format!("resize: {failed}: {reason}\n")), "{}", observed.said());
    }
    assert_eq!(observed.status, 1);
    assert_eq!(observed.totals.images, corpus::BAD.len() as u64 + 1);
    conforms(subject, &Asked::of("bad"));
}

fn troublesome_operands(subject: &Subject) {
    let troublesome = corpus::troublesome();
    let mut asked = Asked::new().at(corpus::path("good/plain.jpg"));
    asked.sources.extend(troublesome.iter().map(|(path, _)| path.clone()));
    // A folder named as an image is a folder.
    asked = asked.at("troublesome/directory.jpg").at(corpus::path("good/plain.png"));
    let observed = conforms(subject, &asked);
    let said = observed.said();
    for (path, why) in &troublesome {
        let expected = format!("resize: {}: {why}\n", path.display());
        assert!(said.contains(&expected), "no {expected:?} in {said}");
    }
    assert_eq!((observed.status, observed.totals.images), (1, 2));
    // Below a folder they are no images.
    conforms(subject, &Asked { recursive: true, ..Asked::new() }.at("troublesome"));
}

fn folders(subject: &Subject) {
    let flat = conforms(subject, &Asked::new().at(corpus::path("good")));
    let deep = conforms(subject, &Asked::of("good"));
    assert_eq!(flat.outputs.len() + 1, deep.outputs.len(), "one is below");
    // Without a folder to write to, nobody minds one that comes twice.
    conforms(subject, &Asked::of("good").at(corpus::path("good")).at(corpus::path("good/plain.jpg")));
}

/// Names that are relative are reported so, and mean the same to every worker.
fn relative_names(subject: &Subject) {
    symlink(corpus::path("good"), "good").expect("a link can be made");
    env::set_current_dir("good").expect("it is a directory");
    let asked = Asked { recursive: true, ..Asked::new() };
    let observed =
        conforms(subject, &asked.clone().at("plain.jpg").at("./below/../plain.png").at("-dash.jpg"));
    assert_eq!(observed.failures(), []);
    assert!(observed.said().contains(" plain.jpg\n") && observed.said().contains(" ./below/../plain.png\n"));
    conforms(subject, &asked.at("."));
}

fn nothing_to_do(subject: &Subject) {
    fs::write("notes.txt", "no image").expect("it can be written");
    let here = Asked { recursive: true, ..Asked::new() };
    for asked in [Asked::new(), Asked::of("none"), here.at("."), Asked::of("none").into("out")] {
        let observed = conforms(subject, &asked);
        assert_eq!((observed.outputs.len(), observed.status), (0, 0));
    }
    assert!(PathBuf::from("out").is_dir());
}

fn two_thousand_of_one_pixel(subject: &Subject) {
    let observed = conforms(subject, &Asked::of("tiny"));
    assert_eq!(observed.totals.images, corpus::TINY as u64);
}

fn with_workers(subject: &Subject, workers: usize, window: Option<usize>) {
    let ctx = || match window {
        Some(window) => subject.ctx_with_window(workers, window),
        None => subject.ctx(workers),
    };
    conforms_in(subject, &Asked::of("good").at(corpus::path("bad")), &ctx());
    conforms_in(subject, &Asked::new().at(corpus::path("good/plain.jpg")), &ctx());
}

/// The kernel, and what it is made of, start no threads of their own.
fn no_threads_but_the_models(subject: &Subject) {
    struct Count(usize);
    impl Sink<Output> for Count {
        fn push(&mut self, _: Output) -> ControlFlow<()> {
            self.0 = self.0.max(tree::threads(process::id()).len());
            ControlFlow::Continue(())
        }
    }
    let (settings, sources) = (Settings { width: 24, ..Settings::default() }, vec![corpus::path("good")]);
    let job = Job { settings, sources, recursive: true, out: None, skip_existing: false };
    let mut count = Count(0);
    subject.run::<Resize>(&job, &subject.ctx(2), &mut count);
    assert_eq!(count.0, 1, "{} threads instead of 1", count.0);
    let _ = Observed::of(subject, &Asked::of("bad"), &subject.ctx(2));
}
