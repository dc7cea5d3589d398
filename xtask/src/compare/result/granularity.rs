//! The result of `--granularity`: how small tasks may become.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::Machine;

/// The result of a granularity sweep.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GranularityResult {
    pub workload: String,
    pub command: String,
    pub machine: Machine,
    pub workers: NonZeroUsize,
    pub rounds: usize,
    /// The time of a run at a model's best rate.
    pub target_s: f64,
    pub args: Vec<String>,
    /// The tile sizes, from large to small.
    pub tiles: Vec<Cut>,
    pub rows: Vec<Row>,
    pub absent: Vec<String>,
}

/// A tile size, and the work in one tile.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cut {
    pub tile: String,
    /// The reference's time for one tile.
    pub work_s: f64,
}

/// The sweeps of one model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    pub name: String,
    pub label: String,
    pub mechanism: String,
    /// The sweep with one tile per message.
    pub single: Curve,
    /// The sweep with as many tiles per message as the model batches.
    pub joined: Curve,
}

/// How a model's rate falls as the tiles become smaller.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Curve {
    /// The time of an empty job, which has been subtracted.
    pub empty_s: f64,
    /// The best rate: how many workers' work it equals.
    pub best: f64,
    pub metg: Option<Metg>,
    pub points: Vec<Point>,
    pub failure: Option<String>,
}

/// The median run of a model with one tile size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
    pub tile: String,
    pub work_s: f64,
    pub tiles: u64,
    /// The time of the run, without that of an empty job.
    pub wall_s: f64,
    /// The work in all tiles divided by the time.
    pub rate: f64,
    pub tiles_per_message: Option<f64>,
    /// Whether the run was stopped; `rate` is then an upper bound.
    pub stopped: bool,
}

/// The smallest task with which a model still reaches half of its best rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metg {
    pub work_s: f64,
    /// Whether `work_s` is only an upper bound: the smallest tile that was measured.
    pub is_bound: bool,
    pub tiles_per_message: Option<f64>,
}
