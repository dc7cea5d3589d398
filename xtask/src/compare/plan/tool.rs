//! Programs that people use today, measured beside the models where they are installed.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde::Deserialize;

use crate::compare::plan::{command::CommandTemplate, order::Order};

/// One entry of a manifest.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tool {
    pub name: String,
    program: String,
    /// The program that must be installed, if `program` only starts it.
    needs: Option<String>,
    /// The command that installs it, for a user who lacks it.
    install: Option<String>,
    /// The command that succeeds if all that it needs is installed, and says of which version, if
    /// it takes more than a program to be there.
    #[serde(default)]
    probe: Vec<String>,
    /// It takes so much longer than the models that one timed run must do, and none for memory and
    /// stopping.
    #[serde(default)]
    pub slow: bool,
    /// All its arguments: those that make it do the same work, and the placeholders of
    /// [`CommandTemplate`]. `{workers}` stands for their number. Without `{query}` it does only
    /// what the first query asks for.
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    pub order: Order,
    /// What it calls an argument of a query, where it calls it otherwise.
    #[serde(default)]
    replace: BTreeMap<String, Vec<String>>,
    stdin: Option<Names>,
    /// The names of files that it is not given.
    #[serde(default)]
    skip: Vec<String>,
}

/// What a tool's standard input is, unless it is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Names {
    /// The names of all files, a line each.
    Files,
}

/// Where a program is installed.
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Says that a program is not installed, and which command installs it, if that is known.
pub(crate) fn not_installed(program: &str, install: Option<&str>) -> String {
    let hint = install.map(|command| format!(" ({command})")).unwrap_or_default();
    format!("{program} is not installed{hint}")
}

impl Tool {
    /// What must be installed.
    fn needs(&self) -> &str {
        self.needs.as_ref().unwrap_or(&self.program)
    }

    /// What to say if it is not installed.
    pub(crate) fn missing(&self) -> String {
        // A probe asks for more than the program that it runs.
        let what = if self.probe.is_empty() { self.needs() } else { &self.name };
        format!("{}: {}", self.name, not_installed(what, self.install.as_deref()))
    }

    /// Where it is installed, if all that it needs is.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        installed(self.needs())?;
        if !self.probe.is_empty() {
            self.probed()?;
        }
        installed(&self.program)
    }

    /// What the probe says, if it succeeds.
    fn probed(&self) -> Option<String> {
        let (program, args) = self.probe.split_first()?;
        let said = Command::new(program).args(args).stderr(Stdio::null()).output().ok()?;
        said.status.success().then(|| String::from_utf8_lossy(&said.stdout).into_owned())
    }

    /// The first line of what it says of itself.
    pub(crate) fn version(&self) -> String {
        let by_flag = || {
            let said = Command::new(self.needs()).arg("--version").stderr(Stdio::null()).output();
            String::from_utf8_lossy(&said.map(|said| said.stdout).unwrap_or_default()).into_owned()
        };
        let said = self.probed().unwrap_or_else(by_flag);
        said.lines().next().unwrap_or_default().to_owned()
    }

    /// How it is called for the work of this number of workers.
    pub(crate) fn call(&self, program: PathBuf, workers: NonZeroUsize) -> CommandTemplate {
        let filled = |text: &String| text.replace("{workers}", &workers.to_string());
        CommandTemplate {
            program,
            args: self.args.iter().map(filled).collect(),
            env: self.env.iter().map(|(name, value)| (name.clone(), filled(value))).collect(),
            replace: self.replace.clone(),
            reads_names: self.stdin == Some(Names::Files),
            skip: self.skip.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::family::alone;

    fn tool(needs: &str) -> Tool {
        let text = format!(
            r#"
            name = "two of it"
            program = "sh"
            needs = "{needs}"
            install = "apt install it"
            args = ["-P", "{{workers}}"]
            env = {{ THREADS = "{{workers}}" }}
            order = "unchecked"
            stdin = "files"
            "#
        );
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn a_tool_is_told_the_number_of_workers() {
        let call = tool("sh").call("sh".into(), NonZeroUsize::new(2).unwrap());
        assert_eq!(call.args, ["-P", "2"]);
        assert_eq!(call.env, [("THREADS".to_owned(), "2".to_owned())]);
        assert!(call.reads_names && !call.takes_query());
    }

    #[test]
    fn what_it_needs_must_be_installed() {
        assert!(tool("sh").find().is_some());
        let absent = tool("no such program");
        assert!(absent.find().is_none());
        assert_eq!(absent.missing(), "two of it: no such program is not installed (apt install it)");
        let unknown = Tool { install: None, ..absent };
        assert_eq!(unknown.missing(), "two of it: no such program is not installed");
    }

    #[test]
    fn a_probe_says_whether_it_is_there_and_its_version() {
        let _alone = alone();
        let probed = |command: &str| {
            let probe = ["sh", "-c", command].map(str::to_owned).to_vec();
            Tool { probe, ..tool("sh") }
        };
        assert!(probed("exit 1").find().is_none());
        let there = probed("echo It 1.2; echo more");
        assert!(there.find().is_some());
        assert_eq!(there.version(), "It 1.2");
    }
}
