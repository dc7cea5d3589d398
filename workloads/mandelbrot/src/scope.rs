//! Whether an output belongs to a task.
//!
//! A worker on another machine is another program, perhaps another's. What it answers is checked
//! against the task that it was sent before any of it is used: a tile's number is a place in the
//! picture, and the counts of a tile fill it.

use super::{Output, Task, View, picture::COUNT};

/// What a task covers. See [`Task::scope`].
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    task: Task,
    pixels: usize,
    max_iter: u32,
}

impl Task {
    /// What an output of this task, which must be of this view, may speak of.
    #[must_use]
    pub fn scope(&self, view: &View) -> Scope {
        let tiles = self.first..self.first + u64::from(self.tiles);
        let pixels = tiles.map(|number| view.tile(number).pixels()).sum();
        Scope { task: *self, pixels, max_iter: view.max_iter }
    }
}

impl Scope {
    /// Checks that the output is one of this task.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words that quote no text from outside.
    pub fn accepts(&self, output: &Output) -> Result<(), String> {
        if output.task != self.task {
            return Err("it is of other tiles than the task".to_owned());
        }
        let Ok(counts) = &output.counts else { return Ok(()) };
        if counts.len() != self.pixels * COUNT {
            return Err("its counts do not fill the tiles of the task".to_owned());
        }
        let count = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        if counts.chunks_exact(COUNT).map(count).max() > Some(self.max_iter) {
            return Err("a count is higher than any can be".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use serde_bytes::ByteBuf;

    use super::*;
    use cc_core::stop::Stop;

    use crate::{Grain, Job, Plane};

    fn view() -> View {
        let size = |n| NonZeroU32::new(n).unwrap();
        View { max_iter: 50, ..View::new(size(33), size(21)) }
    }

    #[test]
    fn true_outputs_are_accepted() {
        let view = view();
        let plane = Plane::new(&view, &Stop::new());
        for pixels in [1, 132, 500, 1 << 20] {
            for task in Job::new(view.clone()).tasks(Grain { pixels }) {
                assert_eq!(task.scope(&view).accepts(&plane.task(&task).unwrap()), Ok(()));
                assert_eq!(task.scope(&view).accepts(&task.failed("why")), Ok(()));
            }
        }
    }

    #[test]
    fn an_output_is_of_the_tiles_of_its_task_and_fills_them() {
        let view = view();
        let task = Task { first: 1, tiles: 2 };
        let (scope, truth) = (task.scope(&view), Plane::new(&view, &Stop::new()).task(&task).unwrap());
        let counts = truth.counts.clone().unwrap();
        let others = [(0, 2), (2, 2), (1, 1), (1, 3), (u64::MAX, u32::MAX)];
        for task in others.map(|(first, tiles)| Task { first, tiles }) {
            assert!(scope.accepts(&Output { task, ..truth.clone() }).is_err(), "{task:?}");
            assert!(scope.accepts(&task.failed("why")).is_err(), "{task:?}");
        }
        let mut longer = counts.to_vec();
        longer.extend([0; COUNT]);
        let mut higher = counts.to_vec();
        higher[..COUNT].copy_from_slice(&51_u32.to_le_bytes());
        for counts in [vec![], counts[COUNT..].to_vec(), longer, higher] {
            let counts = Ok(ByteBuf::from(counts));
            assert!(scope.accepts(&Output { counts, ..truth.clone() }).is_err());
        }
    }
}
