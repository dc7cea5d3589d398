//! The same jobs done by GNU sort, where it is installed.

use std::{
    process::{Command, Stdio},
    sync::LazyLock,
};

use super::{invocation::Invocation, run_result::assert_same};

/// Why there is no GNU sort to compare with, or `None` if there is.
pub(super) fn missing() -> Option<&'static str> {
    (!*INSTALLED).then_some("GNU sort is not installed")
}

static INSTALLED: LazyLock<bool> = LazyLock::new(|| {
    let version = Command::new("sort").arg("--version").output();
    version.is_ok_and(|version| version.stdout.windows(13).any(|text| text == b"GNU coreutils"))
});

/// Asserts that GNU sort, in the C locale, has the same output.
pub(super) fn agrees(invocation: &Invocation, out: &[u8]) {
    let mut sort = Command::new("sort");
    sort.arg("-s")
        .args(&invocation.flags)
        .arg("--")
        .args(&invocation.files)
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    let said = sort.output().expect("GNU sort can be started");
    assert!(said.status.success(), "GNU sort: {}", String::from_utf8_lossy(&said.stderr));
    if out != said.stdout {
        eprintln!("GNU sort {} has another order", invocation.flags.join(" "));
    }
    assert_same(out, &said.stdout);
}
