//! Queries: a workload's arguments without its input.

/// A query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    /// A name such as `matches`, which also names the folder for the outputs.
    pub name: String,
    pub args: Vec<String>,
    /// Whether every byte is read. Otherwise chance decides how much of a file is read.
    pub reads_everything: bool,
}

impl Query {
    /// A query that reads everything.
    pub(crate) fn new(name: &str, args: &[String]) -> Self {
        Self { name: name.to_owned(), args: args.to_vec(), reads_everything: true }
    }
}

impl std::fmt::Display for Query {
    /// The arguments, quoted for a shell.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&line(&self.args))
    }
}

/// The words as a line of shell, quoted where necessary.
pub(crate) fn line(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// The text as one word of shell.
fn quoted(text: &str) -> String {
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
    fn a_query_is_quoted_for_a_shell() {
        let args = ["--box", "512x512>", "-rn", "[a-m]+"].map(str::to_owned);
        let query = Query::new("q", &args);
        assert_eq!(query.to_string(), "--box '512x512>' -rn '[a-m]+'");
        assert!(query.reads_everything);
    }
}
