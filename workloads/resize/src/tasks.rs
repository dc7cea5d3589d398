//! The source of tasks: files given as operands, and files found in directories.

use std::{
    collections::HashSet,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    slice,
};

use cc_core::{
    error::reason, failpoint, identity::FileId, printable::printable_path, stop::Stop, stream, trace,
};
use serde_bytes::ByteBuf;
use walkdir::{DirEntry, WalkDir};
use xxhash_rust::xxh3::xxh3_128;

use super::{Content, Format, Job, Loader, Task, decode::Kind};

/// The iterator of [`Job::tasks`].
pub struct Tasks<'a> {
    job: &'a Job,
    stop: Stop,
    sources: slice::Iter<'a, PathBuf>,
    walk: Option<Walk>,
    /// The digests of all targets so far, to find duplicates. A digest takes less memory than a
    /// name.
    targets: HashSet<u128>,
    /// The number of calls of `next`.
    calls: u64,
}

/// The traversal of a directory that is an operand.
struct Walk {
    root: PathBuf,
    entries: Entries,
    /// Whether only this process can open the images by their names.
    is_process_local: bool,
}

type Entries = Box<dyn Iterator<Item = walkdir::Result<DirEntry>> + Send>;

impl<'a> Tasks<'a> {
    pub(super) fn new(job: &'a Job, stop: &Stop) -> Self {
        let (stop, sources) = (stop.clone(), job.sources.iter());
        Self { job, stop, sources, walk: None, targets: HashSet::new(), calls: 0 }
    }

    /// Opens an operand: returns the task of a file, or begins the traversal of a directory.
    fn open(&mut self, source: &Path) -> Option<Task> {
        match fs::metadata(source) {
            Err(error) => Some(missing(source, reason(&error))),
            Ok(metadata) if metadata.is_dir() => {
                self.walk = Some(Walk::new(source, self.job));
                None
            }
            Ok(metadata) if metadata.is_file() => {
                let name = Path::new(source.file_name().expect("a file has a name"));
                self.image(source, name, stream::is_process_local(source))
            }
            Ok(_) => Some(missing(source, "Not a regular file".to_owned())),
        }
    }

    /// The task of an image, unless its thumbnail exists and existing ones are skipped. The
    /// thumbnail gets the relative name, with the extension of its format.
    fn image(&mut self, source: &Path, relative: &Path, is_process_local: bool) -> Option<Task> {
        let task = self.named(source, relative)?;
        Some(if is_process_local { Loader::new(&self.job.settings).load(task) } else { task })
    }

    fn named(&mut self, source: &Path, relative: &Path) -> Option<Task> {
        let target = self.job.settings.target(relative);
        let task = |content| Task { source: bytes(source), content, target: bytes(&target) };
        let Some(out) = &self.job.out else { return Some(task(Content::File)) };
        if !self.targets.insert(xxh3_128(target.as_os_str().as_bytes())) {
            let why = format!("another image has the same thumbnail, {}", printable_path(&target));
            return Some(task(Content::Missing(why)));
        }
        match fs::symlink_metadata(out.join(&target)) {
            Ok(existing) if is_same_file(&existing, source) => {
                Some(task(Content::Missing("its thumbnail would overwrite it".to_owned())))
            }
            Ok(_) if self.job.skip_existing => None,
            _ => Some(task(Content::File)),
        }
    }
}

impl Iterator for Tasks<'_> {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        failpoint::hit(b"source", self.calls);
        self.calls += 1;
        let _span = trace::serial("walk");
        while !self.stop.requested() {
            let task = if let Some(walk) = &mut self.walk {
                match walk.entries.next() {
                    Some(Ok(entry)) => {
                        let relative =
                            entry.path().strip_prefix(&walk.root).expect("the walk stays below its root");
                        let (relative, is_process_local) = (relative.to_owned(), walk.is_process_local);
                        self.image(entry.path(), &relative, is_process_local)
                    }
                    Some(Err(error)) => {
                        let why = error.io_error().map_or_else(|| error.to_string(), reason);
                        Some(missing(error.path().unwrap_or(&walk.root), why))
                    }
                    None => {
                        self.walk = None;
                        None
                    }
                }
            } else {
                let source = self.sources.next()?;
                self.open(source)
            };
            if task.is_some() {
                return task;
            }
        }
        None
    }
}

