//! Checks that an output belongs to its task.
//!
//! A worker on another machine is a separate program, which may be faulty or malicious. Its outputs
//! are checked against the tasks that it was sent before any of them is used: the number of a tile
//! decides which bytes of the picture are overwritten, and its counts must fill them exactly.

use super::{Output, Task, View, picture::COUNT_BYTES};

/// What a valid output of a task may contain. See [`Task::scope`].
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    task: Task,
    pixels: usize,
    max_iter: u32,
}

impl Task {
    /// What a valid output of this task may contain. The task must be one of this view.
    #[must_use]
    pub fn scope(&self, view: &View) -> Scope {
        let tiles = self.first..self.first + u64::from(self.tiles);
        let pixels = tiles.map(|number| view.tile(number).pixels()).sum();
        Scope { task: *self, pixels, max_iter: view.max_iter }
    }
}

impl Scope {
    /// Checks that the output is a valid one of this task.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the output. The text quotes nothing of the output itself.
    pub fn accepts(&self, output: &Output) -> Result<(), String> {
        if output.task != self.task {
            return Err("its tiles are not those of the task".to_owned());
        }
        let Ok(counts) = &output.counts else { return Ok(()) };
        if counts.len() != self.pixels * COUNT_BYTES {
            return Err("its counts do not fill the tiles of the task".to_owned());
        }
        let count = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        if counts.chunks_exact(COUNT_BYTES).map(count).max() > Some(self.max_iter) {
            return Err("a count is higher than the maximum".to_owned());
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
        longer.extend([0; COUNT_BYTES]);
        let mut higher = counts.to_vec();
        higher[..COUNT_BYTES].copy_from_slice(&51_u32.to_le_bytes());
        for counts in [vec![], counts[COUNT_BYTES..].to_vec(), longer, higher] {
            let counts = Ok(ByteBuf::from(counts));
            assert!(scope.accepts(&Output { counts, ..truth.clone() }).is_err());
        }
    }
}
