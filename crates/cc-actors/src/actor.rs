//! The runtime of this model: mailboxes, and threads that are started, watched and joined.
//!
//! An actor is a thread that owns its state and one [`Mailbox`]. Any actor that has the mailbox's
//! [`Address`] may send to it, and only its owner may receive from it. Between two messages an
//! actor works alone on its state, so there is nothing to lock. The compiler checks that a sender
//! does not use a message that it has moved. That actors share no other state is a convention.
//!
//! A [`System`] is the actors of one run, or of one phase of it; below, *the run* means either. No
//! actor is interrupted: `receive` returns [`Halted`] when the run is over or was stopped, or when
//! the mailbox is empty and no address of it is left. `send` returns `Halted` when the mailbox is
//! gone. An actor passes it on with `?`.
//!
//! - **Backpressure.** Mailboxes are bounded, and `send` waits while one is full. Actors that wait
//!   for each other in a circle deadlock. So each workload's file says which actor may wait for
//!   which.
//! - **Failure.** How an actor is started decides what its panic does. [`System::watch`] starts an
//!   actor whose panic is a message to its [supervisor](crate::supervisor), with all the state that
//!   it owned. [`System::spawn`] starts one that the run needs: its panic is a [`Crash`], which
//!   ends the run and is its result. So its closed channels are not mistaken for the end of its
//!   messages. [`System::escalate`] ends the run in the same way without a panic.
//!   [`System::spawn_loose`] starts an actor that no other relies on: its panic ends nothing else.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    thread::{self, Scope},
    time::Instant,
};

use cc_workloads::{Cause, Error, Result, Stop, error::panic_reason, stop::OnRequest};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, at, bounded, select_biased};

/// The actor should return: the run is over or was stopped, or the other end of the channel is
/// gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halted;

/// The error of an actor that the run needs, and that has panicked or given up.
#[derive(Debug)]
pub struct Crash(Error);

impl From<Crash> for Error {
    fn from(Crash(error): Crash) -> Self {
        error
    }
}

/// For a run whose result cannot carry the error; the panic's message is on standard error.
impl From<Crash> for Halted {
    fn from(_: Crash) -> Self {
        Self
    }
}

/// The sending end of a mailbox. Any number of actors may have one.
pub struct Address<M>(Sender<M>);

impl<M> Address<M> {
    /// Sends a message, and waits while the mailbox is full.
    ///
    /// It need not check for a stop: the receiver is halted, returns and drops its mailbox, which
    /// ends the wait.
    pub fn send(&self, message: M) -> Result<(), Halted> {
        self.0.send(message).map_err(|_| Halted)
    }
}

// Not derived: that would require `M: Clone`.
impl<M> Clone for Address<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The receiving end of a mailbox. It has one owner, which may leave it to a successor.
pub struct Mailbox<M> {
    messages_rx: Receiver<M>,
    halt_rx: Receiver<Infallible>,
}

impl<M> Mailbox<M> {
    /// Waits for the next message.
    pub fn receive(&self) -> Result<M, Halted> {
        // Biased, so that a halt comes before the messages that are left. A closed channel is
        // ready to receive from at once.
        select_biased! {
            recv(self.halt_rx) -> _ => Err(Halted),
            recv(self.messages_rx) -> message => message.map_err(|_| Halted),
        }
    }

    /// As [`Mailbox::receive`], but returns `None` if no message arrives before this time.
    pub fn receive_until(&self, time: Option<Instant>) -> Result<Option<M>, Halted> {
        let Some(time) = time else { return self.receive().map(Some) };
        select_biased! {
            recv(self.halt_rx) -> _ => Err(Halted),
            recv(self.messages_rx) -> message => message.map(Some).map_err(|_| Halted),
            recv(at(time)) -> _ => Ok(None),
        }
    }

