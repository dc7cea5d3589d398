//! Stands in for the workload `grep`, and has the tests of a model's `grep` file.
//!
//! A task is a number. Task 1 leaves a remainder, one task of which leaves a remainder itself. The
//! last task that is fed leaves one too, when `feed` has ended.

use std::{
    collections::VecDeque,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use serde::{Deserialize, Serialize};

use crate::{
    Ctx, Sink,
    error::Result,
    planned_panic, scheduling_point,
    stop::{Cause, Stop},
};

/// The function that a model's file provides.
pub type Run = fn(&Job, &Ctx, &mut dyn Sink<Output>) -> Result<()>;

/// The tasks of a job, in the order of their outputs.
const TASKS: [u32; 10] = [0, 1, 10, 100, 11, 2, 3, 4, 5, 50];
/// The number of tasks from the source, without those of remainders. It is enough to fill every
/// queue.
const FED: u32 = 6;
/// The window: limits the tasks that are begun, or done and not yet emitted.
const WINDOW: usize = 2;

/// The size of tasks, which these tests ignore.
#[derive(Default)]
pub struct Grain {}

/// What the workers are sent before the tasks.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Query {
    /// The directory of relative paths.
    pub base: String,
    /// The task at which a worker panics.
    pub panics: Option<u32>,
    /// The task at which a loader panics.
    pub loader_panics: Option<u32>,
}

impl Query {
    /// Checks the query.
    ///
    /// # Errors
    ///
    /// None.
    pub fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// A job.
#[derive(Default)]
pub struct Job {
    /// What the workers are sent before the tasks.
    pub query: Query,
    /// The task before which the source panics.
    source_panics: Option<u32>,
    /// The number of tasks that the source has made.
    made: Arc<AtomicUsize>,
}

impl Job {
    /// The tasks.
    #[must_use]
    pub fn tasks(&self, _: Grain, stop: &Stop) -> Tasks {
        Tasks { next: 0, panics: self.source_panics, made: self.made.clone(), stop: stop.clone() }
    }

    /// Whether a task of a remainder must be done.
    #[must_use]
    pub fn wants(&self, _: &Task) -> bool {
        true
    }
}

/// The source of the tasks.
pub struct Tasks {
    next: u32,
    panics: Option<u32>,
    made: Arc<AtomicUsize>,
    stop: Stop,
}

impl Iterator for Tasks {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        scheduling_point();
        if self.panics == Some(self.next) {
            planned_panic();
        }
        if self.next == FED || self.stop.requested() {
            return None;
        }
        let task = Task(self.next);
        self.next += 1;
        self.made.fetch_add(1, SeqCst);
        Some(task)
    }
}

/// A task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task(u32);

impl Task {
    /// What an answer to this task may contain.
    #[must_use]
    pub fn scope(&self, _: &Query) -> Scope {
        Scope(self.0)
    }

    /// The output of a task that failed.
    #[must_use]
    pub fn failed(&self, why: &str) -> Output {
        Output { task: self.0, failed: Some(why.to_owned()), remainder: Remainder::default() }
    }
}

/// What an answer to a task may contain.
pub struct Scope(u32);

impl Scope {
    /// Checks that this is the answer to the task.
    ///
    /// # Errors
    ///
    /// If it is not.
    pub fn accepts(&self, output: &Output) -> Result<(), String> {
        if output.task == self.0 { Ok(()) } else { Err("it is of another task".to_owned()) }
    }
}

/// Loads the files of a task that a worker cannot open.
pub struct Loader(Query);

impl Loader {
    /// Makes one for this query.
    #[must_use]
    pub fn new(query: &Query) -> Self {
        Self(query.clone())
    }

    /// Loads a task.
    pub fn load(&mut self, task: Task) -> (Task, Remainder) {
        scheduling_point();
        if self.0.loader_panics == Some(task.0) {
            planned_panic();
        }
        (task, Remainder::default())
    }
}

/// The tasks that are left of a task.
#[derive(Default, Serialize, Deserialize)]
pub struct Remainder(VecDeque<Task>);

impl Extend<Task> for Remainder {
    fn extend<T: IntoIterator<Item = Task>>(&mut self, tasks: T) {
        self.0.extend(tasks);
    }
}

impl Iterator for Remainder {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        self.0.pop_front()
    }
}

/// The output of a task.
#[derive(Serialize, Deserialize)]
pub struct Output {
    task: u32,
    failed: Option<String>,
    /// The tasks that are left of it, to be done in its place.
    pub remainder: Remainder,
}

/// The kernel.
#[derive(Clone)]
pub struct Search(Query);

impl Search {
    /// Makes one for this query.
    ///
    /// # Errors
    ///
    /// None.
    pub fn new(query: &Query) -> Result<Self> {
        Ok(Self(query.clone()))
    }

    /// Sets the files that a worker may open, which are none.
    #[must_use]
    pub fn within(self, (): ()) -> Self {
        self
    }

    /// Does a task.
    pub fn task(&mut self, task: &Task) -> Output {
        scheduling_point();
        if self.0.panics == Some(task.0) {
            planned_panic();
        }
        let remainder: &[u32] = match task.0 {
            1 => &[10, 11],
            10 => &[100],
            5 => &[50],
            _ => &[],
        };
        Output {
            task: task.0,
            failed: None,
            remainder: Remainder(remainder.iter().copied().map(Task).collect()),
        }
    }
}

