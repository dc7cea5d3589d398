//! Input of `grep`: options, patterns, and a text.

use std::{ffi::OsString, ops::ControlFlow, os::unix::ffi::OsStringExt};

use cc_workloads::{
    Block, Sink,
    grep::{self, BinaryFiles, Content, Job, Output, Piece, Query, Report, Search, Task},
};
use regex::bytes::{Regex, RegexBuilder};

use crate::{first_line, lines, random, words};

/// Maximum size of the text and of the patterns.
const LONGEST: usize = 1 << 12;

/// Takes the first line as the words of a command line, and the other bytes as a text to search.
///
/// - A query that is written as options and parsed again is the same.
/// - The lines that are found are those that a simple regular expression matches line by line: the
///   search for literals makes no difference.
/// - The division of the text into tasks makes no difference.
pub fn patterns(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(LONGEST)];
    let (options, text) = first_line(bytes);
    let Some(Ok(job)) = grep::cli::job(&words(options)) else { return };
    let query = &job.query;
    if query.patterns.is_empty() {
        return; // those of an empty file
    }
    assert_eq!(
        grep::cli::job(&said(query)).expect("they are options").expect("there is a pattern").query,
        *query
    );

    let plain = match Plain::new(query) {
        Ok(plain) => plain,
        Err(regex::Error::CompiledTooBig(_)) => return,
        Err(error) => {
            assert!(query.check().is_err(), "what is no regular expression is refused: {error}");
            return;
        }
    };
    // The command reads nothing if no line is wanted.
    let is_nothing = query.max == Some(0) && query.report != Report::FilesWithout;
    if is_nothing {
        return;
    }
    let Ok(search) = Search::new(query) else { return };
    let whole = printed(&search, query, text, 1 << 20);
    // A NUL in the first block makes the whole file binary. No model has tasks smaller than a
    // block.
    let is_binary = text.contains(&0) && !query.null_data && query.binary != BinaryFiles::Text;
    let depends = query.report.prints_text() || query.binary == BinaryFiles::WithoutMatch;
    if !(is_binary && depends) {
        let mut rng = random(bytes);
        assert_eq!(printed(&search, query, text, rng.u64(1..100)), whole, "in small tasks");
    }
    let is_plain = !query.null_data && !query.color && query.context.is_none();
    if is_plain && query.binary == BinaryFiles::Binary {
        plain.check(query, text, &whole);
    }
}

/// Writes a query as the words of a command line.
fn said(query: &Query) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["program".into(), if query.names { "-H" } else { "-h" }.into()];
    let flags = [
        (query.fixed, "-F"),
        (query.ignore_case, "-i"),
        (query.word, "-w"),
        (query.line, "-x"),
        (query.invert, "-v"),
        (query.null_data, "-z"),
        (query.binary == BinaryFiles::Text, "-a"),
        (query.binary == BinaryFiles::WithoutMatch, "-I"),
        (query.color, "--color=always"),
        (query.separator.is_none(), "--no-group-separator"),
        (query.line_numbers, "-n"),
        (query.no_messages, "-s"),
        (query.report == Report::Matches, "-o"),
        (query.report == Report::Count, "-c"),
        (query.report == Report::FilesWith, "-l"),
        (query.report == Report::FilesWithout, "-L"),
        (query.report == Report::Status, "-q"),
    ];
    words.extend(flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag.into()));
    words.extend(query.max.map(|max| format!("--max-count={max}").into()));
    if let Some(context) = query.context {
        words.push(format!("-A{}", context.after).into());
        words.push(format!("-B{}", context.before).into());
    }
    if let Some(separator) = &query.separator {
        let separator = [b"--group-separator=", &separator[..]].concat();
        words.push(OsString::from_vec(separator));
    }
    for pattern in &query.patterns {
        words.extend(["-e".into(), OsString::from_vec(pattern.to_vec())]);
    }
    words
}

/// The output and the exit status.
#[derive(Debug, PartialEq, Eq)]
struct Printed {
    out: Vec<u8>,
    status: u8,
}

/// A file's name.
const NAME: &str = "f";

/// Searches a text in tasks of about this many bytes.
fn printed(search: &Search, query: &Query, text: &[u8], limit: u64) -> Printed {
    let job = Job::new(query.clone(), vec![], false);
    let content = Content::Bytes(text.to_vec().into());
    let piece = Piece { content, ..Piece::file(NAME) };
    let mut out = Out(Vec::new());
    let mut printer = job.printer(&mut out);
    let _ = done(Task { pieces: vec![piece], limit }, &mut search.clone(), &job, &mut printer);
    let status = printer.status();
    Printed { out: out.0, status }
}

