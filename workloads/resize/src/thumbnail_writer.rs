//! The sink of the outputs: writes thumbnails to the output directory, or lists them.

use std::{
    ffi::OsStr,
    fs,
    io::{self, Write},
    ops::ControlFlow,
    os::unix::ffi::OsStrExt,
    path::Path,
};

use cc_core::{
    contract::{Block, Sink},
    error::{Error, Result, reason},
    printable::{printable, printable_path},
    replace::Replacement,
    report, trace,
};
use xxhash_rust::xxh3::xxh3_128;

use super::{Made, Output};

/// How much work was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Thumbnails made.
    pub images: u64,
    /// Images of which no thumbnail could be made.
    pub failed: u64,
    /// Pixels of the images that have a thumbnail.
    pub pixels: u64,
    /// Bytes of the thumbnails.
    pub bytes: u64,
}

impl From<Totals> for report::Totals {
    fn from(Totals { images, failed, pixels, bytes }: Totals) -> Self {
        let counts = [("images", images), ("failed", failed), ("pixels", pixels), ("bytes", bytes)];
        counts.map(|(name, count)| (name.to_owned(), count)).into()
    }
}

/// The sink for the outputs of every model. See
/// [`Job::thumbnail_writer`](super::Job::thumbnail_writer).
pub struct ThumbnailWriter<'a> {
    /// The output directory; without one, thumbnails are only listed.
    folder: Option<&'a Path>,
    out: &'a mut dyn Sink<Block>,
    totals: Totals,
    error: Option<Error>,
}

impl<'a> ThumbnailWriter<'a> {
    pub(super) fn new(folder: Option<&'a Path>, out: &'a mut dyn Sink<Block>) -> Result<Self> {
        if let Some(folder) = folder {
            let checked = fs::create_dir_all(folder).and_then(|()| Replacement::check_directory(folder));
            checked.map_err(|error| fatal(folder, &error))?;
        }
        Ok(Self { folder, out, totals: Totals::default(), error: None })
    }

    /// The totals of everything that was pushed.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// `resize`'s exit status: 0 if every image has its thumbnail, 1 if not.
    #[must_use]
    pub fn status(&self) -> u8 {
        u8::from(self.totals.failed > 0)
    }

    /// The error that ended the run, if the output directory cannot be written or is full.
    #[must_use]
    pub fn error(&mut self) -> Option<Error> {
        self.error.take()
    }

    fn failed(&mut self, source: &[u8], why: &str) -> ControlFlow<()> {
        self.totals.failed += 1;
        let message = format!("resize: {}: {}\n", printable(source), printable(why));
        self.out.push(Block::Err(message.into_bytes()))
    }

    /// Writes a thumbnail to the output directory, or adds it to the list.
    fn save(&mut self, source: &[u8], target: &[u8], bytes: &[u8], size: (u32, u32)) -> ControlFlow<()> {
        if let Some(folder) = self.folder {
            let target = Path::new(OsStr::from_bytes(target));
            if let Err(error) = write(folder, target, bytes) {
                if concerns_only_this_file(&error) {
                    let why = format!("{}: {}", printable_path(&folder.join(target)), reason(&error));
                    return self.failed(source, &why);
                }
                self.error = Some(fatal(&folder.join(target), &error));
                return ControlFlow::Break(());
            }
        } else {
            let mut line = format!("{:032x} {}x{} ", xxh3_128(bytes), size.0, size.1).into_bytes();
            line.extend([source, b"\n"].concat());
            self.out.push(Block::Out(line))?;
        }
        self.totals.images += 1;
        self.totals.bytes += bytes.len() as u64;
        ControlFlow::Continue(())
    }
}

impl Sink<Output> for ThumbnailWriter<'_> {
    fn push(&mut self, Output { source, target, made }: Output) -> ControlFlow<()> {
        let _span = trace::serial("write");
        match made {
            Made::Failed(why) => self.failed(&source, &why),
            Made::Thumbnail { bytes, width, height, pixels } => {
                self.totals.pixels += pixels;
                self.save(&source, &target, &bytes, (width, height))
            }
        }
    }
}

/// Writes a file below the directory. A name that leads elsewhere is refused, since it may come
/// from another machine.
fn write(folder: &Path, target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = Replacement::beneath(folder, target)?;
    file.write_all(bytes)?;
    file.commit().map_err(|error| match error.kind() {
        // The temporary file could be created, so the directory is writable and only this target is
        // not.
        io::ErrorKind::PermissionDenied => io::Error::new(io::ErrorKind::AlreadyExists, reason(&error)),
        _ => error,
    })
}

/// The error that ends the run.
fn fatal(path: &Path, error: &io::Error) -> Error {
    Error::io(printable_path(path).to_string())(io::Error::other(reason(error)))
}

