//! GNU sort, where it is installed: the same job, done by somebody else.

use std::{
    process::{Command, Stdio},
    sync::LazyLock,
};

use super::{asked::Asked, observe::assert_same};

/// Why it cannot be asked, if it cannot.
pub(super) fn missing() -> Option<&'static str> {
    (!*INSTALLED).then_some("GNU sort is not installed")
}

static INSTALLED: LazyLock<bool> = LazyLock::new(|| {
    let version = Command::new("sort").arg("--version").output();
    version.is_ok_and(|version| version.stdout.windows(13).any(|text| text == b"GNU coreutils"))
});

/// Panics unless GNU sort prints this, in the C locale.
pub(super) fn agrees(asked: &Asked, out: &[u8]) {
    let mut sort = Command::new("sort");
    sort.arg("-s").args(&asked.flags).arg("--").args(&asked.files).env("LC_ALL", "C").stdin(Stdio::null());
    let said = sort.output().expect("GNU sort can be started");
    assert!(said.status.success(), "GNU sort: {}", String::from_utf8_lossy(&said.stderr));
    if out != said.stdout {
        eprintln!("GNU sort {} has another order", asked.flags.join(" "));
    }
    assert_same(out, &said.stdout);
}
