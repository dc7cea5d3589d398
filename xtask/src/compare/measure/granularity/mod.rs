//! `--granularity`: how small tasks may become before a model spends most of its time on
//! distributing them.
//!
//! The measure is METG(50 %) of Task Bench, the minimum effective task granularity: the smallest
//! task at which a model still reaches half of its best rate. A picture whose pixels all cost the
//! same is divided into smaller and smaller tiles. The work of a tile is the reference's time for
//! it. A model's rate is the work that it does per second. A kernel is less efficient on a tile
//! that is smaller than its vectors, but so is the reference's, so the model's rate does not
//! suffer.
//!
//! Every model is measured twice. With one tile per message (`--grain 1`), the METG shows the cost
//! of the mechanism and can be compared between models. Without that flag a model may batch small
//! tiles into one message, and the METG is what users get.
//!
//! The time of an empty job is subtracted from every run. A picture has as many rows as keep a
//! model busy for a given time at its best rate. A sweep ends below a quarter of the best rate.

pub(crate) mod curve;
pub(crate) mod picture;

use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use curve::ModelSweep;

use crate::{
    compare::{
        measure::{
            granularity::picture::{Batching, Picture, PictureRun},
            run::{RunOptions, crashed, run},
        },
        outcome::Outcome,
        plan::{
            args::Args,
            command::{Invocation, Request},
            entrant::Entrant,
            query::Query,
            sweep::Sweep,
        },
        result::{
            Kind, Machine, Subject,
            granularity::{Curve, Cut, GranularityResult, Row},
            seconds,
        },
        stats::estimate::median,
    },
    process::cancel::Cancel,
};

/// A run is interrupted after this multiple of its time at the best rate. Its rate is then less
/// than an eighth of the best rate, and the sweep ends at a quarter.
const STOP_AFTER: f64 = 8.0;
/// A run that was interrupted is killed after this time.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Maximum number of tiles of a picture.
const TILES: u64 = 20_000_000;
/// Maximum number of pixels of a picture: 256 MiB, at four bytes per pixel.
const PIXELS: u64 = 1 << 26;
/// Number of runs of the empty job.
const EMPTY_ROUNDS: usize = 5;

impl Sweep {
    /// Measures the models among the entrants, the first of which is the reference.
    pub(crate) fn run(
        &self,
        workload: &str,
        entrants: &[Entrant],
        absent: &[String],
        args: &Args,
        output_dir: &Path,
        cancel: &Cancel,
    ) -> Result<GranularityResult> {
        let (target, rounds) = if args.smoke { (0.05, 1) } else { (0.4, 3) };
        let rounds = args.rounds.map_or(rounds, NonZeroUsize::get);
        let progress = ProgressBar::no_length();
        progress.set_style(ProgressStyle::with_template("{spinner} {prefix} {msg}")?);
        let query = Query::new("sweep", &[]);
        let bench =
            Bench { sweep: self, query, target, rounds, progress, scratch: output_dir.to_owned(), cancel };
        let (reference, models) = entrants.split_first().context("there is a reference")?;
        let reference = bench.begin(reference, Batching::Single)?;
        let mut models: Vec<Pair> = models
            .iter()
            .filter(|entrant| entrant.kind != Kind::Tool)
            .map(|model| Ok([bench.begin(model, Batching::Single)?, bench.begin(model, Batching::Joined)?]))
            .collect::<Result<_>>()?;
        let mut cuts: Vec<Cut> = Vec::new();
        for tile in &self.tiles {
            bench.progress.set_prefix(format!("tiles of {tile}:"));
            let guess = cuts.last().map(|last| last.work_s * pixels(tile) as f64 / pixels(&last.tile) as f64);
            cuts.push(bench.point(tile, guess, &reference, &mut models)?);
        }
        bench.progress.finish_and_clear();
        let _ = fs::remove_dir_all(output_dir); // it does not exist if no run needed it
        Ok(GranularityResult {
            workload: workload.to_owned(),
            command: args.command(),
            machine: Machine::this(),
            workers: args.workers(),
            rounds,
            target_s: target,
            args: self.args.clone(),
            tiles: cuts,
            rows: models.into_iter().map(row).collect(),
            absent: absent.to_vec(),
        })
    }

