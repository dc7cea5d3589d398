//! The kernel.

use super::{Output, Task, View};

/// What computes tiles of a view. One serves any number of threads.
#[derive(Clone, Debug)]
pub struct Plane {
    view: View,
}

impl Plane {
    /// Gets ready for a view.
    #[must_use]
    pub fn new(view: &View) -> Self {
        Self { view: view.clone() }
    }

    /// Does a task.
    #[must_use]
    pub fn task(&self, task: &Task) -> Output {
        let _ = &self.view;
        task.failed("not written yet")
    }
}