/// A sink that collects outputs, and compares their number with that of the tasks made.
struct Outputs {
    outputs: Vec<(u32, Option<String>)>,
    made: Arc<AtomicUsize>,
    /// Maximum number of tasks that were made and not emitted.
    most: usize,
    /// The number of outputs after which it returns Break.
    enough: usize,
    /// A thread that starts at the output of this task requests this stop.
    stop: Option<(u32, Stop)>,
}

impl Outputs {
    fn of(job: &Job) -> Self {
        Self { outputs: Vec::new(), made: job.made.clone(), most: 0, enough: usize::MAX, stop: None }
    }

    fn tasks(&self) -> Vec<u32> {
        self.outputs.iter().map(|(task, _)| *task).collect()
    }
}

impl Sink<Output> for Outputs {
    fn push(&mut self, output: Output) -> ControlFlow<()> {
        scheduling_point();
        let emitted = self.outputs.iter().filter(|(task, _)| *task < FED).count();
        self.most = self.most.max(self.made.load(SeqCst) - emitted);
        if let Some((_, stop)) = self.stop.take_if(|(task, _)| *task == output.task) {
            shuttle::thread::spawn(move || stop.request(Cause::Test));
        }
        self.outputs.push((output.task, output.failed));
        if self.outputs.len() < self.enough { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

fn ctx() -> Ctx {
    Ctx::with_window(2, WINDOW)
}

/// Every output comes once and in order. At most the window and `in_hand` tasks are between the
/// source and the sink.
pub fn outputs_come_in_order_and_bounded(run: Run, in_hand: usize) {
    let job = Job::default();
    let mut outputs = Outputs::of(&job);
    run(&job, &ctx(), &mut outputs).expect("no task has failed");
    assert_eq!(outputs.tasks(), TASKS);
    assert!(outputs.most <= WINDOW + in_hand, "{} tasks were between feed and gather", outputs.most);
}

/// A stop at any moment ends the run, and the outputs are a prefix of all.
pub fn a_stop_ends_the_run(run: Run) {
    let (job, ctx) = (Job::default(), ctx());
    let mut outputs = Outputs::of(&job);
    let stop = ctx.stop.clone();
    let stops = shuttle::thread::spawn(move || stop.request(Cause::Test));
    run(&job, &ctx, &mut outputs).expect("a stop is no error");
    assert!(TASKS.starts_with(&outputs.tasks()), "{:?}", outputs.tasks());
    stops.join().expect("it has not failed");
}

/// A stop ends the run also while a remainder is being handed out and a worker is about to take a
/// task.
pub fn a_stop_within_a_rest_ends_the_run(run: Run) {
    let (job, ctx) = (Job::default(), Ctx::with_window(1, WINDOW));
    let mut outputs = Outputs { stop: Some((1, ctx.stop.clone())), ..Outputs::of(&job) };
    run(&job, &ctx, &mut outputs).expect("a stop is no error");
    assert!(TASKS.starts_with(&outputs.tasks()), "{:?}", outputs.tasks());
}

/// A Break ends the run, and the sink is given nothing more.
pub fn a_sink_that_has_enough_ends_the_run(run: Run) {
    let (job, ctx) = (Job::default(), ctx());
    let mut outputs = Outputs { enough: 3, ..Outputs::of(&job) };
    run(&job, &ctx, &mut outputs).expect("it is no error");
    assert_eq!(outputs.tasks(), TASKS[..3]);
    assert_eq!(ctx.stop.cause(), Some(Cause::Break));
}

/// The task at which a worker panics or dies.
pub const DEADLY: Task = Task(11);

/// A task that panics is a failed output at its place, and the other tasks are done.
pub fn a_panic_is_its_tasks_output(run: Run, why: &str) {
    one_task_fails(
        run,
        &Job { query: Query { panics: Some(DEADLY.0), ..Query::default() }, ..Job::default() },
        why,
    );
}

/// A task that is given up is a failed output too; the test decides what its workers do with
/// [`DEADLY`].
pub fn a_task_is_given_up(run: Run, why: &str) {
    one_task_fails(run, &Job::default(), why);
}

fn one_task_fails(run: Run, job: &Job, why: &str) {
    let mut outputs = Outputs::of(job);
    run(job, &ctx(), &mut outputs).expect("a failed task is no error of the run");
    assert_eq!(outputs.tasks(), TASKS);
    for (task, failed) in outputs.outputs {
        assert_eq!(failed.as_deref(), (task == DEADLY.0).then_some(why));
    }
}

/// A panic of the source ends the run with an error that names it. It must not look like the end of
/// the input.
pub fn a_panic_of_the_source_is_the_runs_error(run: Run, name: &str) {
    a_thread_panics(run, &Job { source_panics: Some(2), ..Job::default() }, &ctx(), name);
}

/// So does a panic of a loader, also while the run waits for a remainder that the same thread would
/// load.
pub fn a_panic_of_a_loader_is_the_runs_error(run: Run, name: &str) {
    let query = Query { loader_panics: Some(2), ..Query::default() };
    a_thread_panics(run, &Job { query, ..Job::default() }, &Ctx::with_window(1, WINDOW), name);
}

fn a_thread_panics(run: Run, job: &Job, ctx: &Ctx, name: &str) {
    let mut outputs = Outputs::of(job);
    let error = run(job, ctx, &mut outputs).expect_err("a thread has panicked");
    assert_eq!(error.to_string(), format!("{name}: panicked: planned"));
    assert!(TASKS.starts_with(&outputs.tasks()), "{:?}", outputs.tasks());
}