    /// A picture with about this number of tiles.
    fn picture(&self, tile: &str, tiles: f64) -> Picture {
        let (rows, columns) = shape(tile);
        let in_a_row = self.width.div_ceil(columns);
        let fit = TILES.min(PIXELS / (rows * columns)) / in_a_row;
        let tiles_high = ((tiles as u64).div_ceil(in_a_row)).clamp(1, fit.max(1));
        Picture { width: self.width, height: tiles_high * rows, tiles: tiles_high * in_a_row }
    }
}

/// What all runs of a sweep share.
struct Bench<'a> {
    sweep: &'a Sweep,
    query: Query,
    /// The time in seconds that a run takes at a model's best rate.
    target: f64,
    rounds: usize,
    progress: ProgressBar,
    scratch: PathBuf,
    cancel: &'a Cancel,
}

/// A model's two sweeps: with one tile per message, and with its own batches.
type Pair<'a> = [ModelSweep<'a>; 2];

impl Bench<'_> {
    /// Begins a model's sweep: measures the time of an empty job.
    fn begin<'a>(&self, entrant: &'a Entrant, batching: Batching) -> Result<ModelSweep<'a>> {
        self.progress.set_prefix("starting:");
        let picture = Picture { width: 1, height: 1, tiles: 1 };
        let mut sweep =
            ModelSweep { entrant, batching, empty: 0.0, best: 0.0, points: Vec::new(), failure: None };
        let mut walls = Vec::new();
        for _ in 0..EMPTY_ROUNDS {
            match self.once(&sweep, "1x1", picture) {
                Ok(run) => walls.push(run.wall),
                Err(error) if entrant.kind == Kind::Reference => return Err(error),
                Err(error) => sweep.failure = Some(format!("{error:#}")),
            }
        }
        sweep.empty = median(&walls).unwrap_or_default();
        Ok(sweep)
    }

    /// Measures all models with one size of tiles, in rounds.
    fn point(
        &self,
        tile: &str,
        guess: Option<f64>,
        reference: &ModelSweep,
        models: &mut [Pair],
    ) -> Result<Cut> {
        let mut sweeps: Vec<&mut ModelSweep> = models.iter_mut().flatten().collect();
        let mut work = self.calibrate(reference, tile, guess)?;
        for sweep in sweeps.iter_mut().filter(|sweep| sweep.best == 0.0 && sweep.goes_on()) {
            let picture = self.sweep.picture(tile, self.target / work);
            match self.once(sweep, tile, picture) {
                Ok(run) => sweep.best = picture.tiles as f64 * work / run.wall,
                Err(error) => sweep.failure = Some(format!("tiles of {tile}: {error:#}")),
            }
        }
        let mut works = Vec::new();
        let mut runs: Vec<Vec<(Picture, PictureRun)>> = sweeps.iter().map(|_| Vec::new()).collect();
        for _ in 0..self.rounds {
            let picture = self.sweep.picture(tile, self.target / work);
            works.push(self.once(reference, tile, picture)?.wall / picture.tiles as f64);
            for (sweep, runs) in sweeps.iter_mut().zip(&mut runs) {
                if !sweep.goes_on() {
                    continue;
                }
                let picture = self.sweep.picture(tile, sweep.best * self.target / work);
                match self.once(sweep, tile, picture) {
                    Ok(run) => runs.push((picture, run)),
                    Err(error) => sweep.failure = Some(format!("tiles of {tile}: {error:#}")),
                }
            }
        }
        work = median(&works).context("there is a round")?;
        let cut = Cut { tile: tile.to_owned(), work_s: work };
        for (sweep, runs) in sweeps.into_iter().zip(runs) {
            sweep.add(&cut, runs);
        }
        Ok(cut)
    }

    /// Measures the reference's time for one tile, with larger and larger pictures until a run is
    /// long enough, or the picture has its maximum size.
    fn calibrate(&self, reference: &ModelSweep, tile: &str, guess: Option<f64>) -> Result<f64> {
        let mut tiles = guess.map_or(8.0, |guess| self.target / 4.0 / guess);
        loop {
            let picture = self.sweep.picture(tile, tiles);
            let run = self.once(reference, tile, picture)?;
            let is_largest = picture == self.sweep.picture(tile, tiles * 2.0);
            if run.wall > self.target / 8.0 || is_largest {
                return Ok(run.wall / picture.tiles as f64);
            }
            tiles = picture.tiles as f64 * 4.0;
        }
    }

    /// One run. Its totals must be those of the picture.
    fn once(&self, sweep: &ModelSweep, tile: &str, picture: Picture) -> Result<PictureRun> {
        let Picture { width, height, tiles } = picture;
        let size = format!("{width}x{height}");
        let more = ["--size", &size, "--tile", tile].into_iter().chain(sweep.batching.args().iter().copied());
        let args = self.sweep.args.iter().cloned().chain(more.map(str::to_owned)).collect();
        let subject = Subject { args, ..Subject::default() };
        let request = Request { query: &self.query, subject: &subject };
        self.progress.set_message(sweep.entrant.label.clone());
        self.progress.tick();
        let Invocation { command, stdin } = sweep.entrant.call.command(request, &self.scratch)?;
        let stop_after = Duration::from_secs_f64(sweep.empty + self.target * STOP_AFTER);
        // The reference and the empty job define the scale, so they are never interrupted.
        let interrupt = (sweep.entrant.kind == Kind::Model && tiles > 1).then_some(stop_after);
        let timeout = Some(stop_after + TIMEOUT);
        let measurement = run(
            command,
            RunOptions {
                stdin,
                interrupt,
                timeout,
                cancel: Some(self.cancel.clone()),
                ..RunOptions::default()
            },
        )?;
        if let Some(why) = crashed(&measurement) {
            bail!(why);
        }
        // At least a tenth of the time remains: otherwise an empty job that was slow by chance
        // could make the difference zero or negative.
        let wall = (seconds(measurement.wall) - sweep.empty).max(seconds(measurement.wall) / 10.0);
        if measurement.stop.is_some() && measurement.report.is_none() {
            return Ok(PictureRun { wall, totals: None });
        }
        let totals =
            measurement.report.context("no report").with_context(|| measurement.status.to_string())?.totals;
        let has = |name: &str, wanted: u64| totals.get(name) == Some(&wanted);
        let is_single = sweep.batching == Batching::Joined || has("tasks", tiles);
        if !measurement.status.success()
            || !has("pixels", width * height)
            || !has("tiles", tiles)
            || !is_single
        {
            bail!("{}, totals {totals:?} for {tiles} tiles of {tile} in {size}", measurement.status);
        }
        Ok(PictureRun { wall, totals: Some(totals) })
    }
}

