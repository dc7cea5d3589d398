//! What is asked for: a workload's arguments, apart from its input.

use anyhow::Result;
use serde::Deserialize;

use super::flags::Flags;

/// How arguments are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Dialect {
    /// Not at all: they are handed on.
    #[default]
    Plain,
    /// As `grep`'s.
    Grep,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    /// For example `matches`; names the files that outputs are kept in.
    pub name: String,
    asked: Asked,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Plain(Vec<String>),
    Grep(Flags),
}

impl Query {
    pub(crate) fn new(dialect: Dialect, name: &str, args: &[String]) -> Result<Self> {
        let asked = match dialect {
            Dialect::Plain => Asked::Plain(args.to_vec()),
            Dialect::Grep => Asked::Grep(Flags::parse(args)?),
        };
        Ok(Self { name: name.to_owned(), asked })
    }

    /// The query for what is below a directory: `grep` has to be told.
    pub(crate) fn recursive(self) -> Self {
        match self.asked {
            Asked::Grep(flags) => Self { asked: Asked::Grep(flags.recursive()), ..self },
            Asked::Plain(_) => self,
        }
    }

    /// Whether every byte is read. Files that are left early are left earlier or later by chance.
    pub(crate) fn reads_everything(&self) -> bool {
        match &self.asked {
            Asked::Grep(flags) => flags.reads_everything(),
            Asked::Plain(_) => true,
        }
    }

    /// The arguments, each flag called what `call` calls it, or else by its letter.
    pub(crate) fn arguments(&self, call: impl Fn(char) -> Option<Vec<String>>) -> Vec<String> {
        match &self.asked {
            Asked::Grep(flags) => flags.arguments(call),
            Asked::Plain(args) => args.clone(),
        }
    }
}

impl std::fmt::Display for Query {
    /// As one would type it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.asked {
            Asked::Grep(flags) => flags.fmt(f),
            Asked::Plain(args) => f.write_str(&line(args)),
        }
    }
}

/// Words as a shell takes them.
pub(crate) fn line(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// The text as a shell takes it.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=+,:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_arguments_are_handed_on_and_shown_as_one_would_type_them() {
        let args = ["--box", "512x512>", "-r"].map(str::to_owned);
        let query = Query::new(Dialect::Plain, "q", &args).unwrap().recursive();
        assert_eq!(query.arguments(|_| Some(Vec::new())), args);
        assert_eq!(query.to_string(), "--box '512x512>' -r");
        assert!(query.reads_everything());
    }

    #[test]
    fn a_grep_below_a_directory_is_told_so() {
        let query = Query::new(Dialect::Grep, "q", &["-l".to_owned(), "x".to_owned()]).unwrap();
        assert_eq!(query.clone().recursive().to_string(), "-rl x");
        assert!(!query.reads_everything());
    }
}
