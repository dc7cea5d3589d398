use crate::compare::result::granularity::{Metg, Point};

use super::curve::*;
use super::*;

fn points(rates: &[(f64, f64)]) -> Vec<Point> {
    let point = |&(work_s, rate): &(f64, f64)| Point {
        tile: "1x1".to_owned(),
        work_s,
        tiles: 1,
        wall_s: 1.0,
        rate,
        tiles_per_message: Some(1.0),
        stopped: false,
    };
    rates.iter().map(point).collect()
}

#[test]
fn metg_lies_between_the_last_size_above_half_and_the_next() {
    let found = metg(&points(&[(1e-3, 2.0), (1e-4, 1.9), (1e-5, 1.5), (1e-6, 0.5)]), 2.0).unwrap();
    assert!(!found.is_bound && (found.work_s / 3.162e-6 - 1.0).abs() < 1e-3, "{found:?}");
    let found = metg(&points(&[(1e-3, 2.0), (1e-4, 1.0), (1e-5, 0.4)]), 2.0).unwrap();
    assert!((found.work_s / 1e-4 - 1.0).abs() < 1e-9, "{found:?}");
}

#[test]
fn metg_of_a_model_that_stays_above_half_is_an_upper_bound() {
    let found = metg(&points(&[(1e-3, 1.8), (1e-6, 1.9)]), 1.9);
    assert_eq!(found, Some(Metg { work_s: 1e-6, is_bound: true, tiles_per_message: Some(1.0) }));
    assert_eq!(metg(&[], 1.0), None);
}

#[test]
fn a_picture_has_complete_tiles_and_a_maximum_size() {
    let sweep = Sweep { args: Vec::new(), width: 2048, tiles: Vec::new() };
    let picture = |tile: &str, tiles: f64| {
        let Picture { height, tiles, .. } = sweep.picture(tile, tiles);
        (height, tiles)
    };
    assert_eq!(picture("8x2048", 2.5), (16, 2));
    assert_eq!(picture("1x512", 9.0), (3, 12));
    assert_eq!(picture("1x1", 0.0), (1, 2048));
    let (height, tiles) = picture("1x1", 1e12);
    assert!(tiles <= TILES && tiles > TILES - 2048 && height * 2048 == tiles);
    let (height, _) = picture("8x2048", 1e12);
    assert_eq!(height * 2048, PIXELS);
}

fn curve(rates: &[(f64, f64)], metg: Option<Metg>) -> Curve {
    Curve { empty_s: 0.003, best: 2.0, metg, points: points(rates), failure: None }
}

fn sweep(single: Curve, joined: Curve) -> GranularityResult {
    let [name, label, mechanism] = ["actors", "actors", "mailboxes"].map(str::to_owned);
    GranularityResult {
        workload: "mandelbrot".to_owned(),
        command: "cargo xtask compare mandelbrot --granularity".to_owned(),
        machine: Machine::this(),
        workers: NonZeroUsize::MIN,
        rounds: 3,
        target_s: 0.4,
        args: Vec::new(),
        tiles: vec![Cut { tile: "1x1".to_owned(), work_s: 1e-6 }],
        rows: vec![Row { name, label, mechanism, single, joined }],
        absent: Vec::new(),
    }
}

#[test]
fn a_row_has_both_metgs_and_the_rates_with_one_tile_per_message() {
    let at = |work_s, is_bound| Some(Metg { work_s, is_bound, tiles_per_message: Some(1024.0) });
    let single = curve(&[(1e-6, 0.5)], at(4e-6, false));
    let sweep = sweep(single, curve(&[(1e-6, 1.9)], at(1e-6, true)));
    let cells = |table: String| {
        let row = table.lines().find(|line| line.starts_with("actors")).expect("a row").to_owned();
        row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(cells(sweep.singles()), ["actors", "4.0", "< 1.0", "2.00", "25"]);
    assert_eq!(cells(sweep.joined()), ["actors", "2.00", "95"]);
    assert_eq!(cells(sweep.messages()), ["actors", "1024", "1"]);
    assert!(sweep.failures().is_empty());
}

#[test]
fn a_failure_of_either_sweep_is_reported() {
    let failed = || Curve { failure: Some("it crashed".to_owned()), ..curve(&[], None) };
    let fine = || curve(&[(1e-6, 1.9)], None);
    let failures = |single, joined| {
        let sweep = sweep(single, joined);
        assert!(sweep.outcome() == Outcome::Failed);
        sweep.failures()
    };
    assert_eq!(failures(failed(), fine()), ["actors failed with one tile per message: it crashed"]);
    assert_eq!(failures(fine(), failed()), ["actors failed with batches of tiles: it crashed"]);
}
