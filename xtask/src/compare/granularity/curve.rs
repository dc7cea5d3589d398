//! How a model's rate falls, from run to run of a sweep.

use serde::Serialize;

use super::{Cut, Handover, Picture, Ran};
use crate::compare::measure::Entrant;

/// How a model's rate falls as the tiles become smaller.
#[derive(Serialize)]
pub(super) struct Curve {
    /// The time of an empty job, which has been subtracted.
    pub empty_s: f64,
    /// How many workers' work it does at best.
    pub best: f64,
    pub metg: Option<Metg>,
    pub points: Vec<Point>,
    pub failure: Option<String>,
}

/// A model at one shape of tiles: the median run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Point {
    pub tile: String,
    pub work_s: f64,
    pub tiles: u64,
    /// Without the time of an empty job.
    pub wall_s: f64,
    /// The work in all tiles, by the time.
    pub rate: f64,
    pub tiles_per_message: Option<f64>,
    /// Whether it was stopped: it is slower than this.
    pub stopped: bool,
}

/// The smallest task at half of the best rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Metg {
    pub work_s: f64,
    /// Whether it is smaller than this, the smallest that there was.
    pub is_bound: bool,
    pub tiles_per_message: Option<f64>,
}

/// A sweep ends below this part of the best rate.
pub(super) const ENOUGH: f64 = 0.25;
/// METG's part of the best rate.
pub(super) const HALF: f64 = 0.5;
/// One model's way through the sweep.
pub(super) struct Lane<'a> {
    pub entrant: &'a Entrant,
    pub handover: Handover,
    pub empty: f64,
    pub best: f64,
    pub points: Vec<Point>,
    pub failure: Option<String>,
}

impl Lane<'_> {
    /// Whether a finer cut is of interest.
    pub(super) fn goes_on(&self) -> bool {
        let is_slow = |point: &Point| point.stopped || point.rate < ENOUGH * self.best;
        self.failure.is_none() && !self.points.last().is_some_and(is_slow)
    }

    pub(super) fn add(&mut self, cut: &Cut, runs: Vec<(Picture, Ran)>) {
        let rate = |(picture, ran): &(Picture, Ran)| picture.tiles as f64 * cut.work_s / ran.wall;
        let mut runs: Vec<(f64, Picture, Ran)> =
            runs.into_iter().map(|run| (rate(&run), run.0, run.1)).collect();
        runs.sort_by(|one, other| one.0.total_cmp(&other.0));
        let middle = runs.len() / 2;
        let Some((rate, picture, ran)) = runs.into_iter().nth(middle) else { return };
        // The first run of all only told about how large a picture has to be.
        self.best = if self.points.is_empty() { rate } else { self.best.max(rate) };
        let tasks = ran.totals.as_ref().and_then(|totals| totals.get("tasks")).copied();
        self.points.push(Point {
            tile: cut.tile.clone(),
            work_s: cut.work_s,
            tiles: picture.tiles,
            wall_s: ran.wall,
            rate,
            tiles_per_message: tasks.map(|tasks| picture.tiles as f64 / tasks.max(1) as f64),
            stopped: ran.totals.is_none(),
        });
    }

    pub(super) fn curve(self) -> Curve {
        Curve {
            empty_s: self.empty,
            best: self.best,
            metg: metg(&self.points, self.best),
            points: self.points,
            failure: self.failure,
        }
    }
}

/// Between the smallest tile at which a model works at half of its best rate and the next one, where the line
/// through both, over the logarithm of the work, crosses the half.
pub(super) fn metg(points: &[Point], best: f64) -> Option<Metg> {
    let at = points.iter().rposition(|point| point.rate >= HALF * best)?;
    let Point { work_s, rate, tiles_per_message, .. } = points[at];
    let Some(next) = points.get(at + 1) else {
        return Some(Metg { work_s, is_bound: true, tiles_per_message });
    };
    let part = (rate - HALF * best) / (rate - next.rate);
    let work_s = (work_s.ln() + part * (next.work_s.ln() - work_s.ln())).exp();
    Some(Metg { work_s, is_bound: false, tiles_per_message })
}
