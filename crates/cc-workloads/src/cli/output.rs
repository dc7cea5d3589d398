//! Standard output and standard error, written by a thread of their own.

use std::{
    fs::File,
    io::{self, Write},
    ops::ControlFlow,
    os::fd::AsFd,
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Receiver, Sender, bounded, select};

use crate::{
    contract::{Block, Sink},
    error::{Error, Result, reason},
    stop::{OnRequest, Stop},
    trace,
};

/// A sink for what a program prints, which returns on a stop even while nobody reads the output.
pub(super) struct Output {
    blocks: Sender<Block>,
    stopped: Receiver<()>,
    writer: JoinHandle<io::Result<()>>,
    _on_stop: OnRequest,
}

/// Blocks on their way to the writer; each is a task's text at most.
const QUEUE: usize = 4;

impl Output {
    pub(super) fn open(stop: &Stop) -> Result<Self> {
        let out = io::stdout().as_fd().try_clone_to_owned().map(File::from);
        let out = out.map_err(Error::io("standard output"))?;
        let (blocks, queue) = bounded(QUEUE);
        let writer = thread::Builder::new().name("output".to_owned()).spawn(move || write(&queue, out));
        let writer = writer.map_err(Error::io("thread"))?;
        let (ring, stopped) = bounded(0);
        let _on_stop = stop.on_request(move || drop(ring));
        Ok(Self { blocks, stopped, writer, _on_stop })
    }

    /// Waits until everything is written. Returns what the writer ran into: a closed pipe, a full disk.
    pub(super) fn finish(self) -> io::Result<()> {
        drop(self.blocks);
        self.writer.join().expect("the writer does not panic")
    }

    /// The same, and the exit status: this one, or as if SIGPIPE had killed the program.
    pub(super) fn status(self, status: u8) -> Result<u8> {
        match self.finish() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(141),
            Err(error) => Err(Error::io("write error")(io::Error::other(reason(&error)))),
            Ok(()) => Ok(status),
        }
    }
}

impl Sink<Block> for Output {
    fn push(&mut self, block: Block) -> ControlFlow<()> {
        select! {
            send(self.blocks, block) -> sent => match sent {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()), // the writer has ended: the pipe is closed
            },
            recv(self.stopped) -> _ => ControlFlow::Break(()),
        }
    }
}

fn write(queue: &Receiver<Block>, mut out: File) -> io::Result<()> {
    for block in queue {
        let _span = trace::serial("output");
        match block {
            Block::Out(text) => out.write_all(&text)?,
            // Nobody can be told that standard error cannot be written.
            Block::Err(text) => drop(io::stderr().write_all(&text)),
        }
    }
    Ok(())
}
