//! The source of tasks: files given as operands, files found in directories, and streams.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    slice,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cc_core::{
    error::{Result, reason},
    failpoint,
    identity::OutputFile,
    stop::{Bell, Stop},
    stream::{self, Cut, Portion, Stream},
    trace,
};
use rustix::{
    fs::{SeekFrom, seek, tell},
    stdio::stdin,
};
use serde_bytes::ByteBuf;
use walkdir::{DirEntry, WalkDir};

use super::{Content, Filter, Grain, Job, LineEnds, Piece, Report, Task};

/// The iterator of [`Job::tasks`].
pub struct Tasks<'a> {
    job: &'a Job,
    grain: Grain,
    stop: Stop,
    roots: slice::Iter<'a, PathBuf>,
    /// The root of a job without operands.
    implicit: Option<&'static str>,
    walk: Option<Walk>,
    lines: Option<Lines>,
    /// The number of calls of `next`.
    calls: u64,
}

/// The recursive traversal of a directory.
struct Walk {
    entries: walkdir::IntoIter,
    filter: Filter,
    /// Whether names are printed without their leading `./`, since the root is implicit.
    strip_dot: bool,
    /// Whether only this process can open the files by their names.
    is_process_local: bool,
    output: Option<OutputFile>,
}

impl<'a> Tasks<'a> {
    pub(super) fn new(job: &'a Job, grain: Grain, stop: &Stop) -> Self {
        let mut implicit = job.roots.is_empty().then_some(if job.recursive { "" } else { "-" });
        let (mut roots, stop) = (job.roots.iter(), stop.clone());
        if job.query.selects_nothing() && job.query.report != Report::FilesWithout {
            (roots, implicit) = ([].iter(), None); // GNU grep reads nothing either
        }
        Self { job, grain, stop, roots, implicit, walk: None, lines: None, calls: 0 }
    }

    /// Opens an operand: returns the piece of a file, or begins to read a directory or a stream.
    fn open(&mut self, root: &Path) -> Option<Piece> {
        let name = || root.as_os_str().to_owned().into_vec();
        if root.as_os_str() == "-" {
            return self.open_stream(b"(standard input)".to_vec(), stream::stdin(), tell(stdin()).ok());
        }
        if root.as_os_str().is_empty() && self.implicit.is_some() {
            self.walk = Some(Walk::new(Path::new("."), self.job, true));
            return None;
        }
        match fs::metadata(root) {
            Err(error) => Some(Piece::missing(name(), reason(&error))),
            Ok(metadata) if self.job.filter.excludes_operand(root, metadata.is_dir()) => None,
            Ok(metadata) if metadata.is_file() => self.file(Piece::file(name()), &metadata, root),
            Ok(metadata) if metadata.is_dir() && self.job.recursive => {
                self.walk = Some(Walk::new(root, self.job, false));
                None
            }
            Ok(metadata) if metadata.is_dir() => Some(Piece::missing(name(), "Is a directory".to_owned())),
            // A pipe or a device. Opening it does not wait for the other end, since only `poll` is
            // interrupted by a stop.
            Ok(_) => self.open_stream(name(), stream::open(root), None),
        }
    }

    /// Opens a regular file that is an operand.
    fn file(&mut self, piece: Piece, metadata: &fs::Metadata, path: &Path) -> Option<Piece> {
        if self.job.output.as_ref().is_some_and(|output| output.is(metadata)) {
            return Some(Piece { content: Content::Missing(OutputFile::IS_INPUT.to_owned()), ..piece });
        }
        if stream::is_process_local(path) {
            return self.open_stream(piece.path.into_vec(), stream::open(path), None);
        }
        Some(piece)
    }