/// Does a task and its remainder, and prints.
fn done(task: Task, search: &mut Search, job: &Job, out: &mut dyn Sink<Output>) -> ControlFlow<()> {
    let (query, scope) = (&job.query, task.scope(&job.query));
    let mut output = search.task(&task);
    assert_eq!(scope.accepts(&output), Ok(()), "{query:?}");
    let remainder = std::mem::take(&mut output.remainder);
    out.push(output)?;
    for task in remainder {
        if job.wants(&task) {
            done(task, search, job, out)?;
        }
    }
    ControlFlow::Continue(())
}

struct Out(Vec<u8>);

impl Sink<Block> for Out {
    fn push(&mut self, block: Block) -> ControlFlow<()> {
        let (Block::Out(text) | Block::Err(text)) = block;
        self.0.extend(text);
        ControlFlow::Continue(())
    }
}

/// The same query without optimizations: one expression per pattern, one line at a time.
struct Plain(Vec<Regex>);

impl Plain {
    fn new(query: &Query) -> Result<Self, regex::Error> {
        query.patterns.iter().map(|pattern| Self::regex(query, pattern)).collect::<Result<_, _>>().map(Self)
    }

    fn regex(query: &Query, pattern: &[u8]) -> Result<Regex, regex::Error> {
        let mut source = String::new();
        for chunk in pattern.utf8_chunks() {
            if query.fixed {
                chunk.valid().bytes().for_each(|byte| source += &format!(r"\x{byte:02x}"));
            } else {
                source += chunk.valid();
            }
            chunk.invalid().iter().for_each(|byte| source += &format!(r"\x{byte:02x}"));
        }
        // Written from its parsed form, so that a comment at its end does not hide what follows.
        let parsed = regex_syntax::ParserBuilder::new()
            .unicode(false)
            .utf8(false)
            .multi_line(true)
            .case_insensitive(query.ignore_case)
            .build()
            .parse(&source)
            .map_err(|error| regex::Error::Syntax(error.to_string()))?;
        let source = match query.word {
            _ if query.line => format!(r"\A(?:{parsed})\z"),
            true => format!(r"(?-u:\b{{start-half}})(?:{parsed})(?-u:\b{{end-half}})"),
            false => parsed.to_string(),
        };
        RegexBuilder::new(&source).unicode(false).size_limit(1 << 18).build()
    }

    fn matches(&self, line: &[u8]) -> bool {
        self.0.iter().any(|regex| regex.is_match(line))
    }

    /// The leftmost match from a position on; of several at one position, that of the first
    /// pattern.
    fn find<'a>(&self, line: &'a [u8], at: usize) -> Option<regex::bytes::Match<'a>> {
        let hits = self.0.iter().filter_map(|regex| regex.find_at(line, at));
        hits.min_by_key(regex::bytes::Match::start)
    }

    /// Compares the output with the expected one.
    fn check(&self, query: &Query, text: &[u8], printed: &Printed) {
        // In a binary file, a NUL ends a line too, and no text is printed.
        let is_binary = text.contains(&0);
        let divided: Vec<u8> = text.iter().map(|byte| if *byte == 0 { b'\n' } else { *byte }).collect();
        let lines = lines(&divided).into_iter().enumerate();
        let selected = lines.filter(|(_, line)| self.matches(line) != query.invert);
        let most = query.max.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
        let selected: Vec<(usize, &[u8])> = selected.take(most).collect();
        assert_eq!(printed.status, u8::from(selected.is_empty()), "the status");
        let name = if query.names { format!("{NAME}:") } else { String::new() };
        let mut out = Vec::new();
        let mut row = |nth: usize, text: &[u8]| {
            out.extend_from_slice(name.as_bytes());
            if query.line_numbers {
                out.extend(format!("{}:", nth + 1).bytes());
            }
            out.extend(text.iter().chain(b"\n"));
        };
        match query.report {
            Report::Lines | Report::Matches if is_binary => return,
            Report::Lines => selected.iter().for_each(|(nth, line)| row(*nth, line)),
            Report::Matches if query.invert => {}
            Report::Matches => {
                for (nth, line) in selected {
                    self.each_match(line, |hit| row(nth, hit));
                }
            }
            Report::Count => out = format!("{name}{}\n", selected.len()).into_bytes(),
            Report::FilesWith if !selected.is_empty() => out = format!("{NAME}\n").into_bytes(),
            Report::FilesWithout if selected.is_empty() => out = format!("{NAME}\n").into_bytes(),
            Report::FilesWith | Report::FilesWithout | Report::Status => {}
        }
        assert!(printed.out == out, "{} and not {}", printed.out.escape_ascii(), out.escape_ascii());
    }

    fn each_match(&self, line: &[u8], mut row: impl FnMut(&[u8])) {
        let mut at = 0;
        while at <= line.len()
            && let Some(hit) = self.find(line, at)
        {
            if hit.is_empty() {
                at = hit.end() + 1;
            } else {
                at = hit.end();
                row(hit.as_bytes());
            }
        }
    }
}
