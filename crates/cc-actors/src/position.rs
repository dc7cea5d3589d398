//! Where a task belongs in the order, when some tasks turn out to be many.

/// A task's place in the order: its number, or the place of the task whose rest it belongs to and
/// its number in that rest.
///
/// The order is lexicographic. So a rest comes behind its task and before the next one, however
/// often a part leaves a rest in turn, and no actor has to know beforehand how much there will be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(Vec<usize>);

impl Position {
    /// The place of the task with this number.
    #[must_use]
    pub fn of(number: usize) -> Self {
        Self(vec![number])
    }

    /// The number in the innermost list.
    #[must_use]
    pub fn number(&self) -> usize {
        *self.0.last().expect("a position has a number")
    }

    /// The place with another number in the innermost list.
    #[must_use]
    pub fn sibling(&self, number: usize) -> Self {
        let mut sibling = self.clone();
        *sibling.0.last_mut().expect("a position has a number") = number;
        sibling
    }

    /// Goes on to the first of the rest of the task here.
    pub fn enter(&mut self) {
        self.0.push(0);
    }

    /// Goes on from the end of a rest to what comes behind its task.
    pub fn leave(&mut self) {
        self.0.pop();
        *self.0.last_mut().expect("who left had entered") += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_task_comes_between_it_and_the_next() {
        let mut inside = Position::of(3);
        inside.enter();
        let mut deeper = inside.clone();
        deeper.enter();
        let order = [&Position::of(3), &inside, &deeper, &inside.sibling(1), &Position::of(4)];
        assert!(order.is_sorted_by(|a, b| a < b), "{order:?}");
    }

    #[test]
    fn behind_what_is_left_comes_the_next_task() {
        let mut position = Position::of(3);
        position.enter();
        position = position.sibling(7);
        position.enter();
        assert_eq!(position.number(), 0);
        position.leave();
        assert_eq!(position.number(), 8);
        position.leave();
        assert_eq!(position, Position::of(4));
    }
}