    /// Begins to read a stream. `position` is that of standard input, if it has one.
    fn open_stream(&mut self, path: Vec<u8>, file: io::Result<File>, position: Option<u64>) -> Option<Piece> {
        let is_output = |file: &File| {
            let output = self.job.output.as_ref();
            output.is_some_and(|output| file.metadata().is_ok_and(|input| output.is(&input)))
        };
        let lines = |file| {
            if is_output(&file) {
                return Err(io::Error::other(OutputFile::IS_INPUT));
            }
            let lines = Lines::new(self.job, path.clone(), file, self.grain.bytes, &self.stop);
            lines.inspect(|lines| lines.register(position)).map_err(stream::of_input)
        };
        match file.and_then(lines) {
            Ok(lines) => {
                self.lines = Some(lines);
                None
            }
            Err(error) => Some(Piece::missing(path, reason(&error))),
        }
    }
}

impl Iterator for Tasks<'_> {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        failpoint::hit(b"source", self.calls);
        self.calls += 1;
        // No span while reading a stream, since most of that time may be waiting.
        let _span = self.lines.is_none().then(|| trace::serial("walk"));
        let mut pieces = Vec::new();
        while pieces.len() < self.grain.files && !self.stop.requested() {
            if let Some(lines) = &mut self.lines {
                if !pieces.is_empty() {
                    break; // the pieces so far are a task, since reading the stream may block
                }
                match lines.next() {
                    Some(piece) => return Some(Task { pieces: vec![piece], limit: self.grain.bytes }),
                    None => self.lines = None,
                }
            } else if let Some(walk) = &mut self.walk {
                let is_process_local = walk.is_process_local;
                match walk.next() {
                    Some(piece) if is_process_local && piece.content == Content::File => {
                        let file = stream::open(piece.os_path());
                        pieces.extend(self.open_stream(piece.path.into_vec(), file, None));
                    }
                    Some(piece) => pieces.push(piece),
                    None => self.walk = None,
                }
            } else if let Some(root) = self.roots.next().map(PathBuf::as_path) {
                pieces.extend(self.open(root));
            } else if let Some(root) = self.implicit {
                pieces.extend(self.open(Path::new(root)));
                self.implicit = None;
            } else {
                break;
            }
        }
        (!pieces.is_empty() && !self.stop.requested()).then_some(Task { pieces, limit: self.grain.bytes })
    }
}

impl Walk {
    fn new(root: &Path, job: &Job, strip_dot: bool) -> Self {
        // Siblings have the same parent path, so comparing whole paths as bytes compares their
        // names. That is cheaper than extracting the names.
        let by_name = |a: &DirEntry, b: &DirEntry| a.path().as_os_str().cmp(b.path().as_os_str());
        let entries = WalkDir::new(root).min_depth(1).sort_by(by_name).into_iter();
        let is_process_local = stream::is_process_local(root);
        let (filter, output) = (job.filter.clone(), job.output.clone());
        Self { entries, filter, strip_dot, is_process_local, output }
    }

    fn name(&self, path: PathBuf) -> Vec<u8> {
        let mut name = path.into_os_string().into_vec();
        if self.strip_dot && name.starts_with(b"./") {
            name.drain(..2);
        }
        name
    }
}

impl Iterator for Walk {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        loop {
            match self.entries.next()? {
                Ok(entry) if self.filter.excludes(entry.file_name(), entry.file_type().is_dir()) => {
                    if entry.file_type().is_dir() {
                        self.entries.skip_current_dir();
                    }
                }
                Ok(entry) if entry.file_type().is_file() => {
                    let is_output = self.output.as_ref().is_some_and(|output| output.is_entry(&entry));
                    let name = self.name(entry.into_path());
                    return Some(if is_output {
                        Piece::missing(name, OutputFile::IS_INPUT.to_owned())
                    } else {
                        Piece::file(name)
                    });
                }
                Ok(_) => {} // a directory, which `entries` enters, or a kind of file that is skipped
                Err(error) => {
                    let path = self.name(error.path().map(Path::to_owned).unwrap_or_default());
                    let why = error.io_error().map_or_else(|| error.to_string(), reason);
                    return Some(Piece::missing(path, why));
                }
            }
        }
    }
}

/// A stream, which can only be read in order. It is cut into pieces of whole lines as it arrives.
struct Lines {
    path: Vec<u8>,
    stream: Stream,
    cutoff: Arc<SharedCutoff>,
}

