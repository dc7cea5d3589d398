//! The runtime of this model: mailboxes, and threads that are started, watched and waited for.
//!
//! An actor is a thread that owns its state and one [`Mailbox`]. Its state is reachable through
//! that mailbox only: every actor that has its [`Address`] may send, and no other may read. So
//! there is nothing to lock, and what an actor does between two messages, it does alone.
//!
//! A [`System`] is the actors of one run. No actor is interrupted: receiving gives [`Halted`] when
//! the run is over or was asked to stop, sending when the actor at the other end has gone, and an
//! actor passes that on with `?`.
//!
//! - **Backpressure.** Mailboxes are bounded, and sending to a full one waits. Actors that wait so
//!   in a circle wait for ever: each workload's file says which actor may wait for which, and which
//!   never waits, since it sends only what was asked for.
//! - **Failure.** An actor does not defend itself against its own bugs: it crashes, and another
//!   actor deals with that. [`System::watch`] starts one whose death is a message to its
//!   [supervisor](crate::supervisor), with all that it left behind. [`System::spawn`] starts one
//!   that the run cannot do without: its panic is a [`Crash`], which ends the run and is its
//!   result. So no actor has to guess from the silence of another whether there is nothing more to
//!   come. [`System::escalate`] ends the run in the same way without a panic.
//!   [`System::spawn_loose`] starts an actor that no other relies on: its panic ends nothing else.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    thread::{self, Scope},
    time::Instant,
};

use cc_workloads::{Cause, Error, Result, Stop, error::panic_reason, stop::OnRequest};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, at, bounded, select_biased};

/// There is nothing left to do: the run has ended or was stopped, the mailbox that was written to
/// is gone, or every address of the one that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halted;

/// An actor that the run cannot do without has panicked, or has given up with this error.
#[derive(Debug)]
pub struct Crash(Error);

impl From<Crash> for Error {
    fn from(Crash(error): Crash) -> Self {
        error
    }
}

/// For a run whose result has no place for the reason; the panic itself is on standard error.
impl From<Crash> for Halted {
    fn from(_: Crash) -> Self {
        Self
    }
}

/// Where an actor can be written to. Any actor may have one.
pub struct Address<M>(Sender<M>);

impl<M> Address<M> {
    /// Sends a message, and waits while the mailbox is full.
    ///
    /// Needs no eye on the stop: an actor that halts drops its mailbox, and that ends the wait.
    pub fn send(&self, message: M) -> Result<(), Halted> {
        self.0.send(message).map_err(|_| Halted)
    }
}

// Derived, it would ask for messages that can be cloned.
impl<M> Clone for Address<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// What an actor was sent and has not read. It has one owner, which may leave it to a successor.
pub struct Mailbox<M> {
    messages: Receiver<M>,
    halt: Receiver<Infallible>,
}

impl<M> Mailbox<M> {
    /// The next message, waited for.
    pub fn receive(&self) -> Result<M, Halted> {
        // Biased, so that the end comes before what is left in the mailbox. A closed channel is
        // ready at once.
        select_biased! {
            recv(self.halt) -> _ => Err(Halted),
            recv(self.messages) -> message => message.map_err(|_| Halted),
        }
    }

    /// As [`Mailbox::receive`]; none, if it is that time before a message has come.
    pub fn receive_until(&self, time: Option<Instant>) -> Result<Option<M>, Halted> {
        let Some(time) = time else { return self.receive().map(Some) };
        select_biased! {
            recv(self.halt) -> _ => Err(Halted),
            recv(self.messages) -> message => message.map(Some).map_err(|_| Halted),
            recv(at(time)) -> _ => Ok(None),
        }
    }

    /// As [`Mailbox::receive_until`], for an actor that others rely on until they have ended: it is
    /// halted only when no actor has its address any more.
    pub fn serve_until(&self, time: Option<Instant>) -> Result<Option<M>, Halted> {
        let Some(time) = time else { return self.messages.recv().map(Some).map_err(|_| Halted) };
        match self.messages.recv_deadline(time) {
            Ok(message) => Ok(Some(message)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Halted),
        }
    }
}

