//! Supervision: a worker that panics is reported and replaced.
//!
//! Let it crash: a [`Worker`] has no code for its own bugs. A panic ends its thread, and all that
//! it owned goes to its [`Supervisor`] as a message, a [`Death`]. The supervisor reports the task
//! that the worker was running as failed, and starts a successor on the same mailbox. Senders keep
//! their addresses, so none of them notices the death. In some workloads another actor then submits
//! the parts of the failed task.
//!
//! - **Strategy.** One for one: workers share nothing, so the death of one says nothing about the
//!   others.
//! - **State.** The successor takes over what the panic cannot have changed: the number, the
//!   mailbox and the addresses. It gets a new kernel.
//! - **Intensity.** Restarts are not limited: the task that caused a death is not given to the
//!   successor.
//! - **Escalation.** A worker that cannot be replaced ends the run with that error, since the tasks
//!   in its mailbox would never be done.

use cc_workloads::Result;

use crate::actor::{Address, Death, Halted, Mailbox, System};

/// What a supervised worker owns. It is kept outside of the worker's function, so that it survives
/// a panic.
pub struct Worker<K, M, A, T = M> {
    /// Its number, by which a sender of tasks finds its address.
    pub id: usize,
    /// Does the tasks.
    pub kernel: K,
    /// Tasks that it has been sent.
    pub mailbox: Mailbox<M>,
    /// The task that the kernel is doing, or what is needed to report it.
    pub current: Option<T>,
    /// The addresses to which it sends its requests and outputs.
    pub to: A,
}

/// Receives tasks and sends their outputs, until the worker is halted.
pub type Work<W> = fn(&mut W) -> Result<(), Halted>;

/// Reports the task that a worker was running when it panicked for this reason.
pub type ReportFailure<W, T> = fn(&W, T, &str) -> Result<(), Halted>;

/// How the workers of a supervisor are started, at first and after a panic.
pub struct ChildSpec<F, K, M, A, T = M> {
    /// The workers' name, to which each adds its number.
    pub name: &'static str,
    /// Maximum tasks in a worker's mailbox.
    pub capacity: usize,
    /// The addresses to which every worker sends its requests and outputs.
    pub to: A,
    /// Makes a worker's kernel.
    pub kernel: F,
    /// What a worker does. It does not make the worker's first request for a task, which is made
    /// where the worker is first started: a restarted worker would make it twice.
    pub work: Work<Worker<K, M, A, T>>,
    /// Reports the task that a worker was running when it panicked.
    pub report_failure: ReportFailure<Worker<K, M, A, T>, T>,
}

/// The actor that starts a run's workers, and is sent their deaths.
pub struct Supervisor<'scope, 'env, F, K, M, A, T = M> {
    system: System<'scope, 'env>,
    children: ChildSpec<F, K, M, A, T>,
    /// Its own address, to which a worker that it starts sends its death.
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
    /// A supervisor whose mailbox has room for `capacity` deaths.
    #[must_use]
    pub fn new(system: &System<'scope, 'env>, capacity: usize, children: ChildSpec<F, K, M, A, T>) -> Self {
        let (address, deaths) = system.mailbox(capacity);
        Self { system: system.clone(), children, address, deaths }
    }

    /// Starts the worker with this number.
    ///
    /// # Errors
    ///
    /// If its kernel cannot be made, or the system refuses a thread.
    pub fn start(&self, id: usize) -> Result<Address<M>> {
        let kernel = (self.children.kernel)()?;
        let (address, mailbox) = self.system.mailbox(self.children.capacity);
        self.watch(Worker { id, kernel, mailbox, current: None, to: self.children.to.clone() })?;
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

    /// For each death, reports the task that the worker was running, and starts a successor.
    pub fn supervise(self) -> Result<(), Halted> {
        loop {
            let Death { state: mut worker, reason } = self.deaths.receive()?;
            if let Some(task) = worker.current.take() {
                (self.children.report_failure)(&worker, task, &reason)?;
            }
            if let Err(error) = self.restart(worker) {
                // A run that is over needs no successor.
                return Err(if self.system.is_over() { Halted } else { self.system.escalate(error) });
            }
        }
    }

    /// Starts a successor on the mailbox of a worker that has panicked.
    fn restart(&self, dead: Worker<K, M, A, T>) -> Result<()> {
        // The panic may have left the old kernel inconsistent.
        let kernel = (self.children.kernel)()?;
        self.watch(Worker { kernel, ..dead })
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

    /// Adds up the numbers that it is sent, and panics on a zero.
    type Adder = Worker<u32, u32, Address<String>>;

    fn work(adder: &mut Adder) -> Result<(), Halted> {
        loop {
            let number = *adder.current.insert(adder.mailbox.receive()?);
            assert_ne!(number, 0, "a zero");
            adder.kernel += number;
            adder.current = None;
            adder.to.send(format!("{}: {}", adder.id, adder.kernel))?;
        }
    }

    fn report_failure(adder: &Adder, number: u32, reason: &str) -> Result<(), Halted> {
        adder.to.send(format!("{}: {number} {reason}", adder.id))
    }

    /// The reports of two adders, one of which is sent these numbers. Only `kernels` kernels can be
    /// made.
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
            let adder = supervisor.start(1)?;
            let _idle = supervisor.start(2)?;
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
        let result = reports(&[5, 0, 7], 2);
        assert_eq!(result.expect_err("there is no third kernel").to_string(), "no kernel");
    }

    #[test]
    fn a_worker_that_cannot_be_started_is_the_runs_error() {
        assert_eq!(reports(&[5], 1).expect_err("there is no second kernel").to_string(), "no kernel");
    }
}
