//! How finely a workload may be cut: what `--granularity` found.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::Machine;

/// What a sweep came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Swept {
    pub workload: String,
    pub command: String,
    pub machine: Machine,
    pub workers: NonZeroUsize,
    pub rounds: usize,
    /// How long a run takes at a model's best rate.
    pub target_s: f64,
    pub args: Vec<String>,
    /// What one worker needs for a tile of each shape.
    pub tiles: Vec<Cut>,
    pub rows: Vec<Row>,
    pub absent: Vec<String>,
}

/// A shape of tiles, and the work that is in one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cut {
    pub tile: String,
    pub work_s: f64,
}

/// One model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    pub name: String,
    pub label: String,
    pub mechanism: String,
    /// With one tile a message.
    pub single: Curve,
    /// With as many as the model joins.
    pub joined: Curve,
}

/// How a model's rate falls as the tiles become smaller.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Curve {
    /// The time of an empty job, which has been subtracted.
    pub empty_s: f64,
    /// How many workers' work it does at best.
    pub best: f64,
    pub metg: Option<Metg>,
    pub points: Vec<Point>,
    pub failure: Option<String>,
}

/// A model at one shape of tiles: the median run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metg {
    pub work_s: f64,
    /// Whether it is smaller than this, the smallest that there was.
    pub is_bound: bool,
    pub tiles_per_message: Option<f64>,
}
