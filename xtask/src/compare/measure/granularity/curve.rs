//! How a model's rate falls, from run to run of a sweep.

use crate::compare::{
    measure::granularity::picture::{Handover, Picture, Ran},
    plan::entrant::Entrant,
    result::granularity::{Curve, Cut, Metg, Point},
};

/// A sweep ends below this part of the best rate.
pub(crate) const ENOUGH: f64 = 0.25;
/// METG's part of the best rate.
pub(crate) const HALF: f64 = 0.5;
/// One model's way through the sweep.
pub(crate) struct Lane<'a> {
    pub entrant: &'a Entrant,
    pub handover: Handover,
    pub empty: f64,
    pub best: f64,
    pub points: Vec<Point>,
    pub failure: Option<String>,
}

impl Lane<'_> {
    /// Whether a finer cut is of interest.
    pub(crate) fn goes_on(&self) -> bool {
        let is_slow = |point: &Point| point.stopped || point.rate < ENOUGH * self.best;
        self.failure.is_none() && !self.points.last().is_some_and(is_slow)
    }

    pub(crate) fn add(&mut self, cut: &Cut, runs: Vec<(Picture, Ran)>) {
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

    pub(crate) fn curve(self) -> Curve {
        Curve {
            empty_s: self.empty,
            best: self.best,
            metg: metg(&self.points, self.best),
            points: self.points,
            failure: self.failure,
        }
    }
}

/// Between the smallest tile at which a model works at half of its best rate and the next one,
/// where the line through both, over the logarithm of the work, crosses the half.
pub(crate) fn metg(points: &[Point], best: f64) -> Option<Metg> {
    let at = points.iter().rposition(|point| point.rate >= HALF * best)?;
    let Point { work_s, rate, tiles_per_message, .. } = points[at];
    let Some(next) = points.get(at + 1) else {
        return Some(Metg { work_s, is_bound: true, tiles_per_message });
    };
    let part = (rate - HALF * best) / (rate - next.rate);
    let work_s = (work_s.ln() + part * (next.work_s.ln() - work_s.ln())).exp();
    Some(Metg { work_s, is_bound: false, tiles_per_message })
}
