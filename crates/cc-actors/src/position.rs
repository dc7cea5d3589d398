//! The position of a task in the order, where a task may turn out to be several.

/// The position of a task: its number or, for a task of a remainder, the position of the task that
/// the remainder belongs to, and its number in the remainder.
///
/// Positions are ordered lexicographically. So the tasks of a remainder come after the task that it
/// belongs to and before the next one, at any depth, and no actor need know how many they will be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(Vec<usize>);

impl Position {
    /// The position of the source's task with this number.
    #[must_use]
    pub fn of(number: usize) -> Self {
        Self(vec![number])
    }

    /// Its last number: its place in the innermost remainder, or among the source's tasks.
    #[must_use]
    pub fn number(&self) -> usize {
        *self.0.last().expect("a position has a number")
    }

    /// The position with another last number: another task of the same remainder.
    #[must_use]
    pub fn sibling(&self, number: usize) -> Self {
        let mut sibling = self.clone();
        *sibling.0.last_mut().expect("a position has a number") = number;
        sibling
    }

    /// Moves to the first task of the remainder of the task here.
    pub fn enter(&mut self) {
        self.0.push(0);
    }

    /// Moves from the end of a remainder to the task after the one that it belongs to.
    pub fn leave(&mut self) {
        self.0.pop();
        *self.0.last_mut().expect("`leave` follows an `enter`") += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remainder_comes_between_its_task_and_the_next() {
        let mut inside = Position::of(3);
        inside.enter();
        let mut deeper = inside.clone();
        deeper.enter();
        let order = [&Position::of(3), &inside, &deeper, &inside.sibling(1), &Position::of(4)];
        assert!(order.is_sorted_by(|a, b| a < b), "{order:?}");
    }

    #[test]
    fn the_next_task_follows_a_remainder() {
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
