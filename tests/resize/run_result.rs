//! A job as a user would type it, and the result of a run.

use std::{
    collections::BTreeMap,
    fs,
    ops::ControlFlow,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use cc_conformance::{
    fault::{Fault, Plan},
    subject::Subject,
};
use cc_workloads::{
    Block, Ctx, Sink,
    resize::{Job, Made, Output, Settings, ThumbnailWriter, Totals},
};

use super::{Resize, corpus};

/// A job, with the faults that are planned for it.
#[derive(Clone)]
pub(super) struct Invocation {
    pub(super) settings: Settings,
    pub(super) sources: Vec<PathBuf>,
    pub(super) recursive: bool,
    pub(super) out: Option<PathBuf>,
    pub(super) skip_existing: bool,
    pub(super) faults: Plan,
}

impl Invocation {
    /// A job that makes small thumbnails, without operands.
    pub(super) fn new() -> Self {
        let settings = Settings { width: 24, ..Settings::default() };
        let (sources, faults) = (vec![], Plan::default());
        Self { settings, sources, recursive: false, out: None, skip_existing: false, faults }
    }

    /// A job over a part of the corpus and everything below it.
    pub(super) fn of(part: &str) -> Self {
        Self { recursive: true, ..Self::new() }.at(corpus::path(part))
    }

    /// Adds an operand.
    pub(super) fn at(mut self, source: impl Into<PathBuf>) -> Self {
        self.sources.push(source.into());
        self
    }

    /// Sets the output folder.
    pub(super) fn into(self, folder: &str) -> Self {
        Self { out: Some(folder.into()), ..self }
    }

    /// Adds a planned fault.
    pub(super) fn with(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    pub(super) fn job(&self) -> Job {
        Job {
            settings: self.settings.clone(),
            sources: self.sources.clone(),
            recursive: self.recursive,
            out: self.out.clone(),
            skip_existing: self.skip_existing,
        }
    }
}

/// A source, its name as printed, and the thumbnail or the reason why there is none.
type Shown = (Vec<u8>, Vec<u8>, Made);

/// The result of a run.
#[derive(Debug)]
pub(super) struct RunResult {
    /// Everything that was pushed, sorted by name: the order of pushes differs by model.
    pub(super) outputs: Vec<Shown>,
    /// What was printed, sorted by text.
    pub(super) blocks: Vec<Vec<u8>>,
    /// The totals that the printer counted.
    pub(super) totals: Totals,
    /// The exit status.
    pub(super) status: u8,
    /// Why the run failed as a whole, which the output folder can cause.
    pub(super) error: Option<String>,
    /// Everything in the output folder.
    pub(super) folder: BTreeMap<PathBuf, Vec<u8>>,
}

/// A sink that keeps outputs and passes them to the printer, and may return Break.
struct Collector<'a, 'b> {
    writer: ThumbnailWriter<'a>,
    outputs: Vec<Shown>,
    /// The push at which it returns Break, if any.
    most: Option<usize>,
    /// Is called before each push, with the number of pushes so far.
    watch: &'b mut dyn FnMut(usize),
}

impl Sink<Output> for Collector<'_, '_> {
    fn push(&mut self, output: Output) -> ControlFlow<()> {
        let pushes = self.outputs.len();
        assert!(self.most.is_none_or(|most| pushes < most), "pushed after Break: {:?}", output.source);
        let Output { source, target, made } = output.clone();
        self.outputs.push((source.into_vec(), target.into_vec(), made));
        (self.watch)(pushes);
        let wants = self.writer.push(output);
        if self.most == Some(pushes + 1) { ControlFlow::Break(()) } else { wants }
    }
}

/// A sink that keeps what is printed.
struct Printed(Vec<Vec<u8>>);

impl Sink<Block> for Printed {
    fn push(&mut self, block: Block) -> ControlFlow<()> {
        let (Block::Out(text) | Block::Err(text)) = block;
        self.0.push(text);
        ControlFlow::Continue(())
    }
}

impl RunResult {
    /// Runs the job with this context.
    pub(super) fn of(subject: &Subject, invocation: &Invocation, ctx: &Ctx) -> Self {
        Self::until(subject, invocation, ctx, None, &mut |_| ())
    }

    /// Like `of`, with a sink that calls `watch` before each push, and returns Break at push number
    /// `most`.
    pub(super) fn until(
        subject: &Subject,
        invocation: &Invocation,
        ctx: &Ctx,
        most: Option<usize>,
        watch: &mut dyn FnMut(usize),
    ) -> Self {
        let job = invocation.job();
        let mut printed = Printed(vec![]);
        let writer = job.thumbnail_writer(&mut printed).expect("the folder can be made");
        let _in_force = invocation.faults.enforce();
        let mut sink = Collector { writer, outputs: vec![], most, watch };
        subject.run::<Resize>(&job, ctx, &mut sink);
        let Collector { mut writer, mut outputs, .. } = sink;
        let (totals, status) = (writer.totals(), writer.status());
        let error = writer.error().map(|error| error.to_string());
        outputs.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
        printed.0.sort();
        let folder = invocation.out.as_deref().map(files).unwrap_or_default();
        Self { outputs, blocks: printed.0, totals, status, error, folder }
    }

    /// The result of the reference. Its output folder is removed.
    pub(super) fn reference(invocation: &Invocation) -> Self {
        let reference = Subject::reference();
        let there = invocation.out.as_ref().is_some_and(|out| out.exists());
        let run_result = Self::of(&reference, invocation, &reference.ctx(1));
        if let Some(out) = invocation.out.as_ref().filter(|_| !there) {
            fs::remove_dir_all(out).expect("it was just made");
        }
        run_result
    }

    /// All that was printed.
    pub(super) fn said(&self) -> String {
        self.blocks.iter().map(|block| String::from_utf8_lossy(block)).collect()
    }

    /// Asserts that the two results are equal.
    pub(super) fn assert_same(&self, expected: &Self) {
        let names = |of: &Self| of.outputs.iter().map(|shown| name(&shown.0)).collect::<Vec<_>>();
        let (mine, theirs) = (names(self), names(expected));
        let first = mine.iter().zip(&theirs).position(|(mine, theirs)| mine != theirs);
        let first = first.unwrap_or(mine.len().min(theirs.len()));
        assert!(
            mine == theirs,
            "the images differ: {} instead of {}; the {first}th is {:?} instead of {:?}",
            mine.len(),
            theirs.len(),
            mine.get(first),
            theirs.get(first),
        );
        for (mine, theirs) in self.outputs.iter().zip(&expected.outputs) {
            assert!(mine == theirs, "{}: {} instead of {}", name(&mine.0), say(&mine.2), say(&theirs.2));
        }
        assert_eq!(self.said(), expected.said(), "what is printed differs");
        assert_eq!(self.totals, expected.totals, "the totals differ");
        assert_eq!(self.status, expected.status, "the exit status differs");
        assert_eq!(self.error, expected.error);
        let names = |of: &Self| of.folder.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(self), names(expected), "the folder's files differ");
        assert!(self.folder == expected.folder, "the folder differs");
    }

    /// Asserts that each output and each file is in the expected result too, and complete.
    pub(super) fn assert_part_of(&self, expected: &Self) {
        for shown in &self.outputs {
            assert!(expected.outputs.contains(shown), "{}: {}", name(&shown.0), say(&shown.2));
        }
        let twice = self.outputs.windows(2).find(|pair| (&pair[0].0, &pair[0].1) == (&pair[1].0, &pair[1].1));
        assert_eq!(twice.map(|pair| name(&pair[0].0)), None, "came twice");
        for (name, bytes) in &self.folder {
            assert!(expected.folder.get(name) == Some(bytes), "{} does not belong here", name.display());
        }
    }

    /// The names of the images that failed, with the reasons.
    pub(super) fn failures(&self) -> Vec<(String, String)> {
        let failure = |shown: &Shown| match &shown.2 {
            Made::Failed(why) => Some((name(&shown.0), why.clone())),
            Made::Thumbnail { .. } => None,
        };
        self.outputs.iter().filter_map(failure).collect()
    }
}

/// Asserts that the subject's result equals the reference's.
pub(super) fn conforms(subject: &Subject, invocation: &Invocation) -> RunResult {
    conforms_in(subject, invocation, &subject.ctx(2))
}

/// Like `conforms`, with this context.
pub(super) fn conforms_in(subject: &Subject, invocation: &Invocation, ctx: &Ctx) -> RunResult {
    let expected = RunResult::reference(invocation);
    let run_result = RunResult::of(subject, invocation, ctx);
    run_result.assert_same(&expected);
    run_result
}

fn name(source: &[u8]) -> String {
    String::from_utf8_lossy(source).into_owned()
}

fn say(made: &Made) -> String {
    match made {
        Made::Thumbnail { bytes, width, height, .. } => format!("{} bytes, {width}x{height}", bytes.len()),
        Made::Failed(why) => format!("failed: {why}"),
    }
}

/// Every file below a folder, by its path there.
pub(super) fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("the folder is there") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path).expect("it can be read");
                files.insert(path.strip_prefix(folder).expect("it is below").to_owned(), bytes);
            }
        }
    }
    files
}

/// Whether the name of the output's source ends with `end`.
pub(super) fn is(source: &str, end: &str) -> bool {
    Path::new(source).as_os_str().as_bytes().ends_with(end.as_bytes())
}
