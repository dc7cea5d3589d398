//! Programs that people use today, measured beside the models where they are installed.

use std::{collections::BTreeMap, num::NonZeroUsize, path::PathBuf, process::Command};

use serde::Deserialize;

use super::{build::output, check::Order, query::Query};

/// One entry of the manifest.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Tool {
    pub name: String,
    pub program: String,
    /// What makes it do the same work. `{workers}` stands for their number.
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    pub order: Order,
    /// What it calls our flags, where it calls them otherwise.
    #[serde(default)]
    flags: BTreeMap<char, Vec<String>>,
}

impl Tool {
    /// Where it is installed.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        let folders = std::env::var_os("PATH")?;
        std::env::split_paths(&folders).map(|folder| folder.join(&self.program)).find(|path| path.is_file())
    }

    /// The first line of what it says of itself.
    pub(crate) fn version(&self) -> String {
        let said = output(Command::new(&self.program).arg("--version")).unwrap_or_default();
        String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned()
    }

    pub(crate) fn arguments(&self, query: &Query, workers: NonZeroUsize) -> Vec<String> {
        let own = self.args.iter().map(|arg| arg.replace("{workers}", &workers.to_string()));
        own.chain(query.arguments(|letter| self.flags.get(&letter).cloned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_gets_its_own_names_for_our_flags() {
        let tool: Tool = toml::from_str(
            r#"
            name = "t"
            program = "t"
            args = ["-j", "{workers}"]
            order = "any"
            flags = { r = [], c = ["--count", "--include-zero"] }
            "#,
        )
        .unwrap();
        let query = Query::parse("q", &["-rci".to_owned(), "x".to_owned()]).unwrap();
        let two = NonZeroUsize::new(2).unwrap();
        assert_eq!(tool.arguments(&query, two), ["-j", "2", "--count", "--include-zero", "-i", "-e", "x"]);
    }
}
