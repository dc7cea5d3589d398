//! How a model's rate falls during a sweep, and the METG that follows.

use crate::compare::{
    measure::granularity::picture::{Batching, Picture, PictureRun},
    plan::entrant::Entrant,
    result::granularity::{Curve, Cut, Metg, Point},
};

/// A sweep ends when the rate is below this fraction of the best rate.
pub(crate) const END: f64 = 0.25;
/// The fraction of the best rate that defines METG(50 %).
pub(crate) const HALF: f64 = 0.5;

/// The state of one model's sweep.
pub(crate) struct ModelSweep<'a> {
    pub entrant: &'a Entrant,
    pub batching: Batching,
    pub empty: f64,
    pub best: f64,
    pub points: Vec<Point>,
    pub failure: Option<String>,
}

impl ModelSweep<'_> {
    /// Whether the model is measured with smaller tiles.
    pub(crate) fn goes_on(&self) -> bool {
        let is_slow = |point: &Point| point.stopped || point.rate < END * self.best;
        self.failure.is_none() && !self.points.last().is_some_and(is_slow)
    }

    /// Adds the median run with this tile size.
    pub(crate) fn add(&mut self, cut: &Cut, runs: Vec<(Picture, PictureRun)>) {
        let rate = |(picture, run): &(Picture, PictureRun)| picture.tiles as f64 * cut.work_s / run.wall;
        let mut runs: Vec<(f64, Picture, PictureRun)> =
            runs.into_iter().map(|run| (rate(&run), run.0, run.1)).collect();
        runs.sort_by(|one, other| one.0.total_cmp(&other.0));
        let middle = runs.len() / 2;
        let Some((rate, picture, run)) = runs.into_iter().nth(middle) else { return };
        // Before the first point, `best` is only an estimate that determined the picture's size.
        self.best = if self.points.is_empty() { rate } else { self.best.max(rate) };
        let tasks = run.totals.as_ref().and_then(|totals| totals.get("tasks")).copied();
        self.points.push(Point {
            tile: cut.tile.clone(),
            work_s: cut.work_s,
            tiles: picture.tiles,
            wall_s: run.wall,
            rate,
            tiles_per_message: tasks.map(|tasks| picture.tiles as f64 / tasks.max(1) as f64),
            stopped: run.totals.is_none(),
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

/// The work at which the rate crosses half of the best rate: interpolated linearly, over the
/// logarithm of the work, between the smallest tile with at least this rate and the next smaller
/// one.
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
