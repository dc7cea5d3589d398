//! The tables of a granularity sweep, with their notes.

use std::fmt::Write;

use crate::compare::{
    measure::granularity::curve::END,
    plan::query::line,
    result::granularity::{Curve, Cut, GranularityResult, Metg, Point},
    show::table::aligned,
    words::plural,
};

impl GranularityResult {
    /// The tables with their notes.
    pub(crate) fn text(&self) -> String {
        let Self { workload, workers, rounds, target_s, machine, command, .. } = self;
        let workers = plural(workers.get(), "worker");
        let runs = plural(*rounds, "round");
        let mut text = format!("{workload} {}  ·  {workers}  ·  {runs}\n\n", line(&self.args));
        for table in [self.singles(), self.joined(), self.messages()] {
            text += &table;
            text += "\n";
        }
        let _ = write!(
            text,
            "machine  {}\n\
             command  {command}\n\
             work     the time of the sequential reference for one tile; every pixel costs the same\n\
             rate     tiles × work / time, in percent of the row's best rate; best rate: how many workers' work it\n         \
             equals. The time of an empty job is subtracted. Median of runs that take {target_s} s at the best\n         \
             rate; a sweep ends below {:.0} %\n\
             METG     METG(50 %), minimum effective task granularity: the work in the smallest tile at which the\n         \
             rate is half of the best, interpolated between two tile sizes over the logarithm of the work;\n         \
             < if the smallest tile was not small enough\n\
             message  the tiles that are sent together: one (--grain 1), or as many as the model batches",
            machine.shown(),
            END * 100.0,
        );
        for absent in &self.absent {
            let _ = write!(text, "\nabsent   {absent}");
        }
        text
    }

    /// Both METGs, and the rates with one tile per message.
    pub(crate) fn singles(&self) -> String {
        let works = self.tiles.iter().map(|cut| micros(cut.work_s));
        let units = ["work in a tile, µs", "µs", "µs", "workers"].map(str::to_owned).into_iter().chain(works);
        let mut rows =
            vec![self.head("one tile per message", &["METG", "batched", "best rate"]), units.collect()];
        rows.extend(self.rows.iter().map(|row| {
            let metgs = [&row.single, &row.joined].map(|curve| curve.metg.map_or_else(dash, Metg::shown));
            [row.name.clone()].into_iter().chain(metgs).chain(self.rates(&row.single)).collect()
        }));
        aligned(&rows, 2)
    }

    /// The rates with the model's own batches of tiles.
    pub(crate) fn joined(&self) -> String {
        let mut rows = vec![self.head("batched by the model", &["best rate"])];
        rows.extend(
            self.rows
                .iter()
                .map(|row| [row.name.clone()].into_iter().chain(self.rates(&row.joined)).collect()),
        );
        aligned(&rows, 1)
    }

    /// How many tiles a model batches.
    pub(crate) fn messages(&self) -> String {
        let mut rows = vec![self.head("tiles per message", &["at METG"])];
        rows.extend(self.rows.iter().map(|row| {
            let metg = count(row.joined.metg.and_then(|metg| metg.tiles_per_message));
            let cells = self.cells(&row.joined, |point| count(point.tiles_per_message));
            [row.name.clone(), metg].into_iter().chain(cells).collect()
        }));
        aligned(&rows, 1)
    }

    fn head(&self, first: &str, more: &[&str]) -> Vec<String> {
        let tiles = self.tiles.iter().map(|cut| cut.tile.as_str());
        [first].iter().chain(more).copied().chain(tiles).map(str::to_owned).collect()
    }

    /// The best rate, and the rate with each tile size.
    fn rates(&self, curve: &Curve) -> impl Iterator<Item = String> {
        let rate = |point: &Point| {
            let bound = if point.stopped { "< " } else { "" };
            format!("{bound}{:.0}", 100.0 * point.rate / curve.best)
        };
        [format!("{:.2}", curve.best)].into_iter().chain(self.cells(curve, rate))
    }

    /// One cell per tile size; a dash if the model's sweep ended before.
    fn cells(&self, curve: &Curve, cell: impl Fn(&Point) -> String) -> Vec<String> {
        let point = |cut: &Cut| curve.points.iter().find(|point| point.tile == cut.tile);
        self.tiles.iter().map(|cut| point(cut).map_or_else(dash, &cell)).collect()
    }
}

impl Metg {
    fn shown(self) -> String {
        let bound = if self.is_bound { "< " } else { "" };
        format!("{bound}{}", micros(self.work_s))
    }
}

fn dash() -> String {
    "–".to_owned()
}

/// Microseconds with at least two significant digits.
fn micros(seconds: f64) -> String {
    match seconds * 1e6 {
        value if value < 0.1 => format!("{value:.3}"),
        value if value < 1.0 => format!("{value:.2}"),
        value if value < 10.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

fn count(tiles: Option<f64>) -> String {
    match tiles {
        None => dash(),
        Some(tiles) if tiles < 10.0 && tiles.fract() > 0.05 => format!("{tiles:.1}"),
        Some(tiles) => format!("{tiles:.0}"),
    }
}