impl Lines {
    fn new(job: &Job, path: Vec<u8>, file: File, limit: u64, stop: &Stop) -> Result<Self> {
        let LineEnds(ends) = job.query.line_ends();
        let cut: Cut = match ends {
            [0, 0] => |bytes| LineEnds([0, 0]).last(bytes).map(|at| at + 1),
            [first, second] if first == second => {
                |bytes| LineEnds([b'\n', b'\n']).last(bytes).map(|at| at + 1)
            }
            _ => |bytes| LineEnds([b'\n', 0]).last(bytes).map(|at| at + 1),
        };
        let stream = Stream::new(file, limit, cut, stop)?;
        Ok(Self { path, stream, cutoff: job.cutoff.clone() })
    }

    fn register(&self, position: Option<u64>) {
        self.cutoff.register_stream(&self.path, self.stream.bell().clone(), position);
    }
}

impl Iterator for Lines {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let (path, at) = (self.path.clone(), self.stream.at());
        Some(match self.stream.next()? {
            Ok(Portion { start, bytes, last }) => {
                let content = Content::Stream(ByteBuf::from(bytes));
                Piece { path: ByteBuf::from(path), content, start, end: None, last }
            }
            Err(error) => Piece { start: at, ..Piece::missing(path, reason(&error)) },
        })
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.cutoff.unregister_stream();
    }
}

/// The feedback of the printer to the source and the models, which run ahead of it: the file that
/// the printer has finished early, so that the rest of it need not be read or searched.
#[derive(Debug, Default)]
pub(super) struct SharedCutoff(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    finished: Option<ByteBuf>,
    /// The stream that the source reads, by name, and the bell that ends it.
    stream: Option<(Vec<u8>, Bell)>,
    /// All streams so far, by name. Several operands may have the same name, and the source may
    /// have reached a later one than the printer.
    streams: HashMap<Vec<u8>, StreamCounts>,
    /// Where standard input is to be left, if it can be positioned and the search of it ended
    /// early.
    stdin_at: Option<SeekFrom>,
}

/// The number of streams of a name that the source and the printer have begun.
#[derive(Debug, Default)]
struct StreamCounts {
    read: usize,
    printed: usize,
    /// The position at which the last one was begun: only of standard input, if it has a position.
    position: Option<u64>,
}

impl SharedCutoff {
    /// Called by the printer when it needs nothing more of a file. Ends the stream if the source
    /// still reads it. `max_at` is the position after the last line that `-m` allows, if that is
    /// why.
    pub(super) fn finish(&self, path: &ByteBuf, is_stream: bool, max_at: Option<u64>) {
        let mut state = self.state();
        let latest = state.streams.get(&**path).filter(|counts| is_stream && counts.read == counts.printed);
        let (is_latest, position) = (latest.is_some(), latest.and_then(|counts| counts.position));
        if let Some(position) = position {
            let after_line = |at| SeekFrom::Start(position.saturating_add(at));
            state.stdin_at = Some(max_at.map_or(SeekFrom::End(0), after_line));
        }
        if let Some((name, bell)) = &state.stream
            && is_latest
            && *name == **path
        {
            bell.ring();
        }
        state.finished = Some(path.clone());
    }

    /// Called by the printer when it begins with a file.
    pub(super) fn begin(&self, path: &ByteBuf, is_stream: bool) {
        let mut state = self.state();
        state.finished = None;
        if let Some(counts) = state.streams.get_mut(&**path).filter(|_| is_stream) {
            counts.printed += 1;
        }
    }

    /// Positions standard input for the program that reads it next. Called when nothing reads it
    /// any more.
    pub(super) fn position_stdin(&self) {
        if let Some(position) = self.state().stdin_at.take() {
            // Some files in /proc have a position that cannot be set. Then there is nothing to do.
            let _ = seek(stdin(), position);
        }
    }

    /// Whether the printer needs nothing more of the file.
    pub(super) fn is_finished(&self, path: &ByteBuf) -> bool {
        self.state().finished.as_ref() == Some(path)
    }

