//! `--workers 1,2,4`: what more workers are good for, model by model.

use std::num::NonZeroUsize;

use crate::compare::{
    result::{Kind, Point, Row, Scaling, Usl},
    stats::{paired::Paired, usl::COUNTS},
    words::{percent, plural},
};

/// A row's timed rounds, by number.
type Times = Vec<(usize, f64)>;

/// How each model scales, if there is one that was measured with several counts. The times are the
/// rows', in seconds.
pub(crate) fn scaling(rows: &[Row], times: &[Times], cores: NonZeroUsize) -> Vec<Scaling> {
    let mut all: Vec<Scaling> = Vec::new();
    for row in rows.iter().filter(|row| row.kind != Kind::Reference) {
        if all.iter().all(|scaling| scaling.name != row.name) {
            let is_same = |(other, _): &(&Row, &Times)| other.name == row.name;
            let mut same: Vec<_> = rows.iter().zip(times).filter(is_same).collect();
            same.sort_by_key(|(row, _)| row.workers);
            all.push(one(&row.name, &same, cores));
        }
    }
    all.retain(|scaling| scaling.points.len() > 1);
    all
}

fn one(name: &str, rows: &[(&Row, &Times)], cores: NonZeroUsize) -> Scaling {
    let (fewest, base) = rows[0];
    let point = |(row, times): &(&Row, &Times)| {
        let speedup = Paired::of(base, times).ratio();
        let more = row.workers.get() as f64 / fewest.workers.get() as f64;
        let efficiency = speedup.map(|speedup| speedup.median / more);
        Point { workers: row.workers, speedup, efficiency, over_cores: row.workers > cores }
    };
    let within = rows.iter().filter(|(row, _)| row.workers <= cores);
    let rates: Vec<_> =
        within.filter_map(|(row, _)| Some((row.workers.get(), 1.0 / row.wall_s?.median))).collect();
    Scaling { name: name.to_owned(), points: rows.iter().map(point).collect(), law: Usl::fit(&rates) }
}

/// The table: speed-up and efficiency by number of workers. Nothing where there was but one number.
pub(crate) fn cells(scaling: &[Scaling]) -> Option<Vec<Vec<String>>> {
    let longest = scaling.iter().max_by_key(|scaling| scaling.points.len())?;
    let count = |point: &Point| format!("{}{}", point.workers, if point.over_cores { "†" } else { "" });
    let head = ["workers".to_owned()].into_iter().chain(longest.points.iter().map(count)).collect();
    let cell = |point: &Point| {
        let both = point.speedup.zip(point.efficiency);
        both.map_or_else(|| "–".to_owned(), |(it, part)| format!("{:.2} ({:.0} %)", it.median, part * 100.0))
    };
    let row = |scaling: &Scaling| {
        let cell = |at: usize| scaling.points.get(at).map_or_else(String::new, cell);
        [scaling.name.clone()].into_iter().chain((0..longest.points.len()).map(cell)).collect::<Vec<_>>()
    };
    Some([head].into_iter().chain(scaling.iter().map(row)).collect())
}

/// What the law says of each model; or what it would take to ask it.
pub(crate) fn laws(scaling: &[Scaling], cores: NonZeroUsize) -> Vec<String> {
    let said = scaling.iter().filter_map(|scaling| Some(said(&scaling.name, scaling.law?)));
    let said: Vec<String> = said.collect();
    match scaling {
        [] => Vec::new(),
        _ if said.is_empty() => vec![lacking(cores)],
        _ => said,
    }
}

fn said(name: &str, law: Usl) -> String {
    format!(
        "{name}: contention {}, coherency {:.2} %; the law is off by {} of the rate (root mean square)",
        percent(law.contention),
        law.coherency * 100.0,
        percent(law.error)
    )
}