/// What a supervisor is told when an actor that it watches has panicked.
pub struct Death<S> {
    /// Whatever the actor owned: its mailbox, and what it was busy with. It may be half-changed.
    pub remains: S,
    /// What the panic said.
    pub reason: String,
}

/// The actors of one run. A clone is of the same run.
#[derive(Clone)]
pub struct System<'scope, 'env: 'scope> {
    scope: &'scope Scope<'scope, 'env>,
    /// Nothing is ever sent: the channel is closed when the run ends or is stopped, which wakes all
    /// actors at once.
    halt: Receiver<Infallible>,
    stop: Stop,
    /// Has room for one [`Crash`]: those that follow from the first are not told.
    crash: Sender<Crash>,
    /// Of the actors that are started through this, in bytes, if not the usual size.
    stack: Option<usize>,
}

/// Calls `run`, which starts the actors. Once it returns, or a stop is requested, they are halted;
/// they have all ended when this function returns.
///
/// # Errors
///
/// The [`Crash`] of an actor that the run cannot do without, and otherwise what `run` returns.
pub fn system<'env, T, E: From<Crash>>(
    stop: &Stop,
    run: impl for<'scope> FnOnce(System<'scope, 'env>) -> Result<T, E>,
) -> Result<T, E> {
    let ((closing, halt), (crash, crashes)) = (bounded(0), bounded(1));
    let result = thread::scope(|scope| {
        // A stop calls the hook, and the end of this closure, even by a panic, drops it: `closing`
        // goes either way.
        let _open: OnRequest = stop.on_request(move || drop(closing));
        run(System { scope, halt, stop: stop.clone(), crash, stack: None })
    });
    crashes.try_recv().map_or(result, |crash| Err(crash.into()))
}

