//! Stands in for the part of `tokio::sync` that the cluster's queue uses.
//!
//! The crate `shuttle-tokio` has this too and is maintained, but it also builds a benchmark
//! library, a logger and a regex engine. That takes longer than all of these tests.

use std::{
    future::poll_fn,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use crate::scheduling_point;

/// Wakes tasks that wait for a change.
#[derive(Default)]
pub struct Notify(Mutex<Notified>);

/// No other thread runs while this lock is held, so it is not one of shuttle's.
#[derive(Default)]
struct Notified {
    /// The number of calls of `notify_waiters`.
    times: u64,
    waiting: Vec<Waker>,
}

impl Notify {
    /// Wakes all tasks that have called [`Notify::notified`].
    pub fn notify_waiters(&self) {
        scheduling_point();
        let mut notified = self.lock();
        notified.times += 1;
        notified.waiting.drain(..).for_each(Waker::wake);
    }

    /// Begins the wait at once, and not when the future is first polled.
    pub fn notified(&self) -> impl Future<Output = ()> + '_ {
        scheduling_point();
        let begun = self.lock().times;
        poll_fn(move |context| {
            let mut notified = self.lock();
            if notified.times > begun {
                return Poll::Ready(());
            }
            notified.waiting.push(context.waker().clone());
            Poll::Pending
        })
    }

    fn lock(&self) -> MutexGuard<'_, Notified> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A channel for one message.
pub mod oneshot {
    use std::{
        pin::Pin,
        sync::{Arc, Mutex, MutexGuard, PoisonError},
        task::{Context, Poll, Waker},
    };

    use shuttle::future::block_on;

    use crate::scheduling_point;

    /// The errors.
    pub mod error {
        /// The sender is gone without having sent.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct RecvError(pub(super) ());

        /// Why there is no message.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum TryRecvError {
            /// There is no message yet.
            Empty,
            /// The sender is gone.
            Closed,
        }
    }
    use error::{RecvError, TryRecvError};

    /// A channel.
    #[must_use]
    pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
        let state = State { message: None, has_sender: true, has_receiver: true, waiting: None };
        let channel = Arc::new(Channel(Mutex::new(state)));
        (Sender(channel.clone()), Receiver(channel))
    }

    /// No other thread runs while this lock is held, so it is not one of shuttle's.
    struct Channel<T>(Mutex<State<T>>);

    struct State<T> {
        message: Option<T>,
        has_sender: bool,
        has_receiver: bool,
        waiting: Option<Waker>,
    }

    impl<T> Channel<T> {
        fn lock(&self) -> MutexGuard<'_, State<T>> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl<T> State<T> {
        fn receive(&mut self) -> Result<T, TryRecvError> {
            let none = if self.has_sender { TryRecvError::Empty } else { TryRecvError::Closed };
            self.message.take().ok_or(none)
        }
    }

    /// The sending end.
    pub struct Sender<T>(Arc<Channel<T>>);

    impl<T> Sender<T> {
        /// Sends the message.
        ///
        /// # Errors
        ///
        /// If the receiver is gone; the message is in it.
        pub fn send(self, message: T) -> Result<(), T> {
            scheduling_point();
            let mut state = self.0.lock();
            if !state.has_receiver {
                return Err(message);
            }
            state.message = Some(message);
            Ok(())
        }
    }

    impl<T> Drop for Sender<T> {
        fn drop(&mut self) {
            scheduling_point();
            let mut state = self.0.lock();
            state.has_sender = false;
            if let Some(waker) = state.waiting.take() {
                waker.wake();
            }
        }
    }

    /// The receiving end, and the wait for the message.
    pub struct Receiver<T>(Arc<Channel<T>>);

    impl<T> Receiver<T> {
        /// The message, if it has been sent.
        ///
        /// # Errors
        ///
        /// If it has not.
        pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
            scheduling_point();
            self.0.lock().receive()
        }

        /// Waits for the message.
        ///
        /// # Errors
        ///
        /// If the sender is gone without having sent.
        pub fn blocking_recv(self) -> Result<T, RecvError> {
            scheduling_point();
            block_on(self)
        }
    }

    impl<T> Future for Receiver<T> {
        type Output = Result<T, RecvError>;

        fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
            let mut state = self.0.lock();
            match state.receive() {
                Ok(message) => Poll::Ready(Ok(message)),
                Err(TryRecvError::Closed) => Poll::Ready(Err(RecvError(()))),
                Err(TryRecvError::Empty) => {
                    state.waiting = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        }
    }

    impl<T> Drop for Receiver<T> {
        fn drop(&mut self) {
            scheduling_point();
            self.0.lock().has_receiver = false;
        }
    }
}
