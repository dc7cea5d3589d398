//! Devices and pipes, which are written to directly.
//!
//! Opening and writing may block until a reader arrives, which may never happen. Both therefore run
//! on a separate thread, and a stop ends the wait for that thread. The thread then ends with the
//! process; it owns nothing else of the run.

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
    blocks_tx: Sender<Vec<u8>>,
    /// The result of opening the file, and of each block.
    results_rx: Receiver<io::Result<()>>,
    stopped_rx: Receiver<()>,
    _on_stop: OnRequest,
}

impl Special {
    /// Writes to an open file.
    pub(super) fn of(file: File, stop: &Stop) -> io::Result<Self> {
        Self::start(move || Ok(file), stop)
    }

    /// Opens the file, which blocks until it has a reader.
    pub(super) fn open(path: &Path, stop: &Stop) -> io::Result<Self> {
        let path = path.to_owned();
        Self::start(move || OpenOptions::new().write(true).open(path), stop)
    }

    fn start(open: impl FnOnce() -> io::Result<File> + Send + 'static, stop: &Stop) -> io::Result<Self> {
        let (blocks_tx, blocks_rx) = bounded(1);
        let (results_tx, results_rx) = bounded(1);
        thread::Builder::new()
            .name("special".to_owned())
            .spawn(move || write(open, &blocks_rx, &results_tx))?;
        let (stopped_tx, stopped_rx) = bounded::<()>(0);
        let _on_stop = stop.on_request(move || drop(stopped_tx));
        let special = Self { blocks_tx, results_rx, stopped_rx, _on_stop };
        special.wait()?;
        Ok(special)
    }

    fn wait(&self) -> io::Result<()> {
        select_biased! {
            recv(self.results_rx) -> result => result.unwrap_or_else(|_| Err(ended())),
            recv(self.stopped_rx) -> _ => Err(stopped()),
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
            recv(self.stopped_rx) -> _ => return Err(stopped()),
            send(self.blocks_tx, bytes.to_vec()) -> sent => sent.map_err(|_| ended())?,
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
    blocks_rx: &Receiver<Vec<u8>>,
    results_tx: &Sender<io::Result<()>>,
) {
    let mut file = match open() {
        Ok(file) => file,
        Err(error) => {
            let _ = results_tx.send(Err(error));
            return;
        }
    };
    // After a stop nothing receives the reports any more.
    let mut is_received = results_tx.send(Ok(())).is_ok();
    while let Some(block) = blocks_rx.recv().ok().filter(|_| is_received) {
        is_received = results_tx.send(file.write_all(&block)).is_ok();
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

    /// Requests a stop after `write` has sent a message. Returns the error of `write`, and how long
    /// it took after the stop.
    fn stopped_after(write: impl FnOnce(&Stop, SyncSender<()>) -> io::Error) -> (String, Duration) {
        let (stop, (begun_tx, begun_rx)) = (Stop::new(), sync_channel(1));
        let requested = stop.clone();
        thread::scope(|scope| {
            let requests = scope.spawn(move || {
                begun_rx.recv().unwrap();
                requested.request(Cause::Test);
                Instant::now()
            });
            let error = write(&stop, begun_tx);
            (error.to_string(), requests.join().unwrap().elapsed())
        })
    }

    const PROMPT: Duration = Duration::from_secs(1);

    #[test]
    fn a_stop_ends_the_wait_for_a_reader() {
        let (_scratch, path) = fifo();
        let (why, took) = stopped_after(|stop, begun_tx| {
            begun_tx.send(()).unwrap();
            Replacement::at(&path, stop).unwrap_err()
        });
        assert!(why == "stopped" && took < PROMPT, "{why} {took:?}");
    }

    #[test]
    fn a_stop_ends_the_wait_for_a_reader_that_stalls() {
        let (_scratch, path) = fifo();
        let _reader = File::options().read(true).write(true).open(&path).unwrap();
        let (why, took) = stopped_after(|stop, begun_tx| {
            let mut fifo = Replacement::at(&path, stop).unwrap();
            begun_tx.send(()).unwrap();
            // More than the buffer of a pipe holds.
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
