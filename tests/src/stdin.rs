//! Standard input, from the test itself.

use std::{
    fs::File,
    io::{PipeWriter, Write, pipe},
    thread::{self, JoinHandle},
};

use rustix::stdio::dup2_stdin;

/// Standard input comes from a thread of the test's, until this is dropped.
pub struct Stdin(Option<JoinHandle<()>>);

impl Stdin {
    /// What `write` puts into a pipe.
    ///
    /// # Panics
    ///
    /// If there can be no pipe.
    pub fn from(write: impl FnOnce(PipeWriter) + Send + 'static) -> Self {
        let (reader, writer) = pipe().expect("a pipe can be made");
        dup2_stdin(reader).expect("standard input can be replaced");
        Self(Some(thread::spawn(move || write(writer))))
    }

    /// This text.
    #[must_use]
    pub fn of(text: Vec<u8>) -> Self {
        // The reader may have enough before the end.
        Self::from(move |mut writer| drop(writer.write_all(&text)))
    }
}

impl Drop for Stdin {
    fn drop(&mut self) {
        dup2_stdin(File::open("/dev/null").expect("it is there")).expect("standard input can be replaced");
        let writer = self.0.take().expect("it is dropped once");
        writer.join().expect("the writer does not panic");
    }
}
