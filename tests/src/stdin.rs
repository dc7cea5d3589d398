//! Standard input that the test writes.

use std::{
    fs::File,
    io::{PipeWriter, Write, pipe},
    thread::{self, JoinHandle},
};

use rustix::stdio::dup2_stdin;

/// While this lives, standard input is a pipe that a thread of the test writes to.
pub struct Stdin(Option<JoinHandle<()>>);

impl Stdin {
    /// Standard input is what `write` puts into a pipe.
    ///
    /// # Panics
    ///
    /// If no pipe can be made.
    pub fn from(write: impl FnOnce(PipeWriter) + Send + 'static) -> Self {
        let (reader, writer) = pipe().expect("a pipe can be made");
        dup2_stdin(reader).expect("standard input can be replaced");
        Self(Some(thread::spawn(move || write(writer))))
    }

    /// Standard input is this text.
    #[must_use]
    pub fn of(text: Vec<u8>) -> Self {
        // The write fails if the reader stops before the end, which it may.
        Self::from(move |mut writer| drop(writer.write_all(&text)))
    }
}

impl Drop for Stdin {
    fn drop(&mut self) {
        // Closes the pipe's reading end first; otherwise a writer that waits for room never ends.
        dup2_stdin(File::open("/dev/null").expect("it is there")).expect("standard input can be replaced");
        let writer = self.0.take().expect("it is dropped once");
        writer.join().expect("the writer does not panic");
    }
}