    /// As [`Mailbox::receive_until`], for an actor that others need until they have ended. A stop
    /// does not halt it: it is halted when no actor has its address any more.
    pub fn serve_until(&self, time: Option<Instant>) -> Result<Option<M>, Halted> {
        let Some(time) = time else { return self.messages_rx.recv().map(Some).map_err(|_| Halted) };
        match self.messages_rx.recv_deadline(time) {
            Ok(message) => Ok(Some(message)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Halted),
        }
    }
}

/// To a supervisor: an actor that it watches has panicked.
pub struct Death<S> {
    /// All that the actor owned, its mailbox included. The panic may have left it inconsistent.
    pub state: S,
    /// The panic's message.
    pub reason: String,
}

/// The actors of one run, or of one phase of it. A clone is of the same run or phase.
#[derive(Clone)]
pub struct System<'scope, 'env: 'scope> {
    scope: &'scope Scope<'scope, 'env>,
    /// No message is ever sent on it. It closes when the run ends or is stopped, which wakes all
    /// actors at once.
    halt_rx: Receiver<Infallible>,
    stop: Stop,
    /// Has room for one [`Crash`]: all after the first are dropped.
    crash_tx: Sender<Crash>,
    /// Stack of the actors that are started through this, in bytes, if not the default.
    stack: Option<usize>,
}

/// Calls `run`, which starts the actors. They are halted when `run` returns or a stop is requested,
/// and have all ended when this function returns.
///
/// # Errors
///
/// The first [`Crash`]: an actor from [`System::spawn`] has panicked, or [`System::escalate`] was
/// called. Otherwise the error of `run`.
pub fn system<'env, T, E: From<Crash>>(
    stop: &Stop,
    run: impl for<'scope> FnOnce(System<'scope, 'env>) -> Result<T, E>,
) -> Result<T, E> {
    let (halt_tx, halt_rx) = bounded(0);
    let (crash_tx, crash_rx) = bounded(1);
    let result = thread::scope(|scope| {
        // Dropping `halt_tx` halts the actors. The hook drops it: a stop calls the hook, and the
        // end of this closure, also by a panic, drops the hook. That comes before the scope joins
        // the actors, which would otherwise wait for ever.
        let _hook: OnRequest = stop.on_request(move || drop(halt_tx));
        run(System { scope, halt_rx, stop: stop.clone(), crash_tx, stack: None })
    });
    crash_rx.try_recv().map_or(result, |crash| Err(crash.into()))
}

