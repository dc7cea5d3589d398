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
    /// Where it runs only with `--ignored`.
    pub long: Long,
    /// Whether it is about what a model's options change.
    pub is_about_options: bool,
}

/// Where a case runs only with `--ignored`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Long {
    /// Nowhere.
    Nowhere,
    /// In every model but the reference: other cases compare each model with that.
    InModels,
    /// Everywhere, since it takes long.
    Everywhere,
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
        let name = name.into();
        Self {
            name,
            run: Box::new(run),
            needs: Needs::Nothing,
            missing: || None,
            long: Long::Nowhere,
            is_about_options: false,
        }
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
        Self { long: Long::Everywhere, ..self }
    }

    /// Only with `--ignored`, but for the reference.
    #[must_use]
    pub fn long_in_models(self) -> Self {
        Self { long: Long::InModels, ..self }
    }

    /// It is about what a model's options change: a model that is tested once more, with options,
    /// does the others only with `--ignored`.
    #[must_use]
    pub fn about_options(self) -> Self {
        Self { is_about_options: true, ..self }
    }

    /// Whether this model does it only with `--ignored`.
    #[must_use]
    pub fn is_long(&self, subject: &Subject) -> bool {
        match self.long {
            Long::Nowhere => subject.is_retest && !self.is_about_options,
            Long::InModels => !subject.facts.is_reference,
            Long::Everywhere => true,
        }
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
