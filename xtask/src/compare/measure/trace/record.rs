//! Reads the files that the processes of a traced run wrote: one file per process, one line per
//! span.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use cc_core::trace::{Part, Record};

/// A process, and the spans of its threads.
#[derive(Debug, Default)]
pub(crate) struct Process {
    pub pid: u32,
    /// The number of the worker process, from 1; 0 is the program itself.
    pub number: usize,
    pub args: Vec<String>,
    /// The threads' names.
    pub threads: BTreeMap<u32, String>,
    /// The spans in the order in which they ended.
    pub spans: Vec<Span>,
    parent: u32,
}

/// A span of work in a thread, in nanoseconds of the machine's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub thread: u32,
    pub name: String,
    pub part: Part,
    pub start_ns: u64,
    pub end_ns: u64,
}

impl Process {
    pub(crate) fn has_spans(&self) -> bool {
        !self.spans.is_empty()
    }

    /// Parses the file of a process. An invalid line is ignored: a process that was killed may have
    /// written only a part of its last line.
    fn parse(text: &str) -> Self {
        let mut process = Self::default();
        for record in text.lines().filter_map(|line| serde_json::from_str(line).ok()) {
            match record {
                Record::Process { pid, parent, args } => {
                    (process.pid, process.parent, process.args) = (pid, parent, args);
                }
                Record::Thread { thread, name } => {
                    process.threads.insert(thread, name);
                }
                Record::Span { thread, name, part, start_ns, end_ns } if start_ns <= end_ns => {
                    let name = name.into_owned();
                    process.spans.push(Span { thread, name, part, start_ns, end_ns });
                }
                Record::Span { .. } => {}
            }
        }
        process
    }
}

/// All processes that wrote a file: first the program, then its workers in the order of their
/// process ids.
pub(crate) fn read(folder: &Path) -> Result<Vec<Process>> {
    let mut processes = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let text = fs::read(&path).with_context(|| path.display().to_string())?;
        processes.push(Process::parse(&String::from_utf8_lossy(&text)));
    }
    Ok(numbered(processes))
}

fn numbered(mut processes: Vec<Process>) -> Vec<Process> {
    let pids: Vec<u32> = processes.iter().map(|process| process.pid).collect();
    processes.sort_by_key(|process| (pids.contains(&process.parent), process.pid));
    processes.iter_mut().enumerate().for_each(|(number, process)| process.number = number);
    processes
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A span of the thread, in microseconds.
    pub(in super::super) fn span(thread: u32, name: &str, part: Part, from: u64, to: u64) -> Span {
        let name = name.to_owned();
        Span { thread, name, part, start_ns: from * 1000, end_ns: to * 1000 }
    }

    pub(in super::super) fn process(pid: u32, number: usize, threads: &[&str], spans: Vec<Span>) -> Process {
        let threads = threads.iter().enumerate().map(|(at, name)| (at as u32, (*name).to_owned())).collect();
        let args = vec!["target/release/cc-procs".to_owned()];
        Process { pid, number, args, threads, spans, parent: 1 }
    }

    const WHOLE: &str = concat!(
        r#"{"record":"process","pid":7,"parent":3,"args":["p","grep"]}"#,
        "\n",
        r#"{"record":"thread","thread":9,"name":"main"}"#,
        "\n",
        r#"{"record":"span","thread":9,"name":"search","part":"kernel","start_ns":1,"end_ns":5}"#,
        "\n",
    );

    #[test]
    fn only_an_invalid_line_is_ignored() {
        let broken = r#"{"record":"span","thread":9,"name":"search","part":"kernel","start_ns":6,"en"#;
        let backwards =
            r#"{"record":"span","thread":9,"name":"search","part":"kernel","start_ns":6,"end_ns":5}"#;
        for last in ["", "\u{0}", broken, backwards, "{}", "null"] {
            let process = Process::parse(&format!("{WHOLE}{last}"));
            let span =
                Span { thread: 9, name: "search".to_owned(), part: Part::Kernel, start_ns: 1, end_ns: 5 };
            assert_eq!(process.spans, [span], "{last}");
            assert_eq!((process.pid, process.parent, &process.threads[&9]), (7, 3, &"main".to_owned()));
        }
        assert!(!Process::parse(broken).has_spans());
    }

    #[test]
    fn the_program_comes_before_its_workers() {
        let folder = tempfile::tempdir().unwrap();
        for (pid, parent) in [(12, 30), (30, 1), (31, 30)] {
            let line = format!(r#"{{"record":"process","pid":{pid},"parent":{parent},"args":[]}}"#);
            fs::write(folder.path().join(format!("{pid}.jsonl")), line).unwrap();
        }
        let found = read(folder.path()).unwrap();
        let found: Vec<_> = found.iter().map(|process| (process.number, process.pid)).collect();
        assert_eq!(found, [(0, 30), (1, 12), (2, 31)]);
    }
}
