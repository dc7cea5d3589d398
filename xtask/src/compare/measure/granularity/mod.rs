//! `--granularity`: how small tasks may become before a model spends its time on sharing them.
//!
//! The measure is Task Bench's METG(50 %), the minimum effective task granularity: the smallest
//! task at which a model still works at half of its best rate. A picture whose pixels all cost the
//! same is cut ever finer, so that a tile's work is known: what one worker alone needs for it,
//! which is the reference's time for it. A model's rate is the work that it does in a second; it
//! counts tiles at what they cost by themselves, so that what a kernel loses on a tile that is
//! smaller than its vectors is not held against the model.
//!
//! Every model is measured twice. With one tile a message (`--grain 1`), the figure is what its
//! mechanism costs, and comparable; left alone, a model may join small tiles into one message, and
//! the figure is what a user gets.
//!
//! What an empty job takes is subtracted from every run. A picture has as many rows as keep a model
//! busy for a given time at its best rate, and a sweep ends below a quarter of that.

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

use curve::Lane;

use crate::{
    compare::{
        measure::{
            granularity::picture::{Handover, Picture, Ran},
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
            granularity::{Curve, Cut, Row, Swept},
            seconds,
        },
        stats::estimate::median,
    },
    process::cancel::Cancel,
};

/// A run is stopped after this multiple of its time at the best rate: far below the part that ends
/// a sweep.
const PATIENCE: f64 = 8.0;
/// When it is killed after that.
const TIMEOUT: Duration = Duration::from_secs(60);
/// No more tiles than these, and no more pixels, whose counts take four bytes each.
const TILES: u64 = 20_000_000;
const PIXELS: u64 = 1 << 26;
/// Runs of the empty job.
const EMPTY_ROUNDS: usize = 5;

