//! What is asked for: a workload's arguments, apart from its input.

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    /// For example `matches`; names the files that outputs are kept in.
    pub name: String,
    pub args: Vec<String>,
    /// Whether every byte is read. Files that are left early are left earlier or later by chance.
    pub reads_everything: bool,
}

impl Query {
    /// One that reads everything.
    pub(crate) fn new(name: &str, args: &[String]) -> Self {
        Self { name: name.to_owned(), args: args.to_vec(), reads_everything: true }
    }
}

impl std::fmt::Display for Query {
    /// As one would type it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&line(&self.args))
    }
}

/// Words as a shell takes them.
pub(crate) fn line(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// The text as a shell takes it.
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
    fn a_query_is_shown_as_one_would_type_it() {
        let args = ["--box", "512x512>", "-rn", "[a-m]+"].map(str::to_owned);
        let query = Query::new("q", &args);
        assert_eq!(query.to_string(), "--box '512x512>' -rn '[a-m]+'");
        assert!(query.reads_everything);
    }
}
