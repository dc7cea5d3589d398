//! Established programs, which are compared with the models if they are installed.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde::Deserialize;

use crate::compare::plan::{command::CommandTemplate, order::Order};

/// A `[[tool]]` of a manifest.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tool {
    pub name: String,
    program: String,
    /// The program that must be installed, if `program` only starts it.
    needs: Option<String>,
    /// The command that installs it, for a message to the user.
    install: Option<String>,
    /// A command that succeeds if everything that the tool needs is installed, and that prints its
    /// version. It is for tools that need more than one program.
    #[serde(default)]
    probe: Vec<String>,
    /// Whether it takes so much longer than the models that it is timed only once, and not measured
    /// for memory and stopping.
    #[serde(default)]
    pub slow: bool,
    /// All arguments that make the tool do the same work, with the placeholders of
    /// [`CommandTemplate`]; `{workers}` stands for the number of workers. Without `{query}`, the
    /// tool can run only the first query.
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    pub order: Order,
    /// The tool's own arguments for those of a query, if they differ.
    #[serde(default)]
    replace: BTreeMap<String, Vec<String>>,
    stdin: Option<Names>,
    /// The names of files that the tool does not get.
    #[serde(default)]
    skip: Vec<String>,
}

/// The standard input of a tool, if it is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Names {
    /// The names of all files, one per line.
    Files,
}

/// The path of an installed program.
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// A message that a program is not installed, with the command that installs it.
pub(crate) fn not_installed(program: &str, install: Option<&str>) -> String {
    let hint = install.map(|command| format!(" ({command})")).unwrap_or_default();
    format!("{program} is not installed{hint}")
}

impl Tool {
    /// The program that must be installed.
    fn needs(&self) -> &str {
        self.needs.as_ref().unwrap_or(&self.program)
    }

    /// A message that the tool is not installed.
    pub(crate) fn missing(&self) -> String {
        // If the probe failed, the program itself may be installed, but something else is missing.
        let what = if self.probe.is_empty() { self.needs() } else { &self.name };
        format!("{}: {}", self.name, not_installed(what, self.install.as_deref()))
    }

    /// The path of the tool, if everything that it needs is installed.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        installed(self.needs())?;
        if !self.probe.is_empty() {
            self.probed()?;
        }
        installed(&self.program)
    }

    /// The output of the probe, if it succeeds.
    fn probed(&self) -> Option<String> {
        let (program, args) = self.probe.split_first()?;
        let probe = Command::new(program).args(args).stderr(Stdio::null()).output().ok()?;
        probe.status.success().then(|| String::from_utf8_lossy(&probe.stdout).into_owned())
    }

    /// The first line of the probe's output, or of `--version`.
    pub(crate) fn version(&self) -> String {
        let by_flag = || {
            let output = Command::new(self.needs()).arg("--version").stderr(Stdio::null()).output();
            String::from_utf8_lossy(&output.map(|output| output.stdout).unwrap_or_default()).into_owned()
        };
        let version = self.probed().unwrap_or_else(by_flag);
        version.lines().next().unwrap_or_default().to_owned()
    }

    /// The command template with this number of workers.
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
    use crate::process::guard::exclusive;

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
    fn a_tool_gets_the_number_of_workers() {
        let call = tool("sh").call("sh".into(), NonZeroUsize::new(2).unwrap());
        assert_eq!(call.args, ["-P", "2"]);
        assert_eq!(call.env, [("THREADS".to_owned(), "2".to_owned())]);
        assert!(call.reads_names && !call.takes_query());
    }

    #[test]
    fn the_needed_program_must_be_installed() {
        assert!(tool("sh").find().is_some());
        let absent = tool("no such program");
        assert!(absent.find().is_none());
        assert_eq!(absent.missing(), "two of it: no such program is not installed (apt install it)");
        let unknown = Tool { install: None, ..absent };
        assert_eq!(unknown.missing(), "two of it: no such program is not installed");
    }

    #[test]
    fn a_probe_finds_out_whether_a_tool_is_installed_and_its_version() {
        let _exclusive = exclusive();
        let probed = |command: &str| {
            let probe = ["sh", "-c", command].map(str::to_owned).to_vec();
            Tool { probe, ..tool("sh") }
        };
        assert!(probed("exit 1").find().is_none());
        let installed = probed("echo It 1.2; echo more");
        assert!(installed.find().is_some());
        assert_eq!(installed.version(), "It 1.2");
    }
}