impl<'scope> System<'scope, '_> {
    /// A mailbox with room for `capacity` messages, and its address. They are there before the
    /// actor is, so that actors can know each other.
    #[must_use]
    pub fn mailbox<M>(&self, capacity: usize) -> (Address<M>, Mailbox<M>) {
        let (address, messages) = bounded(capacity);
        (Address(address), Mailbox { messages, halt: self.halt.clone() })
    }

    /// The same run, for very many actors, each with a stack of this many bytes.
    #[must_use]
    pub fn small(&self, stack: usize) -> Self {
        Self { stack: Some(stack), ..self.clone() }
    }

    /// Starts an actor that the run cannot do without: if it panics, all are halted, and [`system`]
    /// returns its [`Crash`].
    pub fn spawn(
        &self,
        name: impl Into<String>,
        body: impl FnOnce() -> Result<(), Halted> + Send + 'scope,
    ) -> Result<()> {
        let (name, system) = (name.into(), self.clone());
        self.start(name.clone(), move || {
            // What the panic leaves half-changed was the body's own, and is dropped with it.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(body)) {
                system.escalate(Error::panicked(name, &*panic));
            }
        })
    }

    /// Halts all actors, because one cannot go on that the run cannot do without: [`system`]
    /// returns this error.
    pub fn escalate(&self, error: Error) -> Halted {
        let _ = self.crash.try_send(Crash(error));
        self.stop.request(Cause::Break);
        Halted
    }

    /// Whether the run has ended or was stopped.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.halt.try_recv(), Err(TryRecvError::Disconnected))
    }

    /// Starts an actor that is watched: if it panics, `supervisor` is sent its [`Death`], and its
    /// thread ends. The state is apart from the body, unlike in [`System::spawn`], because it must
    /// survive the panic.
    pub fn watch<S: Send + 'scope>(
        &self,
        name: impl Into<String>,
        mut state: S,
        body: fn(&mut S) -> Result<(), Halted>,
        supervisor: Address<Death<S>>,
    ) -> Result<()> {
        self.start(name, move || {
            // The supervisor is told that the state may be half-changed; no other actor sees it.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(&mut state))) {
                let reason = panic_reason(&*panic);
                let _ = supervisor.send(Death { remains: state, reason });
            }
        })
    }

    /// Starts an actor that no other relies on. A panic, which is reported with its name, ends it
    /// and nothing else.
    pub fn spawn_loose(&self, name: impl Into<String>, body: impl FnOnce() + Send + 'scope) -> Result<()> {
        // No other actor sees what it leaves behind.
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

    /// An actor that adds up what it is sent, and dies of a zero.
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
            let ((adder, numbers), (total, totals)) = (system.mailbox(1), system.mailbox(1));
            let mut state = Adder { numbers, sum: 0, total };
            system.spawn("adder", move || state.add()).expect("started");
            for (number, sum) in [(1, 1), (20, 21), (300, 321)] {
                adder.send(number).expect("it lives");
                assert_eq!(totals.receive(), Ok(sum));
            }
        });
    }

    #[test]
    fn a_death_is_told_with_the_remains_and_a_successor_misses_nothing() {
        run(&Stop::new(), |system| {
            let ((adder, numbers), (total, totals)) = (system.mailbox(3), system.mailbox(3));
            let (supervisor, deaths) = system.mailbox(1);
            for number in [5, 0, 7] {
                adder.send(number).expect("there is room");
            }
            let state = Adder { numbers, sum: 0, total };
            system.watch("adder", state, Adder::add, supervisor.clone()).expect("started");
            let Death { remains, reason } = deaths.receive().expect("told");
            assert!(reason.starts_with("panicked: ") && reason.contains("a zero"), "{reason}");
            assert_eq!(remains.sum, 5);
            system.watch("adder", remains, Adder::add, supervisor).expect("started");
            assert_eq!([totals.receive(), totals.receive()], [Ok(5), Ok(12)]);
        });
    }

    #[test]
    fn a_normal_end_is_no_death() {
        run(&Stop::new(), |system| {
            let (supervisor, deaths) = system.mailbox::<Death<()>>(1);
            system.watch("brief", (), |()| Ok(()), supervisor).expect("started");
            // The last address goes with the actor.
            assert!(deaths.receive().is_err());
        });
    }

    #[test]
    fn a_full_mailbox_holds_the_sender_up() {
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
    fn a_stop_wakes_who_waits_for_a_message_and_who_waits_for_room() {
        let stop = Stop::new();
        let halted = system::<_, Error>(&stop, |system| {
            let ((full, unread), (_nobody, empty)) = (system.mailbox(1), system.mailbox::<()>(1));
            let (told, telling) = bounded(3);
            let (reader, writer) = (told.clone(), told);
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
            let _ = (telling.recv(), telling.recv());
            stop.request(Cause::Test);
            Ok(telling.recv())
        });
        assert_eq!(halted.expect("no actor has panicked"), Ok("halted"));
    }

    #[test]
    fn the_end_of_the_run_halts_those_who_wait() {
        let (ended, ends) = bounded(1);
        run(&Stop::new(), |system| {
            let (_address, mailbox) = system.mailbox::<()>(1);
            system
                .spawn("waiting", move || {
                    let end = mailbox.receive();
                    ended.send(end).expect("room");
                    end
                })
                .expect("started");
        });
        assert_eq!(ends.try_recv(), Ok(Err(Halted)), "it has ended before the system does");
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
    fn a_panic_that_nobody_watches_for_ends_the_run_and_is_its_error() {
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
            let (collator, numbers) = system.mailbox(1);
            let count = move || {
                collator.send(1)?;
                panic!("a bug")
            };
            system.spawn("source", count)?;
            Ok(std::iter::from_fn(|| numbers.receive().ok()).collect())
        });
        assert_eq!(ended.expect_err("an actor has panicked").to_string(), "source: panicked: a bug");
    }
}
