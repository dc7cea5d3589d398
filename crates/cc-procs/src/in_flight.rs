//! The tasks in flight to one worker, and which of them its death counts against.
//!
//! A worker may be killed by the task that it runs, or from outside. So a death counts against a
//! task only if no other was in flight. All tasks that were in flight at a death are *suspects*,
//! and each of them is run alone (quarantine). A task that was alone in flight at three deaths is
//! given up. So no task is given up for deaths that the other task in flight has caused.

use std::collections::VecDeque;

/// Maximum tasks in flight per worker: the one that it runs, and one that it begins while the
/// output of the first travels.
pub(crate) const IN_FLIGHT: usize = 2;

/// Maximum deaths that are counted against a task; at this number it is given up.
pub(crate) const MAX_DEATHS: u32 = 3;

/// The reason for which a task is given up: the three deaths while it was alone in flight.
pub(crate) const KILLED: &str = "killed its worker three times";

/// The tasks that an owner has taken from the queues. The worker has been sent the first `sent` of
/// them.
pub(crate) struct InFlight<T> {
    /// In the order in which they were taken. A worker does them in this order.
    attempts: VecDeque<Attempt<T>>,
    /// Number of the attempts that this worker has been sent. After a death it is zero, although
    /// there may be attempts: those of the dead worker, which its successor is sent again.
    sent: usize,
}

struct Attempt<T> {
    task: T,
    deaths: u32,
    is_suspect: bool,
}

