//! What a worker was given and has not answered, and which of it the worker's death counts against.
//!
//! A worker may be killed by the task that it runs, or from outside. So a death counts against a
//! task only if that was the only one in flight. Each task that was in flight at a death is a
//! suspect and is run alone: a task that kills its workers is given up after three deaths, and its
//! neighbours are not.

use std::collections::VecDeque;

/// How many tasks keep a worker busy: the one that it is doing, and one to go on with while the
/// output travels.
pub(crate) const CREDITS: usize = 2;

/// How many deaths a task may have counted against it before it is given up.
pub(crate) const TRIES: u32 = 3;

/// Why a task is given up.
pub(crate) const KILLED: &str = "killed its worker three times";

/// The tasks that an owner has taken from the queue, the first of which its worker was given.
pub(crate) struct InFlight<T> {
    /// In the order in which they were taken, which is the order in which a worker does them.
    attempts: VecDeque<Attempt<T>>,
    /// How many of them the worker has.
    given: usize,
}

struct Attempt<T> {
    task: T,
    deaths: u32,
    is_suspect: bool,
}

impl<T> InFlight<T> {
    pub(crate) fn new() -> Self {
        Self { attempts: VecDeque::with_capacity(CREDITS), given: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// Whether another task may be taken: not while there is a suspect, which must be alone.
    pub(crate) fn has_room(&self) -> bool {
        self.attempts.len() < CREDITS && !self.attempts.iter().any(|attempt| attempt.is_suspect)
    }

    /// Takes a task.
    pub(crate) fn push(&mut self, task: T) {
        self.attempts.push_back(Attempt { task, deaths: 0, is_suspect: false });
    }

    /// The task that the worker may be given next.
    pub(crate) fn next(&self) -> Option<&T> {
        let is_suspect = self.attempts.front()?.is_suspect;
        let limit = if is_suspect { 1 } else { CREDITS };
        (self.given < limit).then(|| self.attempts.get(self.given).map(|attempt| &attempt.task))?
    }

    /// The worker was given the [next](Self::next) task.
    pub(crate) fn give(&mut self) {
        self.given += 1;
    }

    /// The worker has answered: with the output of the first task, as it does them in order.
    ///
    /// # Panics
    ///
    /// If it was given none.
    pub(crate) fn complete(&mut self) -> T {
        self.given = self.given.checked_sub(1).expect("an output is that of a task");
        self.attempts.pop_front().expect("it was given a task").task
    }

    /// The worker is dead: another must be given all of it again. Returns the task that is not to
    /// be tried again.
    pub(crate) fn worker_died(&mut self) -> Option<T> {
        let in_flight = std::mem::take(&mut self.given);
        self.attempts.iter_mut().take(in_flight).for_each(|attempt| attempt.is_suspect = true);
        if in_flight != 1 {
            return None;
        }
        self.attempts[0].deaths += 1;
        if self.attempts[0].deaths < TRIES {
            return None;
        }
        self.attempts.pop_front().map(|attempt| attempt.task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives the worker all that it may be given, and says what that is.
    fn give_all(in_flight: &mut InFlight<char>) -> String {
        let mut given = String::new();
        while let Some(&task) = in_flight.next() {
            in_flight.give();
            given.push(task);
        }
        given
    }

    fn of(tasks: &str) -> InFlight<char> {
        let mut in_flight = InFlight::new();
        tasks.chars().for_each(|task| in_flight.push(task));
        in_flight
    }

    #[test]
    fn a_death_with_several_tasks_in_flight_counts_against_none_and_each_is_run_alone() {
        let mut tasks = of("ab");
        assert_eq!((give_all(&mut tasks), tasks.worker_died()), ("ab".to_owned(), None));
        assert_eq!(give_all(&mut tasks), "a");
        assert!(!tasks.has_room());
        assert_eq!(tasks.complete(), 'a');
        assert_eq!(give_all(&mut tasks), "b");
        assert!(!tasks.has_room());
        assert_eq!(tasks.complete(), 'b');
        assert!(tasks.is_empty() && tasks.has_room());
    }

    #[test]
    fn a_task_that_was_alone_at_three_deaths_is_given_up_and_its_neighbour_is_not() {
        let mut tasks = of("ab");
        give_all(&mut tasks);
        let deaths: Vec<_> = (0..4)
            .map(|_| {
                let given_up = tasks.worker_died();
                give_all(&mut tasks);
                given_up
            })
            .collect();
        assert_eq!(deaths, [None, None, None, Some('a')]);
        assert_eq!(tasks.complete(), 'b');
    }

    #[test]
    fn the_neighbour_of_a_guilty_task_is_not_guilty_wherever_it_stands() {
        let mut tasks = of("ab");
        give_all(&mut tasks);
        // `b` kills its workers; and before it begins, three of them are killed from outside while
        // they do `a`.
        for death in 0..TRIES {
            assert_eq!(tasks.worker_died(), None, "death {death}");
            give_all(&mut tasks);
        }
        assert_eq!(tasks.complete(), 'a');
        give_all(&mut tasks);
        let deaths: Vec<_> = (0..TRIES).map(|_| (tasks.worker_died(), give_all(&mut tasks)).0).collect();
        assert_eq!(deaths, [None, None, Some('b')]);
    }

    #[test]
    fn a_death_before_any_task_is_given_counts_against_none() {
        let mut tasks = of("a");
        for _ in 0..10 {
            assert_eq!(tasks.worker_died(), None);
        }
        assert_eq!(give_all(&mut tasks), "a");
    }

    #[test]
    fn a_task_that_has_survived_makes_room_for_as_many_as_before() {
        let mut tasks = of("ab");
        give_all(&mut tasks);
        assert_eq!(tasks.worker_died(), None);
        for task in "ab".chars() {
            give_all(&mut tasks);
            assert_eq!(tasks.complete(), task);
        }
        "cd".chars().for_each(|task| tasks.push(task));
        assert_eq!(give_all(&mut tasks), "cd");
    }

    /// Random kills and completions: whatever happens, each task comes out once, and is given up
    /// only if it was alone at three deaths.
    #[test]
    fn every_task_comes_out_once_whatever_dies_when() {
        for seed in 0..2000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut tasks, mut next, mut out) = (InFlight::new(), 0, Vec::new());
            let mut alone = [0; 20];
            while out.len() < alone.len() {
                while next < alone.len() && tasks.has_room() && random.bool() {
                    tasks.push(next);
                    next += 1;
                }
                let mut given: Vec<usize> = tasks.attempts.iter().take(tasks.given).map(|a| a.task).collect();
                while let Some(&task) = tasks.next() {
                    tasks.give();
                    given.push(task);
                }
                if random.bool() {
                    if let [only] = given[..] {
                        alone[only] += 1;
                    }
                    let given_up = tasks.worker_died();
                    assert!(given_up.is_none_or(|task| alone[task] == TRIES), "{given_up:?} {alone:?}");
                    out.extend(given_up);
                } else if !given.is_empty() {
                    assert_eq!(tasks.complete(), given[0]);
                    out.push(given[0]);
                }
            }
            assert_eq!(out, (0..alone.len()).collect::<Vec<_>>());
        }
    }
}
