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

/// Whether GNU sort takes all of a name such as `.a` for a suffix, as version 9.1 does.
pub(super) fn has_names_of_suffixes_only() -> bool {
    static HAS: LazyLock<bool> = LazyLock::new(|| {
        let mut sort = Command::new("sh");
        sort.args(["-c", r"printf '.a\n.0\n' | LC_ALL=C sort -V"]);
        sort.output().is_ok_and(|said| said.stdout.starts_with(b".a"))
    });
    *HAS
}

/// What GNU sort prints in the C locale; `None` if it refuses the flags.
pub(super) fn sorted(invocation: &Invocation) -> Option<Vec<u8>> {
    let mut sort = Command::new("sort");
    sort.args(invocation.all_flags())
        .arg("--")
        .args(&invocation.files)
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    let said = sort.output().expect("GNU sort can be started");
    said.status.success().then_some(said.stdout)
}

/// Asserts that GNU sort, in the C locale, has the same output.
pub(super) fn agrees(invocation: &Invocation, out: &[u8]) {
    let sorted = sorted(invocation).expect("GNU sort accepts the flags");
    if out != sorted {
        eprintln!("GNU sort {} has another order", invocation.flags.join(" "));
    }
    assert_same(out, &sorted);
}
