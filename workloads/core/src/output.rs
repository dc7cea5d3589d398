//! A program's output, written by a separate thread.

use std::{io, ops::ControlFlow, thread};

use crossbeam_channel::{Receiver, Sender, bounded, select, select_biased};

use crate::{
    contract::{Block, Sink},
    error::{Error, Result, reason},
    printable::printable_lines,
    report::Totals,
    signals::Interrupts,
    stdio,
    stop::{OnRequest, Stop},
    trace,
};

/// The exit status for a command line that is invalid, and for `grep` if an error occurred.
pub const TROUBLE: u8 = 2;

/// A sink for a program's output. Its `push` returns on a stop even while the reader of the output
/// has stalled.
pub struct Output {
    blocks_tx: Sender<Block>,
    stopped_rx: Receiver<()>,
    written_rx: Receiver<Written>,
    interrupts: Interrupts,
    _on_stop: OnRequest,
}

/// How the writing of all pushed blocks ended.
pub struct Written {
    results: Results,
    /// Whether a message could not be written to standard error.
    message_lost: bool,
}

/// How the writing to standard output ended.
enum Results {
    Complete,
    /// The reader has closed the pipe.
    PipeClosed,
    /// A write failed, which a message has reported.
    Lost,
}

/// The result of a program's run.
pub struct Outcome {
    /// The exit status.
    pub status: u8,
    /// How much was done, unless the run ended early.
    pub totals: Option<Totals>,
}

/// Maximum blocks in the writer's queue, so that output that is not read bounds memory. A block is
/// at most the text of one task.
const QUEUE: usize = 4;

/// The exit status that a shell reports for a process that SIGPIPE has ended.
const SIGPIPE: u8 = 128 + 13;

/// Runs a workload with an [`Output`]. Catches signals from here on and reports the error of `run`.
/// Returns when all output is written, or as soon as a signal has ended the run.
///
/// # Errors
///
/// If a signal handler cannot be installed or a thread cannot be started.
pub fn with_output(
    workload: &'static str,
    stop: &Stop,
    run: impl FnOnce(&mut Output) -> Result<Outcome>,
) -> Result<Outcome> {
    let interrupts = Interrupts::catch(stop)?;
    let mut output = Output::open(workload, stop, interrupts)?;
    let done = run(&mut output);
    if let Some(status) = output.interrupts.status() {
        return Ok(status.into());
    }
    let outcome = done.unwrap_or_else(|error| {
        output.push_message(&format!("{workload}: {error}\n"));
        TROUBLE.into()
    });
    let interrupts = output.interrupts.clone();
    let status = match output.finish() {
        Some(written) => written.status(outcome.status),
        None => interrupts.status().unwrap_or(TROUBLE),
    };
    Ok(Outcome { status, ..outcome })
}

impl Outcome {
    /// The outcome of a run that has completed.
    pub fn of(status: u8, totals: impl Into<Totals>) -> Self {
        Self { status, totals: Some(totals.into()) }
    }
}

impl From<u8> for Outcome {
    /// The outcome of a run that ended early.
    fn from(status: u8) -> Self {
        Self { status, totals: None }
    }
}

impl Output {
    /// Starts the writer.
    ///
    /// # Errors
    ///
    /// If the thread cannot be started.
    pub fn open(workload: &'static str, stop: &Stop, interrupts: Interrupts) -> Result<Self> {
        let (blocks_tx, blocks_rx) = bounded(QUEUE);
        let (written_tx, written_rx) = bounded(1);
        let write = move || {
            let _ = written_tx.send(write(workload, &blocks_rx));
        };
        thread::Builder::new().name("output".to_owned()).spawn(write).map_err(Error::io("thread"))?;
        let (stopped_tx, stopped_rx) = bounded(0);
        let _on_stop = stop.on_request(move || drop(stopped_tx));
        Ok(Self { blocks_tx, stopped_rx, written_rx, interrupts, _on_stop })
    }

    /// Waits until everything is written. Returns `None` if a signal arrives first: the reader of
    /// the output may have stalled.
    pub fn finish(self) -> Option<Written> {
        let (interrupted_tx, interrupted_rx) = bounded::<()>(0);
        let _on_interrupt = self.interrupts.arrived().on_request(move || drop(interrupted_tx));
        drop(self.blocks_tx);
        select_biased! {
            recv(self.written_rx) -> written => Some(written.expect("the writer does not panic")),
            recv(interrupted_rx) -> _ => None,
        }
    }

    /// Pushes a message, even after a stop was requested.
    fn push_message(&self, message: &str) {
        let (interrupted_tx, interrupted_rx) = bounded::<()>(0);
        let _on_interrupt = self.interrupts.arrived().on_request(move || drop(interrupted_tx));
        select! {
            // Fails if the writer has ended; then the pipe was closed, and that sets the exit
            // status.
            send(self.blocks_tx, Block::Err(message.as_bytes().to_vec())) -> _ => {}
            recv(interrupted_rx) -> _ => {}
        }
    }
}

impl Written {
    /// The exit status: `status` if everything was written, otherwise the status of the failure.
    #[must_use]
    pub fn status(&self, status: u8) -> u8 {
        match self.results {
            Results::PipeClosed => SIGPIPE,
            Results::Lost => TROUBLE,
            Results::Complete if self.message_lost => TROUBLE,
            Results::Complete => status,
        }
    }
}

impl Sink<Block> for Output {
    fn push(&mut self, block: Block) -> ControlFlow<()> {
        select! {
            send(self.blocks_tx, block) -> sent => match sent {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()), // the writer has ended: the pipe is closed
            },
            recv(self.stopped_rx) -> _ => ControlFlow::Break(()),
        }
    }
}

/// Writes blocks until the channel is closed, or until a write to standard output fails.
fn write(workload: &str, blocks_rx: &Receiver<Block>) -> Written {
    let mut message_lost = false;
    for block in blocks_rx {
        let _span = trace::serial("output");
        match block {
            Block::Out(text) => {
                if let Err(error) = stdio::write_out(&text) {
                    return Written { results: report_lost(workload, &error), message_lost };
                }
            }
            Block::Err(text) => message_lost |= stdio::write_err(&printable_lines(&text)).is_err(),
        }
    }
    Written { results: Results::Complete, message_lost }
}

/// Reports lost results. A closed pipe is not reported: that is how a reader says that it has
/// enough.
fn report_lost(workload: &str, error: &io::Error) -> Results {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Results::PipeClosed;
    }
    let _ = stdio::say(&format!("{workload}: write error: {}\n", reason(error)));
    Results::Lost
}

/// Prints a text that is the whole output of a program (`--list-models`, for example). Returns the
/// exit status.
pub fn print(program: &str, text: &str) -> u8 {
    let results = stdio::write_out(text.as_bytes())
        .map_or_else(|error| report_lost(program, &error), |()| Results::Complete);
    Written { results, message_lost: false }.status(0)
}
