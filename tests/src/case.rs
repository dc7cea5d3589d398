//! A case: one thing that a model is asked to do.

use crate::subject::{Subject, Workers};

/// One thing that a model is asked to do.
pub struct Case {
    /// The last part of the test's name.
    pub name: String,
    /// Runs the case, and panics if the model gets it wrong. It is called in a process of its own.
    pub run: Box<dyn Fn(&Subject)>,
    /// Which models the case is for.
    pub needs: Needs,
    /// Returns why this machine cannot run the case, or `None` if it can.
    pub missing: fn() -> Option<&'static str>,
    /// Where it runs only with `--ignored`.
    pub long: Long,
    /// Whether the case checks something that a model's options change.
    pub is_about_options: bool,
}

/// Where a case runs only with `--ignored`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Long {
    /// In no model: an ordinary test run includes the case.
    Nowhere,
    /// In every model except the reference. For cases that only a kernel can get wrong: other cases
    /// compare each model with the reference.
    InModels,
    /// In every model, because the case takes long.
    Everywhere,
}

/// What a case needs of a model.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Any model.
    Nothing,
    /// Workers that are processes. In other models a signal or an abort would end the caller too.
    Processes,
    /// Workers that are processes, and whose silence is noticed: one that hangs is replaced.
    Watched,
    /// Workers that are processes, whose silence is not noticed.
    Unwatched,
    /// Workers that are threads of the caller's process.
    OneProcess,
    /// The model is the reference.
    Reference,
    /// A known number of threads.
    CountedThreads,
    /// Servers that refuse to start with more workers than they can have.
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

    /// Restricts the case to models that meet these needs.
    #[must_use]
    pub fn needs(self, needs: Needs) -> Self {
        Self { needs, ..self }
    }

    /// Skips the case, and says why, on a machine where `missing` returns a reason.
    #[must_use]
    pub fn unless(self, missing: fn() -> Option<&'static str>) -> Self {
        Self { missing, ..self }
    }

    /// Runs the case only with `--ignored`.
    #[must_use]
    pub fn long(self) -> Self {
        Self { long: Long::Everywhere, ..self }
    }

    /// Runs the case only with `--ignored`, except in the reference.
    #[must_use]
    pub fn long_in_models(self) -> Self {
        Self { long: Long::InModels, ..self }
    }

    /// Marks a case that checks something that a model's options change. A model that is tested
    /// once more with options runs its other cases only with `--ignored`.
    #[must_use]
    pub fn about_options(self) -> Self {
        Self { is_about_options: true, ..self }
    }

    /// Whether the case runs only with `--ignored` in this model.
    #[must_use]
    pub fn is_long(&self, subject: &Subject) -> bool {
        match self.long {
            Long::Nowhere => subject.is_retest && !self.is_about_options,
            Long::InModels => !subject.facts.is_reference,
            Long::Everywhere => true,
        }
    }

    /// Whether the case is for this model.
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