fn row([single, joined]: Pair) -> Row {
    let Entrant { name, label, mechanism, .. } = single.entrant;
    Row {
        name: name.clone(),
        label: label.clone(),
        mechanism: mechanism.clone(),
        single: single.curve(),
        joined: joined.curve(),
    }
}

/// The numbers of `ROWSxCOLUMNS`.
fn shape(tile: &str) -> (u64, u64) {
    let numbers = tile.split_once('x').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    numbers.unwrap_or((1, 1))
}

fn pixels(tile: &str) -> u64 {
    let (rows, columns) = shape(tile);
    rows * columns
}

impl GranularityResult {
    /// The failures, one paragraph each.
    pub(crate) fn failures(&self) -> Vec<String> {
        let of_row = |row: &Row| {
            let failed = |curve: &Curve, how: &str| {
                Some(format!("{} failed {how}: {}", row.name, curve.failure.as_ref()?))
            };
            [failed(&row.single, "with one tile per message"), failed(&row.joined, "with batches of tiles")]
        };
        self.rows.iter().flat_map(of_row).flatten().collect()
    }

    pub(crate) fn outcome(&self) -> Outcome {
        if self.failures().is_empty() { Outcome::Agree } else { Outcome::Failed }
    }
}

#[cfg(test)]
mod tests;
