//! Command lines with placeholders, which are filled in for each run.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    io::Write,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::compare::{plan::query::Query, result::Subject};

/// A program and its arguments. Each of the arguments `{query}`, `{input}` and `{files}` is
/// replaced by any number of arguments. `{out}` may be a part of an argument, and is replaced by
/// the path of a folder that is empty at the start of each run.
#[derive(Clone, Debug, Default)]
pub(crate) struct CommandTemplate {
    pub program: PathBuf,
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    /// The program's own arguments for those of a query, if they differ.
    pub replace: BTreeMap<String, Vec<String>>,
    /// Whether the program reads the names of the files from standard input, one per line.
    pub reads_names: bool,
    /// The names of files that the program does not get.
    pub skip: Vec<String>,
}

/// The command of a single run, and its standard input.
pub(crate) struct Invocation {
    pub command: Command,
    pub stdin: Option<File>,
}

/// A query and its subject.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub query: &'a Query,
    pub subject: &'a Subject,
}

const QUERY: &str = "{query}";
const INPUT: &str = "{input}";
const FILES: &str = "{files}";
const OUT: &str = "{out}";

impl CommandTemplate {
    /// Whether the program takes the arguments of a query. Otherwise it can run only the first
    /// query.
    pub(crate) fn takes_query(&self) -> bool {
        self.args.iter().any(|arg| arg == QUERY)
    }

    /// Whether the program writes files to a folder.
    pub(crate) fn writes(&self) -> bool {
        self.args.iter().any(|arg| arg.contains(OUT))
    }

    /// Fills in the placeholders. The folder `scratch` is for the program's output and the file
    /// with the list of names.
    pub(crate) fn command(&self, request: Request<'_>, scratch: &Path) -> Result<Invocation> {
        let out = scratch.join("out");
        if self.writes() {
            if out.exists() {
                fs::remove_dir_all(&out)?;
            }
            fs::create_dir_all(&out)?;
        }
        let takes_files = self.reads_names || self.args.iter().any(|arg| arg == FILES);
        let mut files = if takes_files { request.subject.files()? } else { Vec::new() };
        let is_skipped = |file: &Path| self.skip.iter().any(|name| file.file_name() == Some(name.as_ref()));
        files.retain(|file| !is_skipped(file));
        let stdin = if self.reads_names { Some(names(&files, scratch)?) } else { None };
        let files: Vec<OsString> = files.into_iter().map(PathBuf::into_os_string).collect();
        let mut command = Command::new(&self.program);
        command.args(self.arguments(request, &files, &out.to_string_lossy()));
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        Ok(Invocation { command, stdin })
    }

    /// The command as a report shows it: `{files}` and `{out}` are not filled in.
    pub(crate) fn shown(&self, request: Request<'_>) -> Vec<String> {
        let arguments = self.arguments(request, &[FILES.into()], OUT);
        let words = [self.program.clone().into_os_string()].into_iter().chain(arguments);
        words.map(|word| word.to_string_lossy().into_owned()).collect()
    }

    fn arguments(&self, request: Request<'_>, files: &[OsString], out: &str) -> Vec<OsString> {
        let Request { query, subject } = request;
        let mut all = Vec::new();
        for arg in &self.args {
            match arg.as_str() {
                QUERY => {
                    let asked: Vec<String> = query.args.iter().flat_map(|arg| self.translated(arg)).collect();
                    all.extend(subject.with(&asked).into_iter().map(OsString::from));
                }
                INPUT => all.extend(subject.path.iter().map(OsString::from)),
                FILES => all.extend_from_slice(files),
                other => all.push(other.replace(OUT, out).into()),
            }
        }
        all
    }

