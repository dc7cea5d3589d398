//! The report of a violation: a timeline of the operations that matter.

use std::{
    collections::BTreeSet,
    fmt::{self, Display, Formatter},
};

use super::history::{KeyInfo, NEVER, Op, Operation};

/// Maximum number of operations in a report that ended before the culprit began. Those that overlap
/// with it are all shown.
const BEFORE: usize = 8;

/// The shortest prefix of a history that no order explains. It ends with the answer that makes it
/// so.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The history's keys.
    pub keys: Vec<KeyInfo>,
    /// The operation whose answer came last.
    pub culprit: Operation,
    /// The operations of the culprit's group of keys that had been called by then. Those that ended
    /// later are unknown.
    pub prefix: Vec<Operation>,
    /// A right answer to the culprit; there may be others.
    pub expected: Option<String>,
}

impl Violation {
    /// The operations that overlap with the culprit, in the order of their calls.
    #[must_use]
    pub fn concurrent(&self) -> Vec<&Operation> {
        let mut concurrent: Vec<_> =
            self.others().filter(|operation| self.is_concurrent(operation)).collect();
        concurrent.sort_by_key(|operation| operation.invoked);
        concurrent
    }

    /// The last operations that ended before the culprit began, in the order of their calls.
    fn before(&self) -> Vec<&Operation> {
        let mut before: Vec<_> = self.others().filter(|operation| !self.is_concurrent(operation)).collect();
        before.sort_by_key(|operation| operation.completed);
        let mut last = before.split_off(before.len().saturating_sub(BEFORE));
        last.sort_by_key(|operation| operation.invoked);
        last
    }

    fn others(&self) -> impl Iterator<Item = &Operation> {
        self.prefix.iter().filter(|operation| **operation != self.culprit)
    }

    fn is_concurrent(&self, operation: &Operation) -> bool {
        operation.completed > self.culprit.invoked
    }

    fn label(&self, operation: &Operation) -> String {
        let op = operation.op.text(&self.keys);
        match operation.op {
            Op::Crash(_) => op,
            _ => format!("c{} {op} -> {}", operation.client, operation.outcome),
        }
    }
}

impl Display for Violation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (before, concurrent) = (self.before(), self.concurrent());
        writeln!(f, "not linearizable: no order explains the answer to {}", self.label(&self.culprit))?;
        if let Some(expected) = &self.expected {
            writeln!(f, "it could have been {expected}, for one")?;
        }
        let hidden = self.prefix.len() - 1 - before.len() - concurrent.len();
        writeln!(
            f,
            "in the order of the calls, time from left to right ({hidden} earlier ones are left out):"
        )?;
        let shown: Vec<_> = before.into_iter().chain(concurrent).chain([&self.culprit]).collect();
        let width = shown.iter().map(|operation| self.label(operation).chars().count()).max().unwrap_or(0);
        for operation in &shown {
            let mark = if **operation == self.culprit { "  <- not explained" } else { "" };
            let bar = bar(operation, &shown);
            writeln!(f, "  {:width$}  {}{mark}", self.label(operation), bar.trim_end())?;
        }
        Ok(())
    }
}

/// An operation's line from call to answer, with one column per call or answer of the shown
/// operations. It ends with `>` if no answer came.
fn bar(operation: &Operation, shown: &[&Operation]) -> String {
    let times = shown.iter().flat_map(|operation| [operation.invoked, operation.completed]);
    let times: BTreeSet<u64> = times.filter(|time| *time != NEVER).collect();
    let column = |time: u64| match time {
        time if time == operation.invoked || time == operation.completed => '|',
        time if operation.invoked < time && time < operation.completed => '-',
        _ => ' ',
    };
    let end = if operation.completed == NEVER { ">" } else { "" };
    times.into_iter().map(column).collect::<String>() + end
}