fn lacking(cores: NonZeroUsize) -> String {
    let counts: Vec<String> = (1..=COUNTS).map(|count| count.to_string()).collect();
    let machine = match cores.get() {
        few if few < COUNTS => format!("a machine with at least {COUNTS} cores (this one has {few}), and "),
        _ => String::new(),
    };
    format!(
        "the Universal Scalability Law is fitted from {COUNTS} or more counts within the cores: it takes {machine}for \
         example --workers {}",
        counts.join(",")
    )
}

/// The numbers of workers that were tried: `1, 2, 4 workers`.
pub(crate) fn counts(scaling: &[Scaling]) -> Option<String> {
    let counts: Vec<String> = scaling.first()?.points.iter().map(|point| point.workers.to_string()).collect();
    Some(format!("{} workers", counts.join(", ")))
}

/// What the numbers in the table are.
pub(crate) fn legend(scaling: &[Scaling]) -> Option<String> {
    let fewest = scaling.first()?.points.first()?.workers;
    Some(format!(
        "own time with {} / own time with these in the same round: median, and in parentheses what that is of the \
         best possible (efficiency)",
        plural(fewest.get(), "worker")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::result::{Estimate, example};

    fn count(n: usize) -> NonZeroUsize {
        NonZeroUsize::new(n).unwrap()
    }

    /// A row that follows the law with this number of workers, in five rounds.
    fn row(workers: usize) -> (Row, Times) {
        let law = Usl { rate: 10.0, contention: 0.05, coherency: 0.002, error: 0.0 };
        let time = 1.0 / law.at(workers);
        let estimate = Estimate { median: time, low: time, high: time };
        let row = example::comparison().rows.swap_remove(1);
        let row = Row { workers: count(workers), wall_s: Some(estimate), ..row };
        (row, (0..5).map(|round| (round, time)).collect())
    }

    fn scaled(counts: &[usize], cores: usize) -> Vec<Scaling> {
        let (rows, times): (Vec<Row>, Vec<Times>) = counts.iter().map(|count| row(*count)).unzip();
        scaling(&rows, &times, count(cores))
    }

    #[test]
    fn the_speed_up_is_to_the_fewest_workers_and_what_is_above_the_cores_is_marked() {
        let scaled = scaled(&[4, 1, 2], 2);
        let points = &scaled[0].points;
        assert_eq!(points.iter().map(|point| point.workers.get()).collect::<Vec<_>>(), [1, 2, 4]);
        assert_eq!(points.iter().map(|point| point.over_cores).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!(points[0].efficiency, Some(1.0));
        let (speedup, efficiency) = (points[1].speedup.unwrap().median, points[1].efficiency.unwrap());
        assert!((speedup - 1.897).abs() < 0.001 && (efficiency - speedup / 2.0).abs() < 1e-9, "{points:?}");
        assert!(scaled[0].law.is_none());
    }

    #[test]
    fn the_law_is_fitted_from_five_counts_within_the_cores() {
        let found = scaled(&[1, 2, 3, 4, 6, 8], 8)[0].law.unwrap();
        assert!(
            (found.contention - 0.05).abs() < 1e-6 && (found.coherency - 0.002).abs() < 1e-6,
            "{found:?}"
        );
        assert!(scaled(&[1, 2, 3, 4, 6, 8], 4)[0].law.is_none());
    }

    #[test]
    fn one_count_is_no_scaling() {
        assert!(scaled(&[2], 2).is_empty());
        assert!(laws(&[], count(2)).is_empty());
    }

    #[test]
    fn what_it_would_take_is_said() {
        let said = laws(&scaled(&[1, 2], 2), count(2));
        assert!(said[0].contains("a machine with at least 5 cores (this one has 2)"), "{said:?}");
        assert!(said[0].ends_with("--workers 1,2,3,4,5"), "{said:?}");
        let said = laws(&scaled(&[1, 2], 16), count(16));
        assert!(said[0].contains("it takes for example"), "{said:?}");
        let said = laws(&scaled(&[1, 2, 3, 4, 8], 8), count(8));
        assert_eq!(
            said,
            [
                "threads: contention 5.0 %, coherency 0.20 %; the law is off by 0.0 % of the rate (root mean square)"
            ]
        );
    }
}
