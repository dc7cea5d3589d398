//! Calls the cargo that started this program.

use std::{env, ffi::OsString, process::Command};

/// A command that calls cargo with the environment of the user's shell.
///
/// `cargo run` sets variables such as `CARGO_PKG_NAME` for the package that it runs. A build script
/// may request to be run again when such a variable changes, and the build script of `ring` does.
/// With these variables, everything that depends on `ring` would be rebuilt.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for name in env::vars_os().map(|(name, _)| name).filter(describes_package) {
        command.env_remove(name);
    }
    command
}

/// Whether cargo has set the variable for the package that runs; others are the user's settings.
fn describes_package(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix))
        || ["CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"].contains(&&*name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_variables_that_describe_a_package_are_removed() {
        let is_removed = |name: &str| describes_package(&name.into());
        assert!(is_removed("CARGO_PKG_NAME") && is_removed("CARGO_MANIFEST_DIR") && is_removed("OUT_DIR"));
        for setting in ["CARGO_TARGET_DIR", "CARGO_HOME", "CARGO_TERM_COLOR", "CARGO", "PATH"] {
            assert!(!is_removed(setting), "{setting}");
        }
    }
}
