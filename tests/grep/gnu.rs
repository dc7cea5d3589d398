//! The same jobs done by GNU grep, where it is installed.

use std::{
    fs::File,
    process::{Command, Stdio},
    sync::LazyLock,
};

use super::{
    invocation::Invocation,
    run_result::{RunResult, difference},
};

/// Why there is no GNU grep to compare with, or `None` if there is.
pub(super) fn missing() -> Option<&'static str> {
    (!*INSTALLED).then_some("GNU grep is not installed")
}

static INSTALLED: LazyLock<bool> = LazyLock::new(|| {
    let version = Command::new("grep").arg("--version").output();
    version.is_ok_and(|version| version.stdout.windows(8).any(|text| text == b"GNU grep"))
});

/// Asserts that GNU grep, in the C locale, has the same result.
pub(super) fn agrees(invocation: &Invocation, run_result: &RunResult, stdin: Option<File>) {
    let mut grep = Command::new("grep");
    let stdin = stdin.map_or_else(Stdio::null, Stdio::from);
    let grep = grep.args(invocation.args()).env("LC_ALL", "C").env_remove("GREP_OPTIONS").stdin(stdin);
    let said = grep.output().expect("GNU grep can be started");
    let (out, err) = (run_result.out(), run_result.err());
    assert!(
        out == said.stdout,
        "{invocation}\nGNU grep's output differs: {}",
        difference(&out, &said.stdout)
    );
    assert!(
        err == said.stderr,
        "{invocation}\nGNU grep's messages differ: {}",
        difference(&err, &said.stderr)
    );
    assert_eq!(
        Some(i32::from(run_result.status)),
        said.status.code(),
        "{invocation}\nGNU grep's exit status differs"
    );
}
