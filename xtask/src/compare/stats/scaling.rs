//! `--workers 1,2,4`: how each model scales with the number of workers.

use std::num::NonZeroUsize;

use crate::compare::{
    result::{Kind, Point, Row, Scaling, Usl},
    stats::{paired::Paired, usl::COUNTS},
    words::{percent, plural},
};

/// A row's timed rounds: numbers, and times in seconds.
type Times = Vec<(usize, f64)>;

/// The scaling of each model that was measured with several numbers of workers.
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

/// The cells of the table: speed-up and efficiency by number of workers. `None` if only one number
/// was measured.
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

/// The fitted law of each model, or what a fit would need.
pub(crate) fn laws(scaling: &[Scaling], cores: NonZeroUsize) -> Vec<String> {
    let laws = scaling.iter().filter_map(|scaling| Some(parameters(&scaling.name, scaling.law?)));
    let laws: Vec<String> = laws.collect();
    match scaling {
        [] => Vec::new(),
        _ if laws.is_empty() => vec![requirements(cores)],
        _ => laws,
    }
}

fn parameters(name: &str, law: Usl) -> String {
    format!(
        "{name}: contention {}, coherency {:.2} %; the fit deviates by {} of the rate (root mean square)",
        percent(law.contention),
        law.coherency * 100.0,
        percent(law.error)
    )
}

fn requirements(cores: NonZeroUsize) -> String {
    let counts: Vec<String> = (1..=COUNTS).map(|count| count.to_string()).collect();
    let machine = match cores.get() {
        few if few < COUNTS => format!(" on a machine with at least {COUNTS} cores (this one has {few})"),
        _ => String::new(),
    };
    format!(
        "the Universal Scalability Law needs at least {COUNTS} numbers of workers, none above the number of cores: for \
         example --workers {}{machine}",
        counts.join(",")
    )
}

/// The numbers of workers that were measured: `1, 2, 4 workers`.
pub(crate) fn counts(scaling: &[Scaling]) -> Option<String> {
    let counts: Vec<String> = scaling.first()?.points.iter().map(|point| point.workers.to_string()).collect();
    Some(format!("{} workers", counts.join(", ")))
}

/// An explanation of the table.
pub(crate) fn legend(scaling: &[Scaling]) -> Option<String> {
    let fewest = scaling.first()?.points.first()?.workers;
    Some(format!(
        "speed-up: the model's time with {} / its time with this number of workers in the same round, median; in \
         parentheses the efficiency, which is the speed-up / the ratio of the numbers of workers",
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

    /// A row with this number of workers and five rounds, whose times follow the law.
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
    fn the_speed_up_is_relative_to_the_fewest_workers_and_more_than_cores_is_marked() {
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
    fn the_law_is_fitted_to_at_least_five_counts_up_to_the_cores() {
        let found = scaled(&[1, 2, 3, 4, 6, 8], 8)[0].law.unwrap();
        assert!(
            (found.contention - 0.05).abs() < 1e-6 && (found.coherency - 0.002).abs() < 1e-6,
            "{found:?}"
        );
        assert!(scaled(&[1, 2, 3, 4, 6, 8], 4)[0].law.is_none());
    }

    #[test]
    fn one_count_gives_no_scaling() {
        assert!(scaled(&[2], 2).is_empty());
        assert!(laws(&[], count(2)).is_empty());
    }

    #[test]
    fn without_a_fit_its_requirements_are_shown() {
        let notes = laws(&scaled(&[1, 2], 2), count(2));
        assert!(notes[0].ends_with("on a machine with at least 5 cores (this one has 2)"), "{notes:?}");
        assert!(notes[0].contains("--workers 1,2,3,4,5 on"), "{notes:?}");
        let notes = laws(&scaled(&[1, 2], 16), count(16));
        assert!(notes[0].ends_with("--workers 1,2,3,4,5"), "{notes:?}");
        let notes = laws(&scaled(&[1, 2, 3, 4, 8], 8), count(8));
        assert_eq!(
            notes,
            [
                "threads: contention 5.0 %, coherency 0.20 %; the fit deviates by 0.0 % of the rate (root mean square)"
            ]
        );
    }
}
