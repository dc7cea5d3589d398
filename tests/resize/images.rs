//! Images of all kinds, good and bad, from folders of all kinds: every thumbnail equals the
//! reference's, byte by byte.

use std::{env, fs, os::unix::fs::symlink, path::PathBuf};

use cc_conformance::{case::Case, subject::Subject};
use cc_workloads::resize::{Fit, Format, Gravity, Made, Profile, Settings};

use super::{
    corpus,
    run_result::{Invocation, conforms},
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
    ]
}

fn good_images(subject: &Subject) {
    let run_result = conforms(subject, &Invocation::of("good"));
    assert_eq!(run_result.failures(), []);
    assert_eq!(run_result.status, 0);
    let made = |end: &str| {
        let shown = run_result.outputs.iter().find(|shown| shown.0.ends_with(end.as_bytes()));
        shown.map(|shown| &shown.2).expect("there is an output of each")
    };
    let size_of = |end: &str| match made(end) {
        Made::Thumbnail { width, height, .. } => (*width, *height),
        Made::Failed(why) => panic!("{end}: {why}"),
    };
    // 90 × 60 pixels, made 24 wide after they are turned upright.
    assert_eq!((size_of("/plain.jpg"), size_of("/cmyk.jpg")), ((24, 16), (24, 16)));
    assert_eq!((size_of("/turned-3.jpg"), size_of("/turned-6.jpg")), ((24, 16), (24, 36)));
    assert_eq!(size_of("/one-pixel.png"), (1, 1));
    assert!(made("/interlaced.png") == made("/plain.png"), "other thumbnails of the same pixels");
}

fn other_formats(subject: &Subject) {
    for (format, quality) in [(Format::Jpeg, 40), (Format::Png, 85), (Format::Webp, 85)] {
        let mut invocation = Invocation::of("good");
        invocation.settings = Settings { format: Some(format), quality, ..invocation.settings };
        assert_eq!(conforms(subject, &invocation).failures(), []);
    }
}

fn fits(subject: &Subject) {
    for (fit, height) in
        [(Fit::Contain, None), (Fit::Contain, Some(9)), (Fit::Cover, Some(30)), (Fit::Exact, Some(7))]
    {
        for enlarge in [false, true] {
            let mut invocation = Invocation::new();
            let names = ["plain.jpg", "turned-6.jpg", "alpha.png", "one-pixel.png", "wide.png"];
            invocation.sources = names.map(|name| corpus::path("good").join(name)).into();
            invocation.settings = Settings { width: 40, height, fit, enlarge, ..invocation.settings };
            conforms(subject, &invocation);
        }
    }
    let mut invocation = Invocation::new().at(corpus::path("good/turned-6.jpg"));
    let crop =
        |gravity| Settings { width: 10, height: Some(30), fit: Fit::Cover, gravity, ..Settings::default() };
    invocation.settings = crop(Gravity::Centre);
    let centre = conforms(subject, &invocation);
    invocation.settings = Settings { profile: Profile::Strip, ..crop(Gravity::East) };
    assert!(conforms(subject, &invocation).outputs != centre.outputs, "the gravity makes no difference");
}

/// Each bad image is reported by name and with the reason, and the good ones between them are done.
fn bad_images(subject: &Subject) {
    let good = corpus::path("good/plain.jpg");
    let invocation = corpus::BAD.iter().fold(Invocation::new().at(&good), |invocation, (name, _)| {
        invocation.at(corpus::path("bad").join(name)).at(&good)
    });
    let run_result = conforms(subject, &invocation);
    let failures = run_result.failures();
    assert_eq!(failures.len(), corpus::BAD.len(), "{failures:?}");
    for ((name, why), (failed, reason)) in corpus::BAD.iter().zip(&failures) {
        assert!(failed.ends_with(&format!("/{name}")) && reason.contains(why), "{failed}: {reason}");
        assert!(
            run_result.said().contains(&format!("resize: {failed}: {reason}\n")),
            "{}",
            run_result.said()
        );
    }
    assert_eq!(run_result.status, 1);
    assert_eq!(run_result.totals.images, corpus::BAD.len() as u64 + 1);
    conforms(subject, &Invocation::of("bad"));
}

fn troublesome_operands(subject: &Subject) {
    let troublesome = corpus::troublesome();
    let mut invocation = Invocation::new().at(corpus::path("good/plain.jpg"));
    invocation.sources.extend(troublesome.iter().map(|(path, _)| path.clone()));
    // A folder with an image's name is a folder.
    invocation = invocation.at("troublesome/directory.jpg").at(corpus::path("good/plain.png"));
    let run_result = conforms(subject, &invocation);
    let said = run_result.said();
    for (path, why) in &troublesome {
        let expected = format!("resize: {}: {why}\n", path.display());
        assert!(said.contains(&expected), "no {expected:?} in {said}");
    }
    assert_eq!((run_result.status, run_result.totals.images), (1, 2));
    // Below a folder these files are not taken for images.
    conforms(subject, &Invocation { recursive: true, ..Invocation::new() }.at("troublesome"));
}

fn folders(subject: &Subject) {
    let flat = conforms(subject, &Invocation::new().at(corpus::path("good")));
    let deep = conforms(subject, &Invocation::of("good"));
    assert_eq!(flat.outputs.len() + 1, deep.outputs.len(), "one is below");
    // Without an output folder, an image may come twice.
    conforms(subject, &Invocation::of("good").at(corpus::path("good")).at(corpus::path("good/plain.jpg")));
}

/// Relative names are reported as they are, and mean the same file in every worker.
fn relative_names(subject: &Subject) {
    symlink(corpus::path("good"), "good").expect("a link can be made");
    env::set_current_dir("good").expect("it is a directory");
    let invocation = Invocation { recursive: true, ..Invocation::new() };
    let run_result =
        conforms(subject, &invocation.clone().at("plain.jpg").at("./below/../plain.png").at("-dash.jpg"));
    assert_eq!(run_result.failures(), []);
    assert!(
        run_result.said().contains(" plain.jpg\n") && run_result.said().contains(" ./below/../plain.png\n")
    );
    conforms(subject, &invocation.at("."));
}

fn nothing_to_do(subject: &Subject) {
    fs::write("notes.txt", "no image").expect("it can be written");
    let here = Invocation { recursive: true, ..Invocation::new() };
    for invocation in
        [Invocation::new(), Invocation::of("none"), here.at("."), Invocation::of("none").into("out")]
    {
        let run_result = conforms(subject, &invocation);
        assert_eq!((run_result.outputs.len(), run_result.status), (0, 0));
    }
    assert!(PathBuf::from("out").is_dir());
}

fn two_thousand_of_one_pixel(subject: &Subject) {
    let run_result = conforms(subject, &Invocation::of("tiny"));
    assert_eq!(run_result.totals.images, corpus::TINY as u64);
}