    /// The program's own arguments for an argument of a query. Combined flags such as `-rn` are
    /// replaced one by one if any of them has a replacement.
    fn translated(&self, arg: &str) -> Vec<String> {
        if let Some(own) = self.replace.get(arg) {
            return own.clone();
        }
        let letters = arg.strip_prefix('-').filter(|rest| rest.chars().all(|c| c.is_ascii_alphabetic()));
        let each: Vec<String> =
            letters.iter().flat_map(|letters| letters.chars()).map(|letter| format!("-{letter}")).collect();
        if !each.iter().any(|flag| self.replace.contains_key(flag)) {
            return vec![arg.to_owned()];
        }
        let own = |flag: &String| self.replace.get(flag).cloned().unwrap_or_else(|| vec![flag.clone()]);
        each.iter().flat_map(own).collect()
    }
}

/// Writes the names of the files to a file, and opens it for reading.
fn names(files: &[PathBuf], scratch: &Path) -> Result<File> {
    fs::create_dir_all(scratch)?;
    let path = scratch.join("names");
    let mut list = Vec::new();
    for file in files {
        list.write_all(file.as_os_str().as_bytes())?;
        list.push(b'\n');
    }
    fs::write(&path, list)?;
    Ok(File::open(path)?)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn call(args: &[&str]) -> CommandTemplate {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        CommandTemplate { program: "t".into(), args, ..CommandTemplate::default() }
    }

    fn query(args: &[&str]) -> Query {
        Query::new("q", &args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    fn subject(path: &Path) -> Subject {
        Subject { path: Some(path.to_owned()), ..Subject::default() }
    }

    #[test]
    fn placeholders_stand_for_any_number_of_arguments() {
        let shown = |query: &Query, subject: &Subject| {
            let request = Request { query, subject };
            call(&["-j", "2", "{query}", "-o", "{out}/%s.jpg", "{input}", "{files}"]).shown(request).join(" ")
        };
        let asked = query(&["--top", "3"]);
        assert_eq!(shown(&asked, &subject(Path::new("d"))), "t -j 2 --top 3 -o {out}/%s.jpg d {files}");
        let size = Subject { args: ["--size", "1x1"].map(str::to_owned).into(), ..Subject::default() };
        assert_eq!(shown(&asked, &size), "t -j 2 --size 1x1 --top 3 -o {out}/%s.jpg {files}");
    }

    #[test]
    fn a_tool_gets_its_own_names_for_our_flags() {
        let count = vec!["--count".to_owned(), "--include-zero".to_owned()];
        let replace = [("-r".to_owned(), vec![]), ("-c".to_owned(), count)];
        let call = CommandTemplate { replace: replace.into(), ..call(&["{query}"]) };
        let shown = |args: &[&str]| {
            let request = Request { query: &query(args), subject: &Subject::default() };
            call.shown(request).join(" ")
        };
        assert_eq!(shown(&["-rci", "x"]), "t --count --include-zero -i x");
        assert_eq!(shown(&["-r", "-on", "--", "-x-"]), "t -on -- -x-");
    }

    #[test]
    fn a_run_finds_an_empty_folder_and_the_names_of_the_files() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("in");
        fs::create_dir(&root).unwrap();
        for name in ["a b", "huge"] {
            fs::write(root.join(name), "").unwrap();
        }
        let call = CommandTemplate {
            reads_names: true,
            skip: vec!["huge".to_owned()],
            ..call(&["{out}/%s", "{files}"])
        };
        let query = query(&[]);
        let request = Request { query: &query, subject: &subject(&root) };
        for _ in 0..2 {
            let Invocation { command, stdin } = call.command(request, scratch.path()).unwrap();
            let out = scratch.path().join("out");
            assert!(fs::read_dir(&out).unwrap().next().is_none());
            fs::write(out.join("left"), "").unwrap();
            let args: Vec<_> = command.get_args().map(|arg| Path::new(arg).to_owned()).collect();
            assert_eq!(args, [out.join("%s"), root.join("a b")]);
            let mut names = String::new();
            stdin.unwrap().read_to_string(&mut names).unwrap();
            assert_eq!(names, format!("{}\n", root.join("a b").display()));
        }
    }
}
