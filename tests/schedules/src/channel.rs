//! Stands in for crossbeam-channel: the bounded channel and the biased select.
//!
//! As in crossbeam's, the messages in a channel without receivers are dropped only when the senders
//! are gone too.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    time::Instant,
};

use shuttle::future::block_on;

use crate::scheduling_point;

/// The error of a send to a channel without receivers; the message is in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

// Without a bound on `T`, as crossbeam's.
impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError(..)")
    }
}

/// The error of a receive from an empty channel without senders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvError;

/// Why nothing was received at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// There is no message yet.
    Empty,
    /// There are no messages and no senders.
    Disconnected,
}

/// Why nothing was received in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvTimeoutError {
    /// There is no message yet.
    Timeout,
    /// There are no messages and no senders.
    Disconnected,
}

/// Why nothing was sent at once; the message is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// There is no room.
    Full(T),
    /// There are no receivers.
    Disconnected(T),
}

/// A channel with room for `capacity` messages.
#[must_use]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let state = State { messages: VecDeque::new(), capacity, senders: 1, receivers: 1, waiting: Vec::new() };
    let channel = Arc::new(Channel(Mutex::new(state)));
    (Sender(channel.clone()), Receiver(channel))
}

/// A channel whose message is always there. Shuttle has no time, so a deadline has passed whenever
/// there is nothing else to receive.
#[must_use]
pub fn at(time: Instant) -> Receiver<Instant> {
    let (sender, receiver) = bounded(1);
    sender.0.lock().messages.push_back(time);
    receiver
}

/// No other thread runs while this lock is held, so it is not one of shuttle's.
struct Channel<T>(Mutex<State<T>>);

struct State<T> {
    messages: VecDeque<T>,
    capacity: usize,
    senders: usize,
    receivers: usize,
    /// The tasks that wait for a change of this channel.
    waiting: Vec<Waker>,
}

impl<T> Channel<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Repeats the attempt until it has a result, and waits for a change of the channel in between.
    fn wait<R>(&self, mut attempt: impl FnMut(&mut State<T>) -> Option<R>) -> R {
        scheduling_point();
        block_on(poll_fn(|context| {
            let mut state = self.lock();
            let result = attempt(&mut state);
            if result.is_none() {
                state.waiting.push(context.waker().clone());
            }
            result.map_or(Poll::Pending, Poll::Ready)
        }))
    }
}

impl<T> State<T> {
    fn wake_all(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }

    fn receive(&mut self) -> Result<T, TryRecvError> {
        match self.messages.pop_front() {
            Some(message) => {
                self.wake_all();
                Ok(message)
            }
            None if self.senders == 0 => Err(TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        }
    }

    fn send(&mut self, message: T) -> Result<(), TrySendError<T>> {
        assert!(self.capacity > 0, "a channel without room has no stand-in");
        if self.receivers == 0 {
            return Err(TrySendError::Disconnected(message));
        }
        if self.messages.len() == self.capacity {
            return Err(TrySendError::Full(message));
        }
        self.messages.push_back(message);
        self.wake_all();
        Ok(())
    }
}

/// The sending end.
pub struct Sender<T>(Arc<Channel<T>>);

impl<T> Sender<T> {
    /// Sends a message, and waits while there is no room.
    ///
    /// # Errors
    ///
    /// If there are no receivers.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        let mut message = Some(message);
        self.0.wait(|state| match state.send(message.take()?) {
            Ok(()) => Some(Ok(())),
            Err(TrySendError::Disconnected(message)) => Some(Err(SendError(message))),
            Err(TrySendError::Full(refused)) => {
                message = Some(refused);
                None
            }
        })
    }

    /// Sends a message if there is room.
    ///
    /// # Errors
    ///
    /// If there is no room, or there are no receivers.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        scheduling_point();
        self.0.lock().send(message)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Self(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        scheduling_point();
        let mut state = self.0.lock();
        state.senders -= 1;
        if state.senders == 0 {
            state.wake_all();
        }
    }
}

/// The receiving end.
pub struct Receiver<T>(Arc<Channel<T>>);

impl<T> Receiver<T> {
    /// Waits for the next message.
    ///
    /// # Errors
    ///
    /// If there is no message, and there are no senders.
    pub fn recv(&self) -> Result<T, RecvError> {
        self.0.wait(|state| match state.receive() {
            Ok(message) => Some(Ok(message)),
            Err(TryRecvError::Disconnected) => Some(Err(RecvError)),
            Err(TryRecvError::Empty) => None,
        })
    }

    /// The next message, if there is one.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        scheduling_point();
        self.0.lock().receive()
    }

    /// The next message. The deadline has passed whenever there is none.
    ///
    /// # Errors
    ///
    /// If there is no message.
    pub fn recv_deadline(&self, _deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.try_recv().map_err(|error| match error {
            TryRecvError::Empty => RecvTimeoutError::Timeout,
            TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
        })
    }

    /// The messages, until there are no senders.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter(self)
    }

    /// The number of messages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.lock().messages.len()
    }

    /// Whether there are no messages.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.0.lock().receivers += 1;
        Self(self.0.clone())
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        scheduling_point();
        let mut state = self.0.lock();
        state.receivers -= 1;
        if state.receivers == 0 {
            state.wake_all();
        }
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

/// The messages of a channel, until there are no senders.
pub struct Iter<'a, T>(&'a Receiver<T>);

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.0.recv().ok()
    }
}

/// A channel that [`select_biased`](crate::select_biased) can wait for.
pub trait Ready {
    /// Whether a receive would return at once. If not, a change of the channel wakes this task.
    fn is_ready(&self, waker: &Waker) -> bool;
}

impl<T> Ready for Receiver<T> {
    fn is_ready(&self, waker: &Waker) -> bool {
        let mut state = self.0.lock();
        let is_ready = !state.messages.is_empty() || state.senders == 0;
        if !is_ready {
            state.waiting.push(waker.clone());
        }
        is_ready
    }
}

impl<R: Ready> Ready for &R {
    fn is_ready(&self, waker: &Waker) -> bool {
        (*self).is_ready(waker)
    }
}

/// Waits until a receive from one of the channels would return at once.
pub fn wait_for_any(channels: &[&dyn Ready]) {
    block_on(poll_fn(|context| {
        let is_ready = channels.iter().any(|channel| channel.is_ready(context.waker()));
        if is_ready { Poll::Ready(()) } else { Poll::Pending }
    }));
}

/// Receives from the first channel, in this order, that is ready.
#[macro_export]
macro_rules! select_biased {
    ($(recv($channel:expr) -> $message:pat => $then:expr),+ $(,)?) => {
        loop {
            $(
                match $channel.try_recv() {
                    Err($crate::TryRecvError::Empty) => {}
                    received => {
                        let $message = received.map_err(|_| $crate::RecvError);
                        break $then;
                    }
                }
            )+
            $crate::wait_for_any(&[$(&$channel),+]);
        }
    };
}
