//! What is written to directly: a device, a pipe.
//!
//! To open one and to write to it may take until a reader comes, which may be never. So both are
//! done on a thread of their own, and a stop ends the wait for that thread. It then ends with the
//! process, and owns nothing else of the run.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    thread,
};

use crossbeam_channel::{Receiver, Sender, bounded, select_biased};

use crate::stop::{OnRequest, Stop};

/// A device or a pipe that is open for writing.
pub(super) struct Special {
    blocks: Sender<Vec<u8>>,
    /// What has become of the opening, and of each block.
    done: Receiver<io::Result<()>>,
    stopped: Receiver<()>,
    _on_stop: OnRequest,
}

impl Special {
    /// Writes to what is open.
    pub(super) fn of(file: File, stop: &Stop) -> io::Result<Self> {
        Self::start(move || Ok(file), stop)
    }

    /// Opens it, which takes until it has a reader.
    pub(super) fn open(path: &Path, stop: &Stop) -> io::Result<Self> {
        let path = path.to_owned();
        Self::start(move || OpenOptions::new().write(true).open(path), stop)
    }

    fn start(open: impl FnOnce() -> io::Result<File> + Send + 'static, stop: &Stop) -> io::Result<Self> {
        let (blocks, queue) = bounded(1);
        let (report, done) = bounded(1);
        thread::Builder::new().name("special".to_owned()).spawn(move || write(open, &queue, &report))?;
        let (ring, stopped) = bounded::<()>(0);
        let _on_stop = stop.on_request(move || drop(ring));
        let special = Self { blocks, done, stopped, _on_stop };
        special.wait()?;
        Ok(special)
    }

    fn wait(&self) -> io::Result<()> {
        select_biased! {
            recv(self.done) -> done => done.unwrap_or_else(|_| Err(ended())),
            recv(self.stopped) -> _ => Err(stopped()),
        }
    }
}

impl fmt::Debug for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Special").finish_non_exhaustive()
    }
}

impl Write for Special {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        select_biased! {
            recv(self.stopped) -> _ => return Err(stopped()),
            send(self.blocks, bytes.to_vec()) -> sent => sent.map_err(|_| ended())?,
        }
        self.wait().map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn stopped() -> io::Error {
    io::Error::other("stopped")
}

fn ended() -> io::Error {
    io::Error::other("its thread has ended")
}

fn write(
    open: impl FnOnce() -> io::Result<File>,
    queue: &Receiver<Vec<u8>>,
    report: &Sender<io::Result<()>>,
) {
    let mut file = match open() {
        Ok(file) => file,
        Err(error) => {
            let _ = report.send(Err(error));
            return;
        }
    };
    // After a stop nothing receives the reports any more.
    let mut is_received = report.send(Ok(())).is_ok();
    while let Some(block) = queue.recv().ok().filter(|_| is_received) {
        is_received = report.send(file.write_all(&block)).is_ok();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read,
        sync::mpsc::{SyncSender, sync_channel},
        time::{Duration, Instant},
    };

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;
    use crate::{replace::Replacement, stop::Cause};

    /// A FIFO without a reader, and the directory that it is in.
    fn fifo() -> (tempfile::TempDir, std::path::PathBuf) {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        (scratch, path)
    }

    /// Requests a stop when it is told to, and says how long `write` went on after that.
    fn stopped_after(write: impl FnOnce(&Stop, SyncSender<()>) -> io::Error) -> (String, Duration) {
        let (stop, (tell, told)) = (Stop::new(), sync_channel(1));
        let requested = stop.clone();
        thread::scope(|scope| {
            let requests = scope.spawn(move || {
                told.recv().unwrap();
                requested.request(Cause::Test);
                Instant::now()
            });
            let error = write(&stop, tell);
            (error.to_string(), requests.join().unwrap().elapsed())
        })
    }

    const PROMPT: Duration = Duration::from_secs(1);

    #[test]
    fn a_stop_ends_the_wait_for_a_reader() {
        let (_scratch, path) = fifo();
        let (why, took) = stopped_after(|stop, tell| {
            tell.send(()).unwrap();
            Replacement::at(&path, stop).unwrap_err()
        });
        assert!(why == "stopped" && took < PROMPT, "{why} {took:?}");
    }

    #[test]
    fn a_stop_ends_the_wait_for_a_reader_that_stalls() {
        let (_scratch, path) = fifo();
        let _reader = File::options().read(true).write(true).open(&path).unwrap();
        let (why, took) = stopped_after(|stop, tell| {
            let mut fifo = Replacement::at(&path, stop).unwrap();
            tell.send(()).unwrap();
            // More than a pipe has room for.
            fifo.write_all(&vec![b'x'; 4 << 20]).unwrap_err()
        });
        assert!(why == "stopped" && took < PROMPT, "{why} {took:?}");
    }

    #[test]
    fn a_reader_gets_all_whether_it_is_there_or_comes_later() {
        for comes_later in [false, true] {
            let (_scratch, path) = fifo();
            let read = || {
                let mut text = String::new();
                File::open(&path).unwrap().read_to_string(&mut text).unwrap();
                text
            };
            let write = || {
                let mut fifo = Replacement::at(&path, &Stop::new()).unwrap();
                fifo.write_all(b"one ").and_then(|()| fifo.write_all(b"two")).unwrap();
                fifo.commit().unwrap();
            };
            let text = thread::scope(|scope| {
                if comes_later {
                    scope.spawn(write);
                    read()
                } else {
                    let reader = scope.spawn(read);
                    write();
                    reader.join().unwrap()
                }
            });
            assert_eq!(text, "one two");
        }
    }

    #[test]
    fn what_a_device_does_not_take_is_an_error() {
        let mut full = Replacement::at(Path::new("/dev/full"), &Stop::new()).unwrap();
        assert_eq!(full.write_all(b"x").unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
