//! Supervision: a worker that panics is reported and replaced.
//!
//! Let it crash: a [`Worker`] has no code for its own bugs. A panic ends its thread, and all that
//! it owned goes to its [`Supervisor`] as a message, a [`Death`]. The supervisor reports the task
//! in hand as failed and starts a successor on the same mailbox. Senders keep their addresses, so
//! no other actor has code for a failure.
//!
//! - **Strategy.** One for one: workers share nothing, so the death of one says nothing about the
//!   others.
//! - **State.** The successor takes over what the panic cannot have changed: the number, the
//!   mailbox and the addresses. It gets a fresh kernel.
//! - **Intensity.** Restarts are not limited: each death costs a task, and tasks are finite.
//! - **Escalation.** A worker that cannot be replaced ends the run with that error, since the tasks
//!   in its mailbox would never be done.

use cc_workloads::Result;

use crate::actor::{Address, Death, Halted, Mailbox, System};

/// What a supervised worker owns: apart from its body, so that it survives a panic.
pub struct Worker<K, M, A, T = M> {
    /// Its number, by which a sender of tasks finds its address.
    pub id: usize,
    /// Does the tasks.
    pub kernel: K,
    /// Tasks that it has been sent.
    pub mailbox: Mailbox<M>,
    /// The task that the kernel is doing, or what is needed to report it.
    pub in_hand: Option<T>,
    /// Where it sends its requests and outputs.
    pub to: A,
}

/// Receives tasks and sends their outputs, until the worker is halted.
pub type Work<W> = fn(&mut W) -> Result<(), Halted>;

/// Reports the task that a worker had in hand when it panicked for this reason.
pub type ReportFailure<W, T> = fn(&W, T, &str) -> Result<(), Halted>;

/// How the workers of a supervisor are started, at first and after a panic.
pub struct ChildSpec<F, K, M, A, T = M> {
    /// The workers' name, to which each adds its number.
    pub name: &'static str,
    /// Maximum tasks in a worker's mailbox.
    pub capacity: usize,
    /// Where every worker sends its requests and outputs.
    pub to: A,
    /// Makes a worker's kernel.
    pub kernel: F,
    /// A worker's life. Its first request for a task is not made here but where it is started,
    /// since a restarted worker would make it twice.
    pub work: Work<Worker<K, M, A, T>>,
    /// What becomes of the task in hand after a panic.
    pub report_failure: ReportFailure<Worker<K, M, A, T>, T>,
}

/// The actor that starts a run's workers, and learns of their deaths.
pub struct Supervisor<'scope, 'env, F, K, M, A, T = M> {
    system: System<'scope, 'env>,
    children: ChildSpec<F, K, M, A, T>,
    /// Its own address, for each worker that it starts.
    address: Address<Death<Worker<K, M, A, T>>>,
    deaths: Mailbox<Death<Worker<K, M, A, T>>>,
}