impl Sweep {
    /// Measures the models among the entrants, of whom the first is the reference.
    pub(crate) fn run(
        &self,
        workload: &str,
        entrants: &[Entrant],
        absent: &[String],
        args: &Args,
        kept: &Path,
        cancel: &Cancel,
    ) -> Result<Swept> {
        let (target, rounds) = if args.smoke { (0.05, 1) } else { (0.4, 3) };
        let rounds = args.rounds.map_or(rounds, NonZeroUsize::get);
        let progress = ProgressBar::no_length();
        progress.set_style(ProgressStyle::with_template("{spinner} {prefix} {msg}")?);
        let query = Query::new("sweep", &[]);
        let bench = Bench { sweep: self, query, target, rounds, progress, kept: kept.to_owned(), cancel };
        let (reference, models) = entrants.split_first().context("there is a reference")?;
        let reference = bench.lane(reference, Handover::Single)?;
        let mut models: Vec<Pair> = models
            .iter()
            .filter(|entrant| entrant.kind != Kind::Tool)
            .map(|model| Ok([bench.lane(model, Handover::Single)?, bench.lane(model, Handover::Joined)?]))
            .collect::<Result<_>>()?;
        let mut cuts: Vec<Cut> = Vec::new();
        for tile in &self.tiles {
            bench.progress.set_prefix(format!("tiles of {tile}:"));
            let guess = cuts.last().map(|last| last.work_s * pixels(tile) as f64 / pixels(&last.tile) as f64);
            cuts.push(bench.point(tile, guess, &reference, &mut models)?);
        }
        bench.progress.finish_and_clear();
        let _ = fs::remove_dir_all(kept); // nothing was needed there
        Ok(Swept {
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

    /// The picture that has about this number of tiles.
    fn picture(&self, tile: &str, tiles: f64) -> Picture {
        let (rows, columns) = shape(tile);
        let in_a_row = self.width.div_ceil(columns);
        let fit = TILES.min(PIXELS / (rows * columns)) / in_a_row;
        let tiles_high = ((tiles as u64).div_ceil(in_a_row)).clamp(1, fit.max(1));
        Picture { width: self.width, height: tiles_high * rows, tiles: tiles_high * in_a_row }
    }
}

/// What all runs have in common.
struct Bench<'a> {
    sweep: &'a Sweep,
    query: Query,
    /// How long a run takes at a model's best rate.
    target: f64,
    rounds: usize,
    progress: ProgressBar,
    kept: PathBuf,
    cancel: &'a Cancel,
}

/// A model's two ways: with one tile a message, and with as many as it joins.
type Pair<'a> = [Lane<'a>; 2];

impl Bench<'_> {
    /// A model at the start, after some empty jobs.
    fn lane<'a>(&self, entrant: &'a Entrant, handover: Handover) -> Result<Lane<'a>> {
        self.progress.set_prefix("starting:");
        let picture = Picture { width: 1, height: 1, tiles: 1 };
        let mut lane = Lane { entrant, handover, empty: 0.0, best: 0.0, points: Vec::new(), failure: None };
        let mut walls = Vec::new();
        for _ in 0..EMPTY_ROUNDS {
            match self.once(&lane, "1x1", picture) {
                Ok(ran) => walls.push(ran.wall),
                Err(error) if entrant.kind == Kind::Reference => return Err(error),
                Err(error) => lane.failure = Some(format!("{error:#}")),
            }
        }
        lane.empty = median(&walls).unwrap_or_default();
        Ok(lane)
    }

    /// All models at one shape of tiles, in rounds.
    fn point(&self, tile: &str, guess: Option<f64>, reference: &Lane, models: &mut [Pair]) -> Result<Cut> {
        let mut lanes: Vec<&mut Lane> = models.iter_mut().flatten().collect();
        let mut work = self.calibrate(reference, tile, guess)?;
        for lane in lanes.iter_mut().filter(|lane| lane.best == 0.0 && lane.goes_on()) {
            let picture = self.sweep.picture(tile, self.target / work);
            match self.once(lane, tile, picture) {
                Ok(ran) => lane.best = picture.tiles as f64 * work / ran.wall,
                Err(error) => lane.failure = Some(format!("tiles of {tile}: {error:#}")),
            }
        }
        let mut works = Vec::new();
        let mut runs: Vec<Vec<(Picture, Ran)>> = lanes.iter().map(|_| Vec::new()).collect();
        for _ in 0..self.rounds {
            let picture = self.sweep.picture(tile, self.target / work);
            works.push(self.once(reference, tile, picture)?.wall / picture.tiles as f64);
            for (lane, runs) in lanes.iter_mut().zip(&mut runs) {
                if !lane.goes_on() {
                    continue;
                }
                let picture = self.sweep.picture(tile, lane.best * self.target / work);
                match self.once(lane, tile, picture) {
                    Ok(ran) => runs.push((picture, ran)),
                    Err(error) => lane.failure = Some(format!("tiles of {tile}: {error:#}")),
                }
            }
        }
        work = median(&works).context("there is a round")?;
        let cut = Cut { tile: tile.to_owned(), work_s: work };
        for (lane, runs) in lanes.into_iter().zip(runs) {
            lane.add(&cut, runs);
        }
        Ok(cut)
    }

    /// What one worker needs for a tile, found with ever larger pictures.
    fn calibrate(&self, reference: &Lane, tile: &str, guess: Option<f64>) -> Result<f64> {
        let mut tiles = guess.map_or(8.0, |guess| self.target / 4.0 / guess);
        loop {
            let picture = self.sweep.picture(tile, tiles);
            let ran = self.once(reference, tile, picture)?;
            let is_all = picture == self.sweep.picture(tile, tiles * 2.0);
            if ran.wall > self.target / 8.0 || is_all {
                return Ok(ran.wall / picture.tiles as f64);
            }
            tiles = picture.tiles as f64 * 4.0;
        }
    }

    /// One run, whose totals must be what the picture has.
    fn once(&self, lane: &Lane, tile: &str, picture: Picture) -> Result<Ran> {
        let Picture { width, height, tiles } = picture;
        let size = format!("{width}x{height}");
        let more = ["--size", &size, "--tile", tile].into_iter().chain(lane.handover.args().iter().copied());
        let args = self.sweep.args.iter().cloned().chain(more.map(str::to_owned)).collect();
        let subject = Subject { args, ..Subject::default() };
        let request = Request { query: &self.query, subject: &subject };
        self.progress.set_message(lane.entrant.label.clone());
        self.progress.tick();
        let Invocation { command, stdin } = lane.entrant.call.command(request, &self.kept)?;
        let patience = Duration::from_secs_f64(lane.empty + self.target * PATIENCE);
        // The reference is as fast as it is, and an empty job takes what it takes.
        let interrupt = (lane.entrant.kind == Kind::Model && tiles > 1).then_some(patience);
        let timeout = Some(patience + TIMEOUT);
        let seen = run(
            command,
            RunOptions {
                stdin,
                interrupt,
                timeout,
                cancel: Some(self.cancel.clone()),
                ..RunOptions::default()
            },
        )?;
        if let Some(why) = crashed(&seen) {
            bail!(why);
        }
        // An empty job that was slow by chance makes no run fast.
        let wall = (seconds(seen.wall) - lane.empty).max(seconds(seen.wall) / 10.0);
        if seen.stop.is_some() && seen.report.is_none() {
            return Ok(Ran { wall, totals: None });
        }
        let totals = seen.report.context("no report").with_context(|| seen.status.to_string())?.totals;
        let has = |name: &str, wanted: u64| totals.get(name) == Some(&wanted);
        let is_single = lane.handover == Handover::Joined || has("tasks", tiles);
        if !seen.status.success() || !has("pixels", width * height) || !has("tiles", tiles) || !is_single {
            bail!("{}, totals {totals:?} for {tiles} tiles of {tile} in {size}", seen.status);
        }
        Ok(Ran { wall, totals: Some(totals) })
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

/// Rows and columns of `ROWSxCOLUMNS`.
fn shape(tile: &str) -> (u64, u64) {
    let numbers = tile.split_once('x').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    numbers.unwrap_or((1, 1))
}

fn pixels(tile: &str) -> u64 {
    let (rows, columns) = shape(tile);
    rows * columns
}

impl Swept {
    /// What has gone wrong, each in a paragraph of its own.
    pub(crate) fn troubles(&self) -> Vec<String> {
        let ways = |row: &Row| {
            let failed = |curve: &Curve, way: &str| {
                Some(format!("{} failed {way}: {}", row.name, curve.failure.as_ref()?))
            };
            [failed(&row.single, "with one tile a message"), failed(&row.joined, "as it joins tiles")]
        };
        self.rows.iter().flat_map(ways).flatten().collect()
    }

    pub(crate) fn outcome(&self) -> Outcome {
        if self.troubles().is_empty() { Outcome::Agree } else { Outcome::Failed }
    }
}

#[cfg(test)]
mod tests;
