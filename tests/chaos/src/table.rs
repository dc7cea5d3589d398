//! The outcomes by workload, model, and what was made to fail.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::judge::Verdict;

/// Counts of outcomes.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// By workload and model, then by what failed, then by outcome.
    rows: BTreeMap<(String, String), BTreeMap<String, BTreeMap<char, usize>>>,
}

const LEGEND: &str = "r right, e error message, s stopped, a abort without memory, \
    W WRONG, P PANIC, H HANG, L LEFT files or processes";

impl Table {
    pub(crate) fn add(&mut self, workload: &str, model: &str, failure: &str, verdict: &Verdict) {
        let row = self.rows.entry((workload.to_owned(), model.to_owned())).or_default();
        *row.entry(failure.to_owned()).or_default().entry(verdict.letter()).or_default() += 1;
    }

    /// The number of runs that showed a fault of the program.
    pub(crate) fn bad(&self) -> usize {
        let counts = self.rows.values().flat_map(BTreeMap::values).flatten();
        counts.filter(|(letter, _)| letter.is_ascii_uppercase()).map(|(_, count)| count).sum()
    }

    pub(crate) fn print(&self) -> String {
        let failures: Vec<String> = {
            let mut all: Vec<String> = self.rows.values().flat_map(BTreeMap::keys).cloned().collect();
            all.sort();
            all.dedup();
            all
        };
        let cell = |counts: Option<&BTreeMap<char, usize>>| {
            let counts = counts.into_iter().flatten();
            counts.map(|(letter, count)| format!("{letter}{count}")).collect::<Vec<_>>().join(" ")
        };
        let mut lines =
            vec![["workload", "model"].into_iter().map(str::to_owned).chain(failures.clone()).collect()];
        for ((workload, model), row) in &self.rows {
            let cells = failures.iter().map(|failure| cell(row.get(failure)));
            lines.push([workload.clone(), model.clone()].into_iter().chain(cells).collect::<Vec<_>>());
        }
        let mut text = aligned(&lines);
        let _ = writeln!(text, "{LEGEND}");
        text
    }
}

fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_counted_and_bad_ones_are_told_apart() {
        let mut table = Table::default();
        table.add("sort", "async", "thread", &Verdict::Right);
        table.add("sort", "async", "thread", &Verdict::Hang(String::new()));
        table.add("sort", "procs", "disk", &Verdict::Error);
        assert_eq!(table.bad(), 1);
        let text = table.print();
        assert!(text.starts_with("workload  model  disk  thread\nsort      async        H1 r1\n"), "{text}");
    }
}
