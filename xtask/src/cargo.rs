//! The cargo that started this program, called again.

use std::{env, ffi::OsString, process::Command};

/// A command that calls cargo as a user would.
///
/// `cargo run` describes the package that it runs in variables such as `CARGO_PKG_NAME`. Build
/// scripts may ask to be run again when these change, and that of ring does: all that depends on
/// ring would be built again.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for name in env::vars_os().map(|(name, _)| name).filter(describes_package) {
        command.env_remove(name);
    }
    command
}

/// Whether a variable describes the package that runs, and not what the user wants of cargo.
fn describes_package(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix))
        || ["CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"].contains(&&*name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_describes_a_package_is_left_out() {
        let is_left_out = |name: &str| describes_package(&name.into());
        assert!(is_left_out("CARGO_PKG_NAME") && is_left_out("CARGO_MANIFEST_DIR") && is_left_out("OUT_DIR"));
        for kept in ["CARGO_TARGET_DIR", "CARGO_HOME", "CARGO_TERM_COLOR", "CARGO", "PATH"] {
            assert!(!is_left_out(kept), "{kept}");
        }
    }
}