impl Walk {
    /// The images of a directory, in the order of their names. The output directory is left out,
    /// even if it is a subdirectory.
    fn new(root: &Path, job: &Job) -> Self {
        let out = job.out.as_deref().and_then(FileId::at);
        let is_out = move |entry: &DirEntry| out.is_some() && FileId::at(entry.path()) == out;
        let depth = if job.recursive { usize::MAX } else { 1 };
        let entries = WalkDir::new(root).min_depth(1).max_depth(depth).sort_by_file_name().into_iter();
        let entries = entries.filter_entry(move |entry| !entry.file_type().is_dir() || !is_out(entry));
        let entries = entries.filter(|entry| entry.as_ref().map_or(true, is_image));
        let is_process_local = stream::is_process_local(root);
        Self { root: root.to_owned(), entries: Box::new(entries), is_process_local }
    }
}

/// Whether an entry of a directory is an image: a file with an image's extension, or a link to
/// one. A link that leads nowhere is an image that cannot be read. A link to a directory is not
/// followed.
fn is_image(entry: &DirEntry) -> bool {
    let is_file = || {
        let is_link = entry.file_type().is_symlink();
        let target = || fs::metadata(entry.path()).map_or(true, |target| target.is_file());
        entry.file_type().is_file() || (is_link && target())
    };
    Kind::of_name(entry.path()).is_some() && is_file()
}

impl super::Settings {
    /// The name of the thumbnail of an image with this name. If no format is set, the name remains:
    /// the image's format is not known before the image is read. Only a GIF's thumbnail, which is
    /// none, gets another extension in addition.
    fn target(&self, name: &Path) -> PathBuf {
        let kind = Kind::of_name(name);
        let format = match (self.format, kind) {
            (None, Some(Kind::Gif)) => Format::Png,
            (None, _) => return name.to_owned(),
            (Some(format), Some(kind)) if kind == format.kind() => return name.to_owned(),
            (Some(format), Some(_)) => return name.with_extension(format.extension()),
            (Some(format), None) => format,
        };
        let mut name = name.as_os_str().to_owned();
        name.push(".");
        name.push(format.extension());
        name.into()
    }
}

impl Kind {
    /// The kind that the extension of a file name stands for.
    fn of_name(name: &Path) -> Option<Self> {
        let extension = name.extension()?.to_ascii_lowercase();
        match extension.as_bytes() {
            b"jpg" | b"jpeg" | b"jpe" | b"jfif" | b"pjpeg" | b"pjp" => Some(Self::Jpeg),
            b"png" => Some(Self::Png),
            b"webp" => Some(Self::Webp),
            b"gif" => Some(Self::Gif),
            _ => None,
        }
    }
}

impl Format {
    /// The kind of a file in this format.
    fn kind(self) -> Kind {
        match self {
            Self::Jpeg => Kind::Jpeg,
            Self::Png => Kind::Png,
            Self::Webp => Kind::Webp,
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Webp => "webp",
        }
    }
}

/// The task that reports an operand or a directory that cannot be read.
fn missing(source: &Path, why: String) -> Task {
    Task { source: bytes(source), content: Content::Missing(why), target: ByteBuf::new() }
}

fn bytes(path: &Path) -> ByteBuf {
    ByteBuf::from(path.as_os_str().as_bytes())
}

