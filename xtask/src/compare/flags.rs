//! The flags and the pattern of a `grep`, each by itself, so that they can be told to programs that call them otherwise.

use anyhow::{Result, bail};

use super::query::quoted;

/// What a `grep` is asked, apart from the paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flags(Vec<Flag>);

/// An option by its letter, with its value if it takes one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flag {
    letter: char,
    value: Option<String>,
}

/// The long names, and whether they take a value.
const LONG: [(&str, char); 18] = [
    ("regexp", 'e'),
    ("extended-regexp", 'E'),
    ("fixed-strings", 'F'),
    ("recursive", 'r'),
    ("ignore-case", 'i'),
    ("invert-match", 'v'),
    ("word-regexp", 'w'),
    ("line-number", 'n'),
    ("with-filename", 'H'),
    ("no-filename", 'h'),
    ("files-with-matches", 'l'),
    ("files-without-match", 'L'),
    ("only-matching", 'o'),
    ("quiet", 'q'),
    ("silent", 'q'),
    ("no-messages", 's'),
    ("count", 'c'),
    ("max-count", 'm'),
];

fn takes_value(letter: char) -> bool {
    matches!(letter, 'e' | 'm')
}

impl Flags {
    /// Reads `[FLAG]... PATTERN` as `grep` does.
    pub(crate) fn parse(args: &[String]) -> Result<Self> {
        let mut flags = Vec::new();
        let mut operands = Vec::new();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if let Some(long) = arg.strip_prefix("--").filter(|long| !long.is_empty()) {
                let (long, value) =
                    long.split_once('=').map_or((long, None), |(l, v)| (l, Some(v.to_owned())));
                let Some((_, letter)) = LONG.iter().find(|(name, _)| *name == long) else {
                    bail!("grep has no option --{long}");
                };
                let value = value.or_else(|| takes_value(*letter).then(|| args.next().cloned()).flatten());
                flags.push(Flag { letter: *letter, value });
            } else if arg.len() > 1 && arg.starts_with('-') && arg != "--" {
                for (at, letter) in arg[1..].char_indices() {
                    let rest = &arg[1 + at + letter.len_utf8()..];
                    if takes_value(letter) {
                        let value =
                            if rest.is_empty() { args.next().cloned() } else { Some(rest.to_owned()) };
                        flags.push(Flag { letter, value });
                        break;
                    }
                    flags.push(Flag { letter, value: None });
                }
            } else if arg == "--" {
                operands.extend(args.by_ref().cloned());
            } else {
                operands.push(arg.clone());
            }
        }
        let mut query = Self(flags);
        if let Some(flag) = query.0.iter().find(|flag| takes_value(flag.letter) && flag.value.is_none()) {
            bail!("-{} takes a value", flag.letter);
        }
        if query.has('e') && !operands.is_empty() || operands.len() > 1 {
            bail!("one pattern and no path, please (the path is given with --input): {}", operands.join(" "));
        }
        query.0.extend(operands.pop().map(|pattern| Flag { letter: 'e', value: Some(pattern) }));
        if !query.has('e') {
            bail!("no pattern");
        }
        Ok(query)
    }

    /// Adds `-r` unless it is there.
    pub(crate) fn recursive(mut self) -> Self {
        if !self.has('r') {
            self.0.insert(0, Flag { letter: 'r', value: None });
        }
        self
    }

    fn has(&self, letter: char) -> bool {
        self.0.iter().any(|flag| flag.letter == letter)
    }

    /// Whether every byte is searched. Files that are left early are left earlier or later by chance.
    pub(crate) fn reads_everything(&self) -> bool {
        !['m', 'q', 'l', 'L'].into_iter().any(|letter| self.has(letter))
    }

    /// The arguments, each flag called what `call` calls it, or else by its letter.
    pub(crate) fn arguments(&self, call: impl Fn(char) -> Option<Vec<String>>) -> Vec<String> {
        let one = |flag: &Flag| {
            let name = call(flag.letter).unwrap_or_else(|| vec![format!("-{}", flag.letter)]);
            name.into_iter().chain(flag.value.clone())
        };
        self.0.iter().flat_map(one).collect()
    }
}

impl std::fmt::Display for Flags {
    /// As one would type it: `-rn 'pattern'`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let letters: String = self.0.iter().filter(|f| f.value.is_none()).map(|f| f.letter).collect();
        let valued: Vec<&Flag> = self.0.iter().filter(|flag| flag.value.is_some()).collect();
        let patterns = valued.iter().filter(|flag| flag.letter == 'e').count();
        let mut words = Vec::new();
        if !letters.is_empty() {
            words.push(format!("-{letters}"));
        }
        for flag in valued {
            let value = quoted(flag.value.as_deref().expect("has a value"));
            match flag.letter {
                'e' if patterns == 1 && !value.starts_with('-') => words.push(value),
                letter => words.push(format!("-{letter} {value}")),
            }
        }
        f.write_str(&words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(args: &str) -> Result<Flags> {
        Flags::parse(&args.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn flags_may_be_joined_long_or_have_values() {
        let arguments = |args: &str| query(args).unwrap().arguments(|_| None).join(" ");
        assert_eq!(arguments("-on a.b"), "-o -n -e a.b");
        assert_eq!(arguments("-inm3 x"), "-i -n -m 3 -e x");
        assert_eq!(arguments("--max-count=3 --count -e x -e y"), "-m 3 -c -e x -e y");
        assert_eq!(arguments("-- -x"), "-e -x");
    }

    #[test]
    fn other_programs_call_flags_otherwise() {
        let call = |letter| (letter == 'r').then(Vec::new);
        assert_eq!(query("-rn x").unwrap().arguments(call), ["-n", "-e", "x"]);
    }

    #[test]
    fn a_query_without_a_pattern_or_with_a_path_is_refused() {
        assert!(query("-n").is_err());
        assert!(query("x y").is_err());
        assert!(query("-e x y").is_err());
        assert!(query("--colour x").is_err());
    }

    #[test]
    fn it_is_shown_as_one_would_type_it() {
        assert_eq!(query("-n [a-m]+").unwrap().recursive().to_string(), "-rn '[a-m]+'");
        assert_eq!(query("-m 3 -e x -e y").unwrap().to_string(), "-m 3 -e x -e y");
    }
}