/// Whether the error concerns only this thumbnail, so that others may still be written.
fn concerns_only_this_file(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, InvalidFilename, IsADirectory, NotADirectory};
    matches!(error.kind(), AlreadyExists | InvalidFilename | IsADirectory | NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_bytes::ByteBuf;
    use walkdir::WalkDir;

    use super::*;

    #[derive(Default)]
    struct Messages(Vec<Block>);

    impl Sink<Block> for Messages {
        fn push(&mut self, block: Block) -> ControlFlow<()> {
            self.0.push(block);
            ControlFlow::Continue(())
        }
    }

    fn thumbnail(target: &str) -> Output {
        let made = Made::Thumbnail { bytes: ByteBuf::from(b"thumbnail"), width: 4, height: 3, pixels: 1200 };
        Output { source: ByteBuf::from(b"photo.jpg"), target: ByteBuf::from(target.as_bytes()), made }
    }

    fn names(folder: &Path) -> Vec<String> {
        let below = |path: &Path| path.strip_prefix(folder).unwrap().display().to_string();
        let entries = WalkDir::new(folder).min_depth(1).sort_by_file_name().into_iter();
        entries.map(|entry| below(entry.unwrap().path())).collect()
    }

    #[test]
    fn thumbnails_are_put_in_their_folders_under_their_names_alone() {
        let (scratch, mut messages) = (tempfile::tempdir().unwrap(), Messages::default());
        let folder = scratch.path().join("new/out");
        let mut writer = ThumbnailWriter::new(Some(&folder), &mut messages).unwrap();
        for target in ["a.jpg", "sub/deep/b.jpg", "a.jpg"] {
            assert!(writer.push(thumbnail(target)).is_continue());
        }
        assert_eq!(writer.totals(), Totals { images: 3, failed: 0, pixels: 3600, bytes: 27 });
        assert_eq!((writer.status(), messages.0), (0, Vec::new()));
        assert_eq!(names(&folder), ["a.jpg", "sub", "sub/deep", "sub/deep/b.jpg"]);
        let file = folder.join("a.jpg");
        assert_eq!(fs::read(&file).unwrap(), b"thumbnail");
        // The mode follows the umask; it is not the 0600 of a temporary file.
        fs::write(scratch.path().join("usual"), b"").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&file), mode(&scratch.path().join("usual")));
    }

    #[test]
    fn without_a_folder_they_are_listed() {
        let mut messages = Messages::default();
        let mut writer = ThumbnailWriter::new(None, &mut messages).unwrap();
        let _ = writer.push(thumbnail("a.jpg"));
        let line = format!("{:032x} 4x3 photo.jpg\n", xxh3_128(b"thumbnail"));
        assert_eq!(messages.0, [Block::Out(line.into_bytes())]);
    }

    #[test]
    fn what_failed_is_named_and_makes_the_status() {
        let mut messages = Messages::default();
        let mut writer = ThumbnailWriter::new(None, &mut messages).unwrap();
        let made = Made::Failed("the file is empty".to_owned());
        assert!(writer.push(Output { made, ..thumbnail("a.jpg") }).is_continue());
        assert_eq!((writer.status(), writer.totals().failed), (1, 1));
        assert_eq!(messages.0, [Block::Err(b"resize: photo.jpg: the file is empty\n".to_vec())]);
    }

    #[test]
    fn a_name_that_is_taken_by_a_folder_is_one_failure() {
        let (scratch, mut messages) = (tempfile::tempdir().unwrap(), Messages::default());
        fs::create_dir_all(scratch.path().join("a.jpg/in the way")).unwrap();
        fs::write(scratch.path().join("file"), b"").unwrap();
        let mut writer = ThumbnailWriter::new(Some(scratch.path()), &mut messages).unwrap();
        for target in ["a.jpg", "file/b.jpg", "../c.jpg", "/d.jpg", "e.jpg"] {
            assert!(writer.push(thumbnail(target)).is_continue(), "{target}");
        }
        assert_eq!((writer.totals().failed, writer.totals().images), (4, 1));
        assert_eq!(names(scratch.path()), ["a.jpg", "a.jpg/in the way", "e.jpg", "file"]);
    }

    #[test]
    fn a_folder_that_takes_nothing_ends_the_run() {
        // Not even root can create a file there.
        let mut messages = Messages::default();
        let error = ThumbnailWriter::new(Some(Path::new("/proc/self/fd")), &mut messages).err().unwrap();
        let error = error.to_string();
        assert!(error.starts_with("/proc/self/fd: "), "{error}");
        assert!(!error.contains("os error"), "{error}");
        // A directory that has been removed since the run began.
        let scratch = tempfile::tempdir().unwrap();
        let mut writer = ThumbnailWriter::new(Some(scratch.path()), &mut messages).unwrap();
        fs::remove_dir(scratch.path()).unwrap();
        assert!(writer.push(thumbnail("a.jpg")).is_break());
        let error = writer.error().unwrap().to_string();
        assert!(error.contains("/a.jpg: ") && !error.contains("os error"), "{error}");
    }
}
