//! Thumbnails of a few hundred images, compared with those of Pillow, and of libvips if pyvips is
//! installed: sizes, orientations and colours must be the same.

use std::{
    fs,
    process::{Command, Output},
    sync::LazyLock,
};

use cc_conformance::{
    case::{Case, Needs},
    subject::Subject,
};
use cc_workloads::resize::{Format, Settings};

use super::run_result::{Invocation, RunResult};

pub(super) fn cases() -> Vec<Case> {
    // The other models make the same thumbnails as the reference, which other cases check.
    let case = Case::new("pillow_thumbnails", pillow_thumbnails).needs(Needs::Reference);
    vec![case.unless(missing).long()]
}

/// Why there is nothing to compare with, or `None` if there is.
fn missing() -> Option<&'static str> {
    (!*INSTALLED).then_some("python3 with Pillow and numpy is not installed")
}

static INSTALLED: LazyLock<bool> = LazyLock::new(|| {
    let import = Command::new("python3").args(["-c", "import numpy, PIL"]).output();
    import.is_ok_and(|import| import.status.success())
});

fn pictures(args: &[&str]) -> Output {
    let mut python = Command::new("python3");
    python.arg("-c").arg(include_str!("pictures.py")).args(args).output().expect("it is installed")
}

fn pillow_thumbnails(subject: &Subject) {
    let made = pictures(&["make", "images"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(fs::read_dir("images").expect("it was made").count() > 300);
    let mut invocation = Invocation::new().at("images").into("out");
    invocation.settings = Settings { width: 48, format: Some(Format::Png), ..invocation.settings };
    let run_result = RunResult::of(subject, &invocation, &subject.ctx(1));
    let compared = pictures(&["compare", "images", "out"]);
    let (table, errors) =
        [&compared.stdout, &compared.stderr].map(|text| String::from_utf8_lossy(text)).into();
    assert!(compared.status.success(), "{table}{errors}");
    for (name, why) in run_result.failures() {
        let expected = if name.contains("/un") { "unsupported " } else { "damaged " };
        assert!(why.starts_with(expected), "{name}: {why}");
    }
}
