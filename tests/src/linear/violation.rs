//! How a violation is reported: as a timeline of the operations that matter.

use std::{
    collections::BTreeSet,
    fmt::{self, Display, Formatter},
};

use super::history::{KeyInfo, NEVER, Op, Operation};

/// How many operations that ended before it a report shows beside those that ran with it.
const BEFORE: usize = 8;

/// The smallest beginning of a history that cannot be explained: up to an answer, without which it could.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The history's keys.
    pub keys: Vec<KeyInfo>,
    /// The operation whose answer came last.
    pub culprit: Operation,
    /// What had been called by then, of the keys that hang together with its keys; what ended later is unknown.
    pub prefix: Vec<Operation>,
    /// What it could have answered: one of possibly several answers.
    pub expected: Option<String>,
}

impl Violation {
    /// The others that ran when the culprit did, in the order of their calls.
    #[must_use]
    pub fn concurrent(&self) -> Vec<&Operation> {
        let mut concurrent: Vec<_> =
            self.others().filter(|operation| self.is_concurrent(operation)).collect();
        concurrent.sort_by_key(|operation| operation.invoked);
        concurrent
    }

    /// The last ones that ended before it began, in the order of their calls.
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

/// From call to answer, a column for each call or answer of those that are shown; `>` where no answer came.
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
