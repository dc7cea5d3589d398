//! A job as a user would type it, and what a run of it shows.

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
    resize::{Gallery, Job, Made, Output, Settings, Totals},
};

use super::{Resize, corpus};

/// What is asked for.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) settings: Settings,
    pub(super) sources: Vec<PathBuf>,
    pub(super) recursive: bool,
    pub(super) out: Option<PathBuf>,
    pub(super) skip_existing: bool,
    pub(super) faults: Plan,
}

impl Asked {
    /// Small thumbnails of nothing yet.
    pub(super) fn new() -> Self {
        let settings = Settings { width: 24, ..Settings::default() };
        let (sources, faults) = (vec![], Plan::default());
        Self { settings, sources, recursive: false, out: None, skip_existing: false, faults }
    }

    /// Of a part of the corpus and what is below it.
    pub(super) fn of(part: &str) -> Self {
        Self { recursive: true, ..Self::new() }.at(corpus::path(part))
    }

    /// An operand.
    pub(super) fn at(mut self, source: impl Into<PathBuf>) -> Self {
        self.sources.push(source.into());
        self
    }

    /// The folder that they go to.
    pub(super) fn into(self, folder: &str) -> Self {
        Self { out: Some(folder.into()), ..self }
    }

    /// A fault on the way.
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

/// A name and what was made of it, or why there is nothing.
type Shown = (Vec<u8>, Vec<u8>, Made);

/// What a run showed.
#[derive(Debug)]
pub(super) struct Observed {
    /// Everything that was pushed, in the order of the names: each model has an order of its own.
    pub(super) outputs: Vec<Shown>,
    /// What was printed, in the order of the text.
    pub(super) blocks: Vec<Vec<u8>>,
    /// What was counted.
    pub(super) totals: Totals,
    /// The exit status.
    pub(super) status: u8,
    /// What ended the run, if it was the folder.
    pub(super) error: Option<String>,
    /// Everything in the folder.
    pub(super) folder: BTreeMap<PathBuf, Vec<u8>>,
}

/// Hangs thumbnails, until it is told that nothing more is wanted.
struct Collector<'a, 'b> {
    gallery: Gallery<'a>,
    outputs: Vec<Shown>,
    /// Wants so many pushes, if not all.
    most: Option<usize>,
    /// Is told of each push.
    watch: &'b mut dyn FnMut(usize),
}

impl Sink<Output> for Collector<'_, '_> {
    fn push(&mut self, output: Output) -> ControlFlow<()> {
        let pushes = self.outputs.len();
        assert!(self.most.is_none_or(|most| pushes < most), "pushed after Break: {:?}", output.source);
        let Output { source, target, made } = output.clone();
        self.outputs.push((source.into_vec(), target.into_vec(), made));
        (self.watch)(pushes);
        let wants = self.gallery.push(output);
        if self.most == Some(pushes + 1) { ControlFlow::Break(()) } else { wants }
    }
}

/// Keeps what is printed.
struct Printed(Vec<Vec<u8>>);

impl Sink<Block> for Printed {
    fn push(&mut self, block: Block) -> ControlFlow<()> {
        let (Block::Out(text) | Block::Err(text)) = block;
        self.0.push(text);
        ControlFlow::Continue(())
    }
}

impl Observed {
    /// Runs it in this context.
    pub(super) fn of(subject: &Subject, asked: &Asked, ctx: &Ctx) -> Self {
        Self::until(subject, asked, ctx, None, &mut |_| ())
    }

    /// The same with a sink that wants nothing more after `most` pushes, and calls `watch` before each.
    pub(super) fn until(
        subject: &Subject,
        asked: &Asked,
        ctx: &Ctx,
        most: Option<usize>,
        watch: &mut dyn FnMut(usize),
    ) -> Self {
        let job = asked.job();
        let mut printed = Printed(vec![]);
        let gallery = job.gallery(&mut printed).expect("the folder can be made");
        let _in_force = asked.faults.enforce();
        let mut sink = Collector { gallery, outputs: vec![], most, watch };
        subject.run::<Resize>(&job, ctx, &mut sink);
        let Collector { mut gallery, mut outputs, .. } = sink;
        let (totals, status) = (gallery.totals(), gallery.status());
        let error = gallery.error().map(|error| error.to_string());
        outputs.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
        printed.0.sort();
        let folder = asked.out.as_deref().map(files).unwrap_or_default();
        Self { outputs, blocks: printed.0, totals, status, error, folder }
    }

    /// What the reference shows, which leaves no folder behind.
    pub(super) fn reference(asked: &Asked) -> Self {
        let reference = Subject::reference();
        let there = asked.out.as_ref().is_some_and(|out| out.exists());
        let observed = Self::of(&reference, asked, &reference.ctx(1));
        if let Some(out) = asked.out.as_ref().filter(|_| !there) {
            fs::remove_dir_all(out).expect("it was just made");
        }
        observed
    }

    /// What was printed.
    pub(super) fn said(&self) -> String {
        self.blocks.iter().map(|block| String::from_utf8_lossy(block)).collect()
    }

    /// Panics unless the two are the same.
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

    /// Panics unless what there is of it is in that one too, and whole.
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

    /// The names of those that failed, with the reason.
    pub(super) fn failures(&self) -> Vec<(String, String)> {
        let failure = |shown: &Shown| match &shown.2 {
            Made::Failed(why) => Some((name(&shown.0), why.clone())),
            Made::Thumbnail { .. } => None,
        };
        self.outputs.iter().filter_map(failure).collect()
    }
}

/// Panics unless the subject shows what the reference shows.
pub(super) fn conforms(subject: &Subject, asked: &Asked) -> Observed {
    conforms_in(subject, asked, &subject.ctx(2))
}

/// The same, in this context.
pub(super) fn conforms_in(subject: &Subject, asked: &Asked, ctx: &Ctx) -> Observed {
    let expected = Observed::reference(asked);
    let observed = Observed::of(subject, asked, ctx);
    observed.assert_same(&expected);
    observed
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

/// Everything below a folder that is no folder, by its name there.
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

/// Whether the output is of a file whose name ends so.
pub(super) fn is(source: &str, end: &str) -> bool {
    Path::new(source).as_os_str().as_bytes().ends_with(end.as_bytes())
}