impl<'scope, 'env, F, K, M, A, T> Supervisor<'scope, 'env, F, K, M, A, T>
where
    F: Fn() -> Result<K>,
    K: Send + 'scope,
    M: Send + 'scope,
    A: Clone + Send + 'scope,
    T: Send + 'scope,
{
    /// A supervisor. Its mailbox has room for `capacity` deaths.
    #[must_use]
    pub fn new(system: &System<'scope, 'env>, capacity: usize, children: ChildSpec<F, K, M, A, T>) -> Self {
        let (address, deaths) = system.mailbox(capacity);
        Self { system: system.clone(), children, address, deaths }
    }

    /// Starts the worker with this number.
    ///
    /// # Errors
    ///
    /// If there can be no kernel or no thread for it.
    pub fn start(&self, id: usize) -> Result<Address<M>> {
        let kernel = (self.children.kernel)()?;
        let (address, mailbox) = self.system.mailbox(self.children.capacity);
        self.watch(Worker { id, kernel, mailbox, in_hand: None, to: self.children.to.clone() })?;
        Ok(address)
    }

    /// Starts `count` workers, with numbers from 0 on.
    ///
    /// # Errors
    ///
    /// That of the first that cannot be started.
    pub fn start_all(&self, count: usize) -> Result<Vec<Address<M>>> {
        (0..count).map(|id| self.start(id)).collect()
    }

    /// The supervisor's life: reports what each death has cost, and restarts the worker.
    pub fn supervise(self) -> Result<(), Halted> {
        loop {
            let Death { mut remains, reason } = self.deaths.receive()?;
            if let Some(task) = remains.in_hand.take() {
                (self.children.report_failure)(&remains, task, &reason)?;
            }
            if let Err(error) = self.restart(remains) {
                // A run that is over needs no successor.
                return Err(if self.system.is_over() { Halted } else { self.system.escalate(error) });
            }
        }
    }

    /// Starts a successor on the mailbox of a worker that has panicked.
    fn restart(&self, remains: Worker<K, M, A, T>) -> Result<()> {
        // The panic may have left the old kernel half-changed.
        let kernel = (self.children.kernel)()?;
        self.watch(Worker { kernel, ..remains })
    }

    fn watch(&self, worker: Worker<K, M, A, T>) -> Result<()> {
        let name = format!("{}-{}", self.children.name, worker.id);
        self.system.watch(name, worker, self.children.work, self.address.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use cc_workloads::{Error, Stop};

    use super::*;
    use crate::actor::system;

    /// Adds up what it is sent, and panics of a zero.
    type Adder = Worker<u32, u32, Address<String>>;

    fn work(adder: &mut Adder) -> Result<(), Halted> {
        loop {
            let number = *adder.in_hand.insert(adder.mailbox.receive()?);
            assert_ne!(number, 0, "a zero");
            adder.kernel += number;
            adder.in_hand = None;
            adder.to.send(format!("{}: {}", adder.id, adder.kernel))?;
        }
    }

    fn report_failure(adder: &Adder, number: u32, reason: &str) -> Result<(), Halted> {
        adder.to.send(format!("{}: {number} {reason}", adder.id))
    }

    /// What two adders, of which one is sent these numbers, report. `kernels` of them can be made.
    fn reports(numbers: &[u32], kernels: usize) -> Result<Vec<String>> {
        let made = AtomicUsize::new(0);
        system(&Stop::new(), |system| {
            let (to, reports) = system.mailbox(numbers.len());
            let kernel = || {
                let is_enough = made.fetch_add(1, SeqCst) >= kernels;
                if is_enough { Err(Error::Failed("no kernel".to_owned())) } else { Ok(0) }
            };
            let capacity = numbers.len();
            let children = ChildSpec { name: "adder", capacity, to, kernel, work, report_failure };
            let supervisor = Supervisor::new(&system, 2, children);
            let (adder, _idle) = (supervisor.start(1)?, supervisor.start(2)?);
            system.spawn("supervisor", move || supervisor.supervise())?;
            for number in numbers {
                adder.send(*number).expect("there is room");
            }
            Ok(numbers.iter().map_while(|_| reports.receive().ok()).collect())
        })
    }

    #[test]
    fn a_death_is_reported_and_a_successor_with_a_fresh_kernel_misses_nothing() {
        let reports = reports(&[5, 6, 0, 7, 0, 0, 8], 5).expect("there are kernels");
        assert_eq!([&*reports[0], &reports[1], &reports[3], &reports[6]], ["1: 5", "1: 11", "1: 7", "1: 8"]);
        for failed in [2, 4, 5] {
            let text = &reports[failed];
            assert!(text.starts_with("1: 0 panicked: ") && text.contains("a zero"), "{text}");
        }
    }

    #[test]
    fn a_worker_that_cannot_be_replaced_ends_the_run() {
        let ended = reports(&[5, 0, 7], 2);
        assert_eq!(ended.expect_err("there is no third kernel").to_string(), "no kernel");
    }

    #[test]
    fn a_worker_that_cannot_be_started_is_the_runs_error() {
        assert_eq!(reports(&[5], 1).expect_err("there is no second kernel").to_string(), "no kernel");
    }
}