/// Whether what exists is the source, or the link that the source's name is.
fn is_same_file(existing: &fs::Metadata, source: &Path) -> bool {
    let is_existing = |source: fs::Metadata| FileId::of(&source) == FileId::of(existing);
    fs::metadata(source).is_ok_and(is_existing) || fs::symlink_metadata(source).is_ok_and(is_existing)
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsRawFd};

    use super::*;
    use cc_core::stop::Cause;

    use crate::Settings;

    /// A directory of images, for the job that makes thumbnails of them.
    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new(files: &[&str]) -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            for file in files {
                let path = folder.0.path().join("in").join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, b"?").unwrap();
            }
            folder
        }

        fn job(&self, sources: &[&str]) -> Job {
            Job {
                settings: Settings::default(),
                sources: sources.iter().map(|source| self.0.path().join(source)).collect(),
                recursive: false,
                out: Some(self.0.path().join("out")),
                skip_existing: false,
            }
        }
    }

    /// The target of each task, or the reason why its image is missing.
    fn tasks(job: &Job) -> Vec<String> {
        let describe = |task: Task| match task.content {
            Content::Missing(why) => format!("! {why}"),
            _ => String::from_utf8(task.target.to_vec()).unwrap(),
        };
        job.tasks(&Stop::new()).map(describe).collect()
    }

    #[test]
    fn a_folder_s_own_images_are_taken_in_the_order_of_their_names() {
        let folder = Folder::new(&["b.JPG", "a.jpeg", "c.png", "d.WebP", "e.txt", "f", "sub/g.jpg"]);
        assert_eq!(tasks(&folder.job(&["in"])), ["a.jpeg", "b.JPG", "c.png", "d.WebP"]);
    }

    #[test]
    fn every_extension_of_a_jpeg_is_known() {
        let names = ["a.jfif", "b.jpe", "c.JPEG", "d.pjpeg", "e.PJP", "f.Jpg"];
        let folder = Folder::new(&names);
        assert_eq!(tasks(&folder.job(&["in"])), names);
        let mut job = folder.job(&["in"]);
        job.settings.format = Some(Format::Jpeg);
        assert_eq!(tasks(&job), names);
    }

    #[test]
    fn links_to_images_are_images() {
        let folder = Folder::new(&["a.jpg", "notes.txt", "sub/b.jpg", "scan"]);
        let links = [
            ("a.jpg", "link.jpg"),
            ("scan", "link-2.jpg"),
            ("a.jpg", "no-extension"),
            ("gone", "gone.png"),
            ("loop.jpg", "loop.jpg"),
            ("sub", "sub.jpg"),
            ("/dev/null", "null.jpg"),
        ];
        for (target, link) in links {
            std::os::unix::fs::symlink(target, folder.0.path().join("in").join(link)).unwrap();
        }
        let job = Job { recursive: true, ..folder.job(&["in"]) };
        let all = ["a.jpg", "gone.png", "link-2.jpg", "link.jpg", "loop.jpg", "sub/b.jpg"];
        assert_eq!(tasks(&job), all);
    }

    #[test]
    fn no_link_is_overwritten_by_its_thumbnail() {
        let folder = Folder::new(&["a.jpg", "elsewhere/b.jpg"]);
        std::os::unix::fs::symlink("elsewhere/b.jpg", folder.0.path().join("in/b.jpg")).unwrap();
        let mut job = folder.job(&["in"]);
        job.out = Some(folder.0.path().join("in"));
        assert_eq!(tasks(&job), ["! its thumbnail would overwrite it"; 2]);
        job.sources = vec![folder.0.path().join("in/b.jpg")];
        assert_eq!(tasks(&job), ["! its thumbnail would overwrite it"]);
    }

    #[test]
    fn recursively_the_folders_are_kept() {
        let folder = Folder::new(&["a.jpg", "sub/deep/b.jpg", "sub/c.jpg"]);
        let job = Job { recursive: true, ..folder.job(&["in"]) };
        assert_eq!(tasks(&job), ["a.jpg", "sub/c.jpg", "sub/deep/b.jpg"]);
    }

    #[test]
    fn an_operand_is_taken_whatever_its_name() {
        let folder = Folder::new(&["scan.001", "sub/b"]);
        assert_eq!(tasks(&folder.job(&["in/scan.001", "in/sub/b"])), ["scan.001", "b"]);
    }

    #[test]
    fn an_operand_that_is_not_there_is_named() {
        let folder = Folder::new(&["a.jpg"]);
        let tasks = tasks(&folder.job(&["gone.jpg", "in"]));
        assert_eq!(tasks, ["! No such file or directory", "a.jpg"]);
        assert_eq!(self::tasks(&folder.job(&["../../../dev/null"])).len(), 1);
    }

    #[test]
    fn the_name_follows_the_format() {
        let folder = Folder::new(&["a.JPG", "b.jpeg", "c.png", "d.webp", "e.001"]);
        let sources = ["in/a.JPG", "in/b.jpeg", "in/c.png", "in/d.webp", "in/e.001"];
        let mut job = folder.job(&sources);
        job.settings.format = Some(Format::Jpeg);
        assert_eq!(tasks(&job), ["a.JPG", "b.jpeg", "c.jpg", "d.jpg", "e.001.jpg"]);
        job.settings.format = Some(Format::Webp);
        assert_eq!(tasks(&job), ["a.webp", "b.webp", "c.webp", "d.webp", "e.001.webp"]);
        // The thumbnail of a GIF is none, and must not take the place of a PNG's.
        let folder = Folder::new(&["a.gif", "a.png", "b.GIF"]);
        let mut job = folder.job(&["in"]);
        assert_eq!(tasks(&job), ["a.gif.png", "a.png", "b.GIF.png"]);
        job.settings.format = Some(Format::Jpeg);
        job.sources.push(folder.0.path().join("in/b.GIF"));
        job.sources.remove(0);
        assert_eq!(tasks(&job), ["b.jpg"]);
    }

    #[test]
    fn two_images_cannot_have_one_thumbnail() {
        let folder = Folder::new(&["a.jpg", "a.png", "sub/a.jpg"]);
        let mut job = folder.job(&["in", "in/sub/a.jpg"]);
        assert_eq!(tasks(&job), ["a.jpg", "a.png", "! another image has the same thumbnail, a.jpg"]);
        job.settings.format = Some(Format::Webp);
        assert_eq!(tasks(&job).iter().filter(|task| task.starts_with('!')).count(), 2);
        job.out = None;
        assert_eq!(tasks(&job), ["a.webp", "a.webp", "a.webp"]);
    }

    #[test]
    fn what_is_there_is_skipped_and_no_image_is_overwritten_by_its_thumbnail() {
        let folder = Folder::new(&["a.jpg", "b.jpg"]);
        fs::create_dir(folder.0.path().join("out")).unwrap();
        fs::write(folder.0.path().join("out/a.jpg"), b"?").unwrap();
        let mut job = Job { skip_existing: true, ..folder.job(&["in"]) };
        assert_eq!(tasks(&job), ["b.jpg"]);
        job.out = Some(folder.0.path().join("in"));
        assert_eq!(tasks(&job), ["! its thumbnail would overwrite it"; 2]);
    }

    #[test]
    fn thumbnails_below_the_images_are_not_made_thumbnails_of() {
        let folder = Folder::new(&["a.jpg", "out/a.jpg", "sub/out/b.jpg"]);
        let mut job = Job { recursive: true, ..folder.job(&["in"]) };
        job.out = Some(folder.0.path().join("in/out"));
        assert_eq!(tasks(&job), ["a.jpg", "sub/out/b.jpg"]);
    }

    /// A worker may be another process, so it cannot open them.
    #[test]
    fn images_that_only_this_process_can_open_are_in_the_tasks() {
        let folder = Folder::new(&["a.jpg"]);
        let at = |name: &str| folder.0.path().join(name);
        let (image, dir) = (File::open(at("in/a.jpg")).unwrap(), File::open(at("in")).unwrap());
        let mut job = folder.job(&["in"]);
        job.sources = vec![
            format!("/dev/fd/{}", image.as_raw_fd()).into(),
            format!("/proc/self/fd/{}", dir.as_raw_fd()).into(),
        ];
        let contents: Vec<_> = job.tasks(&Stop::new()).map(|task| task.content).collect();
        assert_eq!(contents, [Content::Bytes(ByteBuf::from(b"?")), Content::Bytes(ByteBuf::from(b"?"))]);
    }

    #[test]
    fn a_stop_ends_the_walk() {
        let folder = Folder::new(&["a.jpg", "b.jpg"]);
        let (job, stop) = (folder.job(&["in"]), Stop::new());
        let mut tasks = job.tasks(&stop);
        assert!(tasks.next().is_some());
        stop.request(Cause::Test);
        assert!(tasks.next().is_none());
    }
}
