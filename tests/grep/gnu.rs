//! GNU grep, where it is installed: the same job, done by somebody else.

use std::{
    fs::File,
    process::{Command, Stdio},
    sync::LazyLock,
};

use super::{
    asked::Asked,
    observe::{Observed, difference},
};

/// Why it cannot be asked, if it cannot.
pub(super) fn missing() -> Option<&'static str> {
    (!*INSTALLED).then_some("GNU grep is not installed")
}

static INSTALLED: LazyLock<bool> = LazyLock::new(|| {
    let version = Command::new("grep").arg("--version").output();
    version.is_ok_and(|version| version.stdout.windows(8).any(|text| text == b"GNU grep"))
});

/// Panics unless GNU grep shows what was observed, in the C locale.
pub(super) fn agrees(asked: &Asked, observed: &Observed, stdin: Option<File>) {
    let mut grep = Command::new("grep");
    let stdin = stdin.map_or_else(Stdio::null, Stdio::from);
    let grep = grep.args(asked.args()).env("LC_ALL", "C").env_remove("GREP_OPTIONS").stdin(stdin);
    let said = grep.output().expect("GNU grep can be started");
    let (out, err) = (observed.out(), observed.err());
    assert!(out == said.stdout, "{asked}\nGNU grep's output differs: {}", difference(&out, &said.stdout));
    assert!(err == said.stderr, "{asked}\nGNU grep's messages differ: {}", difference(&err, &said.stderr));
    assert_eq!(
        Some(i32::from(observed.status)),
        said.status.code(),
        "{asked}\nGNU grep's exit status differs"
    );
}
