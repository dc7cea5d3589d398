//! What a model is asked to do.

use crate::subject::{Subject, Workers};

/// One thing that a model is asked to do.
pub struct Case {
    /// Its part of the test's name.
    pub name: String,
    /// Does it, and panics if the model gets it wrong. In a process of its own.
    pub run: Box<dyn Fn(&Subject)>,
    /// Which models it is for.
    pub needs: Needs,
    /// Says why this machine cannot do it, if it cannot.
    pub missing: fn() -> Option<&'static str>,
    /// Whether it takes long, and runs only with `--ignored`.
    pub long: bool,
}

/// What a case needs of a model.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Any model.
    Nothing,
    /// Workers that are processes: a signal or an abort would end the caller otherwise.
    Processes,
    /// The same, and their silence is noticed.
    Watched,
    /// Workers that are processes, whose silence is not noticed.
    Unwatched,
    /// Workers in this process.
    OneProcess,
    /// To be the reference.
    Reference,
    /// Threads whose number is known.
    CountedThreads,
    /// Servers that refuse more workers than they can have.
    LimitedWorkers,
}

impl Case {
    /// A case for any model.
    pub fn new(name: impl Into<String>, run: impl Fn(&Subject) + 'static) -> Self {
        Self { name: name.into(), run: Box::new(run), needs: Needs::Nothing, missing: || None, long: false }
    }

    /// For those models only.
    #[must_use]
    pub fn needs(self, needs: Needs) -> Self {
        Self { needs, ..self }
    }

    /// Skipped, aloud, where something is missing.
    #[must_use]
    pub fn unless(self, missing: fn() -> Option<&'static str>) -> Self {
        Self { missing, ..self }
    }

    /// Only with `--ignored`.
    #[must_use]
    pub fn long(self) -> Self {
        Self { long: true, ..self }
    }

    /// Whether it is for this model.
    #[must_use]
    pub fn applies(&self, subject: &Subject) -> bool {
        let facts = &subject.facts;
        match self.needs {
            Needs::Nothing => true,
            Needs::Processes => facts.workers.are_processes(),
            Needs::Watched => facts.workers == Workers::Watched,
            Needs::Unwatched => facts.workers == Workers::Processes,
            Needs::OneProcess => facts.workers == Workers::Threads,
            Needs::Reference => facts.is_reference,
            Needs::CountedThreads => facts.threads.is_some(),
            Needs::LimitedWorkers => facts.limits_workers,
        }
    }
}