impl<'scope> System<'scope, '_> {
    /// A mailbox with room for `capacity` messages, and its address. They exist before the actor
    /// does, so that actors can have each other's addresses.
    #[must_use]
    pub fn mailbox<M>(&self, capacity: usize) -> (Address<M>, Mailbox<M>) {
        let (messages_tx, messages_rx) = bounded(capacity);
        (Address(messages_tx), Mailbox { messages_rx, halt_rx: self.halt_rx.clone() })
    }

    /// The same run; actors that are started through it have stacks of this many bytes. For a large
    /// number of actors.
    #[must_use]
    pub fn small(&self, stack: usize) -> Self {
        Self { stack: Some(stack), ..self.clone() }
    }

    /// Starts an actor that the run needs: if it panics, all actors are halted, and [`system`]
    /// returns its [`Crash`].
    pub fn spawn(
        &self,
        name: impl Into<String>,
        body: impl FnOnce() -> Result<(), Halted> + Send + 'scope,
    ) -> Result<()> {
        let (name, system) = (name.into(), self.clone());
        self.start(name.clone(), move || {
            // Unwind safe: the closure owns all that the panic may have left inconsistent, and is
            // dropped with it.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(body)) {
                system.escalate(Error::panicked(name, &*panic));
            }
        })
    }

    /// Halts all actors, because one that the run needs cannot go on: [`system`] returns this
    /// error.
    pub fn escalate(&self, error: Error) -> Halted {
        let _ = self.crash_tx.try_send(Crash(error));
        self.stop.request(Cause::Break);
        Halted
    }

    /// Whether the run has ended or was stopped.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.halt_rx.try_recv(), Err(TryRecvError::Disconnected))
    }

    /// Starts an actor that is watched: if it panics, `supervisor` is sent its [`Death`], and its
    /// thread ends. Unlike in [`System::spawn`], the state is outside of the body, because it must
    /// survive the panic.
    pub fn watch<S: Send + 'scope>(
        &self,
        name: impl Into<String>,
        mut state: S,
        body: fn(&mut S) -> Result<(), Halted>,
        supervisor: Address<Death<S>>,
    ) -> Result<()> {
        self.start(name, move || {
            // Unwind safe: only the supervisor sees the state, and it expects an inconsistent one.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(&mut state))) {
                let reason = panic_reason(&*panic);
                let _ = supervisor.send(Death { state, reason });
            }
        })
    }

    /// Starts an actor that no other relies on. A panic, whose message has the actor's name, ends
    /// it and nothing else.
    pub fn spawn_loose(&self, name: impl Into<String>, body: impl FnOnce() + Send + 'scope) -> Result<()> {
        // Unwind safe: the closure owns all that the panic may have left inconsistent.
        self.start(name, || drop(catch_unwind(AssertUnwindSafe(body))))
    }

    fn start(&self, name: impl Into<String>, body: impl FnOnce() + Send + 'scope) -> Result<()> {
        let thread = thread::Builder::new().name(name.into());
        let thread = self.stack.into_iter().fold(thread, thread::Builder::stack_size);
        thread.spawn_scoped(self.scope, body).map(drop).map_err(|e| Error::worker("thread", e))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    /// A system whose tests need no result.
    fn run<'env>(stop: &Stop, body: impl for<'scope> FnOnce(System<'scope, 'env>)) {
        let ran: Result<(), Error> = system(stop, |system| {
            body(system);
            Ok(())
        });
        ran.expect("no actor has panicked");
    }

    /// An actor that adds up the numbers that it is sent, and panics on a zero.
    struct Adder {
        numbers: Mailbox<u32>,
        sum: u32,
        total: Address<u32>,
    }

    impl Adder {
        fn add(&mut self) -> Result<(), Halted> {
            loop {
                let number = self.numbers.receive()?;
                assert_ne!(number, 0, "a zero");
                self.sum += number;
                self.total.send(self.sum)?;
            }
        }
    }

    #[test]
    fn messages_arrive_in_the_order_sent() {
        run(&Stop::new(), |system| {
            let (adder, numbers) = system.mailbox(1);
            let (total, totals) = system.mailbox(1);
            let mut state = Adder { numbers, sum: 0, total };
            system.spawn("adder", move || state.add()).expect("started");
            for (number, sum) in [(1, 1), (20, 21), (300, 321)] {
                adder.send(number).expect("it lives");
                assert_eq!(totals.receive(), Ok(sum));
            }
        });
    }

    #[test]
    fn a_death_carries_the_state_and_a_successor_misses_nothing() {
        run(&Stop::new(), |system| {
            let (adder, numbers) = system.mailbox(3);
            let (total, totals) = system.mailbox(3);
            let (supervisor, deaths) = system.mailbox(1);
            for number in [5, 0, 7] {
                adder.send(number).expect("there is room");
            }
            let state = Adder { numbers, sum: 0, total };
            system.watch("adder", state, Adder::add, supervisor.clone()).expect("started");
            let Death { state, reason } = deaths.receive().expect("it was sent");
            assert!(reason.starts_with("panicked: ") && reason.contains("a zero"), "{reason}");
            assert_eq!(state.sum, 5);
            system.watch("adder", state, Adder::add, supervisor).expect("started");
            assert_eq!([totals.receive(), totals.receive()], [Ok(5), Ok(12)]);
        });
    }

    #[test]
    fn a_normal_return_is_no_death() {
        run(&Stop::new(), |system| {
            let (supervisor, deaths) = system.mailbox::<Death<()>>(1);
            system.watch("brief", (), |()| Ok(()), supervisor).expect("started");
            // The actor has dropped the last address.
            assert!(deaths.receive().is_err());
        });
    }

    #[test]
    fn a_sender_waits_while_the_mailbox_is_full() {
        run(&Stop::new(), |system| {
            let (address, mailbox) = system.mailbox(2);
            let sender = address.clone();
            let barrier = &*Box::leak(Box::new(Barrier::new(2)));
            system
                .spawn("sender", move || {
                    sender.send(1)?;
                    sender.send(2)?;
                    barrier.wait();
                    sender.send(3)
                })
                .expect("started");
            barrier.wait();
            assert!(address.0.try_send(9).is_err(), "there is room for a third");
            drop(address);
            let received: Vec<u32> = std::iter::from_fn(|| mailbox.receive().ok()).collect();
            assert_eq!(received, [1, 2, 3]);
        });
    }

    #[test]
    fn a_stop_wakes_a_receiver_and_a_sender_that_wait() {
        let stop = Stop::new();
        let halted = system::<_, Error>(&stop, |system| {
            let (full, unread) = system.mailbox(1);
            let (_address, empty) = system.mailbox::<()>(1);
            let (steps_tx, steps_rx) = bounded(3);
            let (reader, writer) = (steps_tx.clone(), steps_tx);
            full.send(0).expect("there is room");
            system
                .spawn("reader", move || {
                    reader.send("reads").expect("room");
                    let end = empty.receive();
                    drop(unread);
                    end
                })
                .expect("started");
            system
                .spawn("writer", move || {
                    writer.send("writes").expect("room");
                    let end = full.send(1);
                    writer.send(if end == Err(Halted) { "halted" } else { "sent" }).expect("room");
                    end
                })
                .expect("started");
            let _ = (steps_rx.recv(), steps_rx.recv());
            stop.request(Cause::Test);
            Ok(steps_rx.recv())
        });
        assert_eq!(halted.expect("no actor has panicked"), Ok("halted"));
    }

    #[test]
    fn the_end_of_the_run_halts_actors_that_wait() {
        let (ended_tx, ended_rx) = bounded(1);
        run(&Stop::new(), |system| {
            let (_address, mailbox) = system.mailbox::<()>(1);
            system
                .spawn("waiting", move || {
                    let end = mailbox.receive();
                    ended_tx.send(end).expect("room");
                    end
                })
                .expect("started");
        });
        assert_eq!(ended_rx.try_recv(), Ok(Err(Halted)), "the actor ends before `system` returns");
    }

    #[test]
    fn after_a_stop_nothing_more_is_received() {
        let stop = Stop::new();
        run(&stop, |system| {
            let (address, mailbox) = system.mailbox(1);
            address.send(1).expect("there is room");
            stop.request(Cause::Test);
            assert_eq!(mailbox.receive(), Err(Halted));
        });
    }

    #[test]
    fn a_panic_of_an_unwatched_actor_ends_the_run_and_is_its_error() {
        let stop = Stop::new();
        let ended = system::<_, Error>(&stop, |system| {
            let (_address, mailbox) = system.mailbox::<()>(1);
            system.spawn("vital", || panic!("a bug"))?;
            // This actor learns only that it is halted.
            assert_eq!(mailbox.receive(), Err(Halted));
            Ok(())
        });
        assert_eq!(ended.expect_err("an actor has panicked").to_string(), "vital: panicked: a bug");
        assert!(stop.requested());
    }

    #[test]
    fn a_panic_of_the_source_is_not_the_end_of_its_messages() {
        let ended = system::<Vec<u32>, Error>(&Stop::new(), |system| {
            let (collector, numbers) = system.mailbox(1);
            let count = move || {
                collector.send(1)?;
                panic!("a bug")
            };
            system.spawn("source", count)?;
            Ok(std::iter::from_fn(|| numbers.receive().ok()).collect())
        });
        assert_eq!(ended.expect_err("an actor has panicked").to_string(), "source: panicked: a bug");
    }
}
