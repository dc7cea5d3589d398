//! The sink of the sorted lines: prints them, or replaces the output file.

use std::{
    io::{self, Write},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use super::{Output, Totals};
use cc_core::{
    contract::{Block, Sink},
    error::{Error, Result, reason},
    printable::{printable, printable_path},
    replace::Replacement,
    stop::Stop,
    trace,
};

/// The sink for the outputs of every model. See [`Job::sorted`](super::Job::sorted).
pub struct Sorted<'a> {
    file: Option<Target>,
    out: &'a mut dyn Sink<Block>,
    totals: Totals,
    error: Option<Error>,
}

impl<'a> Sorted<'a> {
    pub(super) fn new(file: Option<&Path>, stop: &Stop, out: &'a mut dyn Sink<Block>) -> Result<Self> {
        let file = file.map(|path| Target::open(path, stop)).transpose()?;
        Ok(Self { file, out, totals: Totals::default(), error: None })
    }

    /// The totals of everything that was pushed.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Whether a task or a write has failed, so that there is no result.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.error.is_some()
    }

    /// Replaces the output file, if there is one and nothing has failed. Until then, the file is
    /// unchanged.
    pub fn finish(self) -> Result<()> {
        match (self.error, self.file) {
            (Some(error), _) => Err(error),
            (None, Some(file)) => file.finish(),
            (None, None) => Ok(()),
        }
    }

    fn write(&mut self, text: Vec<u8>) -> ControlFlow<()> {
        let _span = trace::serial("write");
        let Some(file) = &mut self.file else { return self.out.push(Block::Out(text)) };
        match file.write(&text) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: Error) -> ControlFlow<()> {
        self.error.get_or_insert(error);
        ControlFlow::Break(())
    }
}

impl Sink<Output> for Sorted<'_> {
    fn push(&mut self, output: Output) -> ControlFlow<()> {
        match output {
            Output::Read(read) => self.totals += read,
            Output::Lines { text, lines } => {
                self.totals.sorted += lines;
                return self.write(text.into_vec());
            }
            Output::Failed(why) => return self.fail(Error::Failed(printable(&why).to_string())),
            Output::Runs(_) => {}
        }
        ControlFlow::Continue(())
    }
}

/// The file of `-o`.
struct Target {
    path: PathBuf,
    replacement: Replacement,
}

impl Target {
    fn open(path: &Path, stop: &Stop) -> Result<Self> {
        let replacement = Replacement::at(path, stop).map_err(|error| failed("open", path, &error))?;
        Ok(Self { path: path.to_owned(), replacement })
    }

    fn write(&mut self, text: &[u8]) -> Result<()> {
        self.replacement.write_all(text).map_err(|error| failed("write", &self.path, &error))
    }

    fn finish(self) -> Result<()> {
        self.replacement.commit().map_err(|error| failed("write", &self.path, &error))
    }
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    Error::Failed(format!("{what} failed: {}: {}", printable_path(path), reason(error)))
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt,
    };

    use super::*;

    struct Printed(Vec<u8>);

    impl Sink<Block> for Printed {
        fn push(&mut self, block: Block) -> ControlFlow<()> {
            let Block::Out(text) = block else { panic!("{block:?}") };
            self.0.extend(text);
            ControlFlow::Continue(())
        }
    }

    fn lines(text: &str) -> Output {
        Output::Lines { text: text.as_bytes().to_vec().into(), lines: text.lines().count() as u64 }
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn lines_are_printed_and_counted() {
        let mut printed = Printed(vec![]);
        let mut sorted = Sorted::new(None, &Stop::new(), &mut printed).unwrap();
        let read = Totals { files: 1, bytes: 6, lines: 3, sorted: 0 };
        assert!(sorted.push(Output::Read(read)).is_continue());
        assert!(sorted.push(lines("a\nb\n")).is_continue() && sorted.push(lines("c\n")).is_continue());
        assert_eq!(sorted.totals(), Totals { sorted: 3, ..read });
        sorted.finish().unwrap();
        assert_eq!(printed.0, b"a\nb\nc\n");
    }

    #[test]
    fn a_file_is_replaced_at_the_end_and_keeps_its_mode() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("file");
        fs::write(&path, "b\na\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o604)).unwrap();
        let mut printed = Printed(vec![]);
        let mut sorted = Sorted::new(Some(&path), &Stop::new(), &mut printed).unwrap();
        assert!(sorted.push(lines("a\nb\n")).is_continue());
        assert_eq!(fs::read(&path).unwrap(), b"b\na\n");
        sorted.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"a\nb\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o604);
        assert_eq!((names(scratch.path()), &*printed.0), (vec!["file".to_owned()], &b""[..]));
    }

    #[test]
    fn what_is_dropped_or_has_failed_leaves_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("file");
        for fails in [false, true] {
            let mut printed = Printed(vec![]);
            let mut sorted = Sorted::new(Some(&path), &Stop::new(), &mut printed).unwrap();
            assert!(sorted.push(lines("a\n")).is_continue());
            if fails {
                assert!(sorted.push(Output::Failed("why".to_owned())).is_break() && sorted.has_failed());
                assert!(sorted.push(Output::Failed("also".to_owned())).is_break());
                assert_eq!(sorted.finish().unwrap_err().to_string(), "why");
            } else {
                drop(sorted);
            }
            assert_eq!(names(scratch.path()), [""; 0]);
        }
    }

    #[test]
    fn a_device_is_written_to() {
        let mut printed = Printed(vec![]);
        let mut sorted = Sorted::new(Some(Path::new("/dev/full")), &Stop::new(), &mut printed).unwrap();
        assert!(sorted.push(lines("a\n")).is_break());
        let why = sorted.finish().unwrap_err().to_string();
        assert_eq!(why, "write failed: /dev/full: No space left on device");
    }
}
