//! The cases of `grep`.

mod bounds;
mod fails;
mod files;
mod flags;
pub(crate) mod mutants;
mod random;
mod stdin;
mod stops;

use cc_conformance::subject::{Subject, Workers};

/// What a model is asked to do.
pub(crate) struct Case {
    /// Its part of the test's name.
    pub(crate) name: String,
    /// Does it, and panics if the model gets it wrong. In a process of its own.
    pub(crate) run: Box<dyn Fn(&Subject)>,
    /// What it needs.
    pub(crate) needs: Needs,
    /// Whether it takes long, and runs only with `--ignored`.
    pub(crate) long: bool,
}

/// What a case needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Any model.
    Nothing,
    /// GNU grep to compare with; skipped aloud if there is none.
    Gnu,
    /// Workers that are processes: a signal or an abort would end the caller otherwise.
    Processes,
    /// Workers whose silence is noticed.
    Watched,
    /// A model whose threads are known by number.
    CountedThreads,
}

impl Case {
    fn new(name: impl Into<String>, run: impl Fn(&Subject) + 'static) -> Self {
        Self { name: name.into(), run: Box::new(run), needs: Needs::Nothing, long: false }
    }

    fn needs(self, needs: Needs) -> Self {
        Self { needs, ..self }
    }

    fn long(self) -> Self {
        Self { long: true, ..self }
    }

    /// Whether it is for this model.
    pub(crate) fn applies(&self, subject: &Subject) -> bool {
        match self.needs {
            Needs::Nothing | Needs::Gnu => true,
            Needs::Processes => subject.workers.are_processes(),
            Needs::Watched => subject.workers == Workers::Watched,
            Needs::CountedThreads => bounds::threads_of(subject.name, 2).is_some(),
        }
    }
}

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    let modules = [flags::cases, files::cases, stdin::cases, random::cases];
    let modules = modules.into_iter().chain([stops::cases, fails::cases, bounds::cases]);
    modules.flat_map(|cases| cases()).collect()
}
