//! Stands in for the oneshot crate.

use crate::{Receiver as Messages, RecvError, Sender as Channel, bounded};

/// The error of a send whose receiver is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendError<T>(pub T);

/// A channel for one message.
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = bounded(1);
    (Sender(sender), Receiver(receiver))
}

/// The sending end.
pub struct Sender<T>(Channel<T>);

impl<T> Sender<T> {
    /// Sends the message.
    ///
    /// # Errors
    ///
    /// If the receiver is gone.
    pub fn send(self, message: T) -> Result<(), SendError<T>> {
        self.0.send(message).map_err(|error| SendError(error.0))
    }
}

/// The receiving end.
pub struct Receiver<T>(Messages<T>);

impl<T> Receiver<T> {
    /// Waits for the message.
    ///
    /// # Errors
    ///
    /// If the sender is gone without having sent it.
    pub fn recv(self) -> Result<T, RecvError> {
        self.0.recv()
    }
}