    /// Called by the source when it begins to read a stream. [`finish`](Self::finish) rings the
    /// bell.
    fn register_stream(&self, path: &[u8], bell: Bell, position: Option<u64>) {
        let mut state = self.state();
        let counts = state.streams.entry(path.to_vec()).or_default();
        counts.read += 1;
        counts.position = position;
        state.stream = Some((path.to_vec(), bell));
    }

    /// Called by the source when it has read a stream.
    fn unregister_stream(&self) {
        self.state().stream = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;
    use crate::Query;

    /// The name and the content of each piece of a search of these operands.
    fn pieces(roots: &[PathBuf], output: Option<&Path>) -> Vec<(String, Content)> {
        let query = Query { patterns: vec![ByteBuf::from("e")], ..Query::default() };
        let mut job = Job::new(query, roots.to_vec(), true);
        job.output = output.and_then(|output| OutputFile::of(File::open(output).unwrap()));
        let tasks = job.tasks(Grain::default(), &Stop::new()).flat_map(|task| task.pieces);
        tasks.map(|piece| (String::from_utf8(piece.path.into_vec()).unwrap(), piece.content)).collect()
    }

    #[test]
    fn the_output_is_named_and_not_searched() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["a", "output", "z"] {
            fs::write(at(name), name).unwrap();
        }
        fs::hard_link(at("output"), at("also")).unwrap();
        std::os::unix::fs::symlink("output", at("link")).unwrap();
        let is_output = Content::Missing("input file is also the output".to_owned());
        for output in ["output", "also"].map(at) {
            let found = pieces(&[dir.path().to_owned(), at("link"), at("a")], Some(&output));
            let found: Vec<_> = found
                .iter()
                .map(|(path, content)| (path.rsplit('/').next().unwrap(), *content == is_output))
                .collect();
            let expected =
                [("a", false), ("also", true), ("output", true), ("z", false), ("link", true), ("a", false)];
            assert_eq!(found, expected);
        }
        let searched = pieces(&[dir.path().to_owned()], None);
        assert!(searched.iter().all(|(_, content)| *content == Content::File) && searched.len() == 4);
    }

    /// A worker may be another process, so it cannot open them.
    #[test]
    fn files_that_only_this_process_can_open_are_in_the_pieces() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "text\n").unwrap();
        let (file, folder) = (File::open(dir.path().join("file")).unwrap(), File::open(&dir).unwrap());
        let roots = [
            format!("/dev/fd/{}", file.as_raw_fd()),
            format!("/proc/self/fd/{}/", folder.as_raw_fd()),
            dir.path().join("file").to_str().unwrap().to_owned(),
        ];
        let found = pieces(&roots.clone().map(PathBuf::from), None);
        let [file, folder, shared] = roots;
        let text = Content::Stream(ByteBuf::from(*b"text\n"));
        assert_eq!(found, [(file, text.clone()), (format!("{folder}file"), text), (shared, Content::File)]);
        assert!(
            pieces(&["/proc/self/status".into()], None).iter().all(|(_, content)| *content != Content::File)
        );
    }

    #[test]
    fn only_the_stream_that_is_printed_is_told_that_it_is_enough() {
        let (stop, cutoff, name) = (Stop::new(), SharedCutoff::default(), ByteBuf::from(*b"-"));
        let bells = [stop.bell().unwrap(), stop.bell().unwrap()];
        let has_rung = |nth: usize| {
            let mut fds = [PollFd::new(&bells[nth].0, PollFlags::IN)];
            poll(&mut fds, Some(&rustix::event::Timespec::default())).unwrap() == 1
        };
        cutoff.register_stream(&name, bells[0].0.clone(), None);
        cutoff.begin(&name, true);
        // The first stream has ended, and the source reads the second one of the same name.
        cutoff.unregister_stream();
        cutoff.register_stream(&name, bells[1].0.clone(), None);
        cutoff.finish(&name, true, None);
        assert!(!has_rung(0) && !has_rung(1));
        cutoff.begin(&name, true);
        cutoff.finish(&name, true, None);
        assert!(!has_rung(0) && has_rung(1));
    }
}