impl<T> InFlight<T> {
    pub(crate) fn new() -> Self {
        Self { attempts: VecDeque::with_capacity(IN_FLIGHT), sent: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// Whether another task may be taken. While there is a suspect, none may: it must run alone.
    pub(crate) fn has_room(&self) -> bool {
        self.attempts.len() < IN_FLIGHT && !self.attempts.iter().any(|attempt| attempt.is_suspect)
    }

    /// Adds a task.
    pub(crate) fn push(&mut self, task: T) {
        self.attempts.push_back(Attempt { task, deaths: 0, is_suspect: false });
    }

    /// The task that the worker may be sent next.
    pub(crate) fn next(&self) -> Option<&T> {
        let is_suspect = self.attempts.front()?.is_suspect;
        let limit = if is_suspect { 1 } else { IN_FLIGHT };
        (self.sent < limit).then(|| self.attempts.get(self.sent).map(|attempt| &attempt.task))?
    }

    /// The worker has been sent the [next](Self::next) task.
    pub(crate) fn mark_sent(&mut self) {
        self.sent += 1;
    }

    /// The worker has sent an output. It is that of the first task, since a worker does its tasks
    /// in order.
    ///
    /// # Panics
    ///
    /// If the worker has been sent no task.
    pub(crate) fn complete(&mut self) -> T {
        self.sent = self.sent.checked_sub(1).expect("an output follows a task");
        self.attempts.pop_front().expect("it was sent a task").task
    }

    /// The worker is dead, and its successor must be sent all tasks again. Returns the task that is
    /// given up, if one is.
    pub(crate) fn on_worker_death(&mut self) -> Option<T> {
        let sent = std::mem::take(&mut self.sent);
        for attempt in self.attempts.iter_mut().take(sent) {
            attempt.is_suspect = true;
        }
        if sent != 1 {
            return None;
        }
        self.attempts[0].deaths += 1;
        if self.attempts[0].deaths < MAX_DEATHS {
            return None;
        }
        self.attempts.pop_front().map(|attempt| attempt.task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends the worker all tasks that it may be sent, and returns them.
    fn send_all(in_flight: &mut InFlight<char>) -> String {
        let mut sent = String::new();
        while let Some(&task) = in_flight.next() {
            in_flight.mark_sent();
            sent.push(task);
        }
        sent
    }

    fn of(tasks: &str) -> InFlight<char> {
        let mut in_flight = InFlight::new();
        tasks.chars().for_each(|task| in_flight.push(task));
        in_flight
    }

    #[test]
    fn a_death_with_several_tasks_in_flight_counts_against_none_and_each_is_run_alone() {
        let mut tasks = of("ab");
        assert_eq!((send_all(&mut tasks), tasks.on_worker_death()), ("ab".to_owned(), None));
        assert_eq!(send_all(&mut tasks), "a");
        assert!(!tasks.has_room());
        assert_eq!(tasks.complete(), 'a');
        assert_eq!(send_all(&mut tasks), "b");
        assert!(!tasks.has_room());
        assert_eq!(tasks.complete(), 'b');
        assert!(tasks.is_empty() && tasks.has_room());
    }

    #[test]
    fn a_task_that_was_alone_at_three_deaths_is_given_up_and_its_neighbour_is_not() {
        let mut tasks = of("ab");
        send_all(&mut tasks);
        let deaths: Vec<_> = (0..4)
            .map(|_| {
                let given_up = tasks.on_worker_death();
                send_all(&mut tasks);
                given_up
            })
            .collect();
        assert_eq!(deaths, [None, None, None, Some('a')]);
        assert_eq!(tasks.complete(), 'b');
    }

    #[test]
    fn a_task_beside_the_one_that_kills_is_not_given_up_in_either_order() {
        let mut tasks = of("ab");
        send_all(&mut tasks);
        // Three workers are killed from outside while they do `a`. After that, `b` kills its
        // workers.
        for death in 0..MAX_DEATHS {
            assert_eq!(tasks.on_worker_death(), None, "death {death}");
            send_all(&mut tasks);
        }
        assert_eq!(tasks.complete(), 'a');
        send_all(&mut tasks);
        let deaths: Vec<_> =
            (0..MAX_DEATHS).map(|_| (tasks.on_worker_death(), send_all(&mut tasks)).0).collect();
        assert_eq!(deaths, [None, None, Some('b')]);
    }

    #[test]
    fn a_death_before_any_task_is_sent_counts_against_none() {
        let mut tasks = of("a");
        for _ in 0..10 {
            assert_eq!(tasks.on_worker_death(), None);
        }
        assert_eq!(send_all(&mut tasks), "a");
    }

    #[test]
    fn after_the_suspects_as_many_tasks_are_in_flight_as_before() {
        let mut tasks = of("ab");
        send_all(&mut tasks);
        assert_eq!(tasks.on_worker_death(), None);
        for task in "ab".chars() {
            send_all(&mut tasks);
            assert_eq!(tasks.complete(), task);
        }
        "cd".chars().for_each(|task| tasks.push(task));
        assert_eq!(send_all(&mut tasks), "cd");
    }

    /// With random deaths and completions, each task comes out once, and is given up only if it was
    /// alone at three deaths.
    #[test]
    fn every_task_comes_out_once_with_random_deaths() {
        for seed in 0..2000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut tasks, mut next, mut out) = (InFlight::new(), 0, Vec::new());
            let mut alone = [0; 20];
            while out.len() < alone.len() {
                while next < alone.len() && tasks.has_room() && random.bool() {
                    tasks.push(next);
                    next += 1;
                }
                let mut sent: Vec<usize> = tasks.attempts.iter().take(tasks.sent).map(|a| a.task).collect();
                while let Some(&task) = tasks.next() {
                    tasks.mark_sent();
                    sent.push(task);
                }
                if random.bool() {
                    if let [only] = sent[..] {
                        alone[only] += 1;
                    }
                    let given_up = tasks.on_worker_death();
                    assert!(given_up.is_none_or(|task| alone[task] == MAX_DEATHS), "{given_up:?} {alone:?}");
                    out.extend(given_up);
                } else if !sent.is_empty() {
                    assert_eq!(tasks.complete(), sent[0]);
                    out.push(sent[0]);
                }
            }
            assert_eq!(out, (0..alone.len()).collect::<Vec<_>>());
        }
    }
}
