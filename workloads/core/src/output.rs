//! What a program prints, written by a thread of its own.

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

/// The exit status of a command line that asks for something that cannot be, and of `grep`'s
/// trouble.
pub const TROUBLE: u8 = 2;

/// A sink for what a program prints, which returns on a stop even while nothing reads the output.
pub struct Output {
    blocks: Sender<Block>,
    stopped: Receiver<()>,
    written: Receiver<Written>,
    interrupts: Interrupts,
    _on_stop: OnRequest,
}

/// What has become of everything that was pushed.
pub struct Written {
    results: Results,
    /// Whether standard error has not taken a message.
    message_lost: bool,
}

/// What has become of standard output.
enum Results {
    Whole,
    /// Its reader has closed the pipe.
    Unwanted,
    /// They could not be written, which a message has said.
    Lost,
}

/// What a program's run comes to.
pub struct Outcome {
    /// The exit status.
    pub status: u8,
    /// How much was done, unless the run was ended before it was done.
    pub totals: Option<Totals>,
}

/// Blocks on their way to the writer; each is a task's text at most.
const QUEUE: usize = 4;

/// The exit status of a process that SIGPIPE has ended, as a shell reports it.
const SIGPIPE: u8 = 128 + 13;

/// Runs a workload with a sink for what it prints. Catches signals from here on, reports the error
/// of `run`, and returns when everything is written, or at once if a signal has ended the run.
///
/// # Errors
///
/// If a signal handler or a thread cannot be had.
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
        output.complain(&format!("{workload}: {error}\n"));
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
    /// What a run comes to that has done its work.
    pub fn of(status: u8, totals: impl Into<Totals>) -> Self {
        Self { status, totals: Some(totals.into()) }
    }
}

impl From<u8> for Outcome {
    /// What a run comes to that was ended before.
    fn from(status: u8) -> Self {
        Self { status, totals: None }
    }
}

impl Output {
    /// Starts the writer.
    ///
    /// # Errors
    ///
    /// If there can be no thread.
    pub fn open(workload: &'static str, stop: &Stop, interrupts: Interrupts) -> Result<Self> {
        let (blocks, queue) = bounded(QUEUE);
        let (report, written) = bounded(1);
        let write = move || {
            let _ = report.send(write(workload, &queue));
        };
        thread::Builder::new().name("output".to_owned()).spawn(write).map_err(Error::io("thread"))?;
        let (ring, stopped) = bounded(0);
        let _on_stop = stop.on_request(move || drop(ring));
        Ok(Self { blocks, stopped, written, interrupts, _on_stop })
    }

    /// Waits until everything is written, and says what has become of it. None if a signal arrives
    /// before: the reader of the output may have stalled.
    pub fn finish(self) -> Option<Written> {
        let (ring, interrupted) = bounded::<()>(0);
        let _on_interrupt = self.interrupts.arrived().on_request(move || drop(ring));
        drop(self.blocks);
        select_biased! {
            recv(self.written) -> written => Some(written.expect("the writer does not panic")),
            recv(interrupted) -> _ => None,
        }
    }

    /// Hands over a message, also when a stop was requested.
    fn complain(&self, message: &str) {
        let (ring, interrupted) = bounded::<()>(0);
        let _on_interrupt = self.interrupts.arrived().on_request(move || drop(ring));
        select! {
            // It is refused if the writer has ended, which makes the exit status the same.
            send(self.blocks, Block::Err(message.as_bytes().to_vec())) -> _ => {}
            recv(interrupted) -> _ => {}
        }
    }
}

impl Written {
    /// The exit status of a program that has this one if everything is written.
    #[must_use]
    pub fn status(&self, status: u8) -> u8 {
        match self.results {
            Results::Unwanted => SIGPIPE,
            Results::Lost => TROUBLE,
            Results::Whole if self.message_lost => TROUBLE,
            Results::Whole => status,
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

/// Writes blocks until there are no more, or until standard output takes no more.
fn write(workload: &str, queue: &Receiver<Block>) -> Written {
    let mut message_lost = false;
    for block in queue {
        let _span = trace::serial("output");
        match block {
            Block::Out(text) => {
                if let Err(error) = stdio::write_out(&text) {
                    return Written { results: lost(workload, &error), message_lost };
                }
            }
            Block::Err(text) => message_lost |= stdio::write_err(&printable_lines(&text)).is_err(),
        }
    }
    Written { results: Results::Whole, message_lost }
}

/// Says that results are lost, unless their reader has gone, which is a reader's way to say that it
/// has enough.
fn lost(workload: &str, error: &io::Error) -> Results {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Results::Unwanted;
    }
    let _ = stdio::say(&format!("{workload}: write error: {}\n", reason(error)));
    Results::Lost
}

/// Prints a text that is all that a program was asked for, and returns the exit status.
pub fn print(program: &str, text: &str) -> u8 {
    let results =
        stdio::write_out(text.as_bytes()).map_or_else(|error| lost(program, &error), |()| Results::Whole);
    Written { results, message_lost: false }.status(0)
}
