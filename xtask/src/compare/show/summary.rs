//! The result of a comparison in sentences.

use crate::compare::{
    result::{Kind, Row, Verdict},
    words::number,
};

/// Which model is fastest and which uses the least memory, in one sentence each. Empty if nothing
/// was timed.
pub(crate) fn summary(rows: &[Row]) -> Vec<String> {
    let measured: Vec<&Row> = rows.iter().filter(|row| counts(row)).collect();
    [fastest(&measured), leanest(&measured)].into_iter().flatten().collect()
}

/// Whether a row takes part in the ranking: tools do not, nor rows with a wrong output or failures.
fn counts(row: &Row) -> bool {
    let is_right = matches!(row.verdict, Verdict::Reference | Verdict::Same);
    row.kind != Kind::Tool && is_right && row.failures.is_empty() && row.wall_s.is_some()
}

fn fastest(rows: &[&Row]) -> Option<String> {
    let wall = |row: &Row| row.wall_s.map_or(f64::INFINITY, |wall| wall.median);
    let first = rows.iter().min_by(|one, other| wall(one).total_cmp(&wall(other)))?;
    let is_alike = |row: &&&Row| {
        !is_same(row, first) && row.letters.chars().any(|letter| first.letters.contains(letter))
    };
    let (references, models): (Vec<&Row>, Vec<&Row>) =
        rows.iter().filter(is_alike).partition(|row| row.kind == Kind::Reference);
    let name = first.shown();
    let speedup = first.speedup.map(|it| match it.has_interval() {
        true => format!("{:.2} × the reference ({:.2}–{:.2})", it.median, it.low, it.high),
        false => format!("{:.2} × the reference, in one round", it.median),
    });
    let sentence = match speedup {
        _ if first.kind == Kind::Reference && models.is_empty() => {
            format!("fastest is {name}, the reference: concurrency gains nothing here")
        }
        _ if first.kind == Kind::Reference => format!("{name}, the reference, has the lowest time"),
        Some(speedup) if !references.is_empty() => {
            format!("{name}, {speedup}, has the lowest time, but cannot be told apart from the reference")
        }
        Some(speedup) => format!("fastest is {name}, {speedup}"),
        None => {
            let of_ideal =
                first.of_ideal.map(|times| format!(", {times:.2} × the ideal")).unwrap_or_default();
            format!("fastest is {name}, {} ms{of_ideal}", number(wall(first) * 1e3))
        }
    };
    let models: Vec<String> = models.iter().map(|row| row.shown().to_owned()).collect();
    let alike =
        if models.is_empty() { String::new() } else { format!("; no difference to {} found", list(&models)) };
    Some(sentence + &alike)
}

fn leanest(rows: &[&Row]) -> Option<String> {
    let mut models: Vec<(&Row, f64)> = rows
        .iter()
        .filter(|row| row.kind == Kind::Model && !row.memory_is_max_rss)
        .filter_map(|row| Some((*row, row.memory_bytes? as f64)))
        .collect();
    models.sort_by(|one, other| one.1.total_cmp(&other.1));
    let [(least, bytes), .., (most, more)] = models[..] else { return None };
    let mb = |bytes: f64| number(bytes / 1e6);
    let (least, most) = (least.shown(), most.shown());
    Some(format!("memory: {least} uses the least, {} MB; {most} the most, {} MB", mb(bytes), mb(more)))
}

fn is_same(one: &Row, other: &Row) -> bool {
    one.name == other.name && one.workers == other.workers
}

/// Maximum number of names in a sentence; a longer list would be hard to read, so it is counted.
const NAMES: usize = 8;

/// `a, b and c`.
fn list(names: &[String]) -> String {
    match names {
        many if many.len() > NAMES => format!("{} others", many.len()),
        [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        _ => names.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::result::example;

    #[test]
    fn the_fastest_is_named_with_those_that_are_no_slower() {
        let sentences = summary(&example::comparison().rows);
        assert_eq!(
            sentences,
            [
                "fastest is rayon, 1.95 × the reference (1.93–1.97); no difference to threads found",
                "memory: rayon uses the least, 5.10 MB; distributed the most, 60.0 MB",
            ]
        );
    }

    #[test]
    fn a_row_that_differs_or_fails_is_not_ranked() {
        let mut rows = example::comparison().rows;
        rows[2].failures.push("Time round 1: signal: 11".to_owned());
        assert!(summary(&rows)[0].starts_with("fastest is threads"), "{:?}", summary(&rows));
        rows.truncate(2);
        rows[0].wall_s = rows[1].wall_s;
        (rows[0].letters, rows[1].letters) = ("a".to_owned(), "a".to_owned());
        assert_eq!(
            summary(&rows),
            ["sequential, the reference, has the lowest time; no difference to threads found"]
        );
        rows.truncate(1);
        assert_eq!(summary(&rows), ["fastest is sequential, the reference: concurrency gains nothing here"]);
        assert!(summary(&[]).is_empty());
    }

    #[test]
    fn a_model_that_is_like_the_reference_is_not_called_fastest() {
        let mut rows = example::comparison().rows;
        rows[0].letters = "a".to_owned();
        let sentence = &summary(&rows)[0];
        assert_eq!(
            sentence,
            "rayon, 1.95 × the reference (1.93–1.97), has the lowest time, but cannot be told apart from \
             the reference; no difference to threads found"
        );
    }

    #[test]
    fn names_are_joined_by_commas_and_an_and() {
        let names = ["a", "b", "c"].map(str::to_owned);
        assert_eq!([list(&names), list(&names[..2]), list(&names[..1])], ["a, b and c", "a and b", "a"]);
        assert_eq!(list(&["a"; 9].map(str::to_owned)), "9 others");
    }
}
