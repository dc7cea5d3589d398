//! The tables of a sweep, with what there is to know about them.

use std::fmt::Write;

use crate::compare::{
    measure::granularity::curve::ENOUGH,
    plan::query::line,
    result::granularity::{Curve, Cut, Metg, Point, Swept},
    show::table::aligned,
    words::plural,
};

impl Swept {
    /// The tables with what there is to know about them.
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
             work     what the sequential reference needs for one tile; every pixel costs the same\n\
             rate     tiles × work / time, in percent of the row's best, which is given in workers' work; the time of an\n         \
             empty job is subtracted; medians of runs of {target_s} s at the best rate; ends below {:.0} %\n\
             METG     METG(50 %): the work in the smallest tile at which the rate is half of the best, between two cuts by\n         \
             interpolation over its logarithm; < where no cut was fine enough\n\
             message  what is handed over at once: one tile (--grain 1), or as many as the model joins in one",
            machine.shown(),
            ENOUGH * 100.0,
        );
        for absent in &self.absent {
            let _ = write!(text, "\nabsent   {absent}");
        }
        text
    }

    /// Both METGs, and the rates with one tile a message.
    pub(crate) fn singles(&self) -> String {
        let works = self.tiles.iter().map(|cut| micros(cut.work_s));
        let units = ["work in a tile, µs", "µs", "µs", "workers"].map(str::to_owned).into_iter().chain(works);
        let mut rows =
            vec![self.head("one tile a message", &["METG", "as joined", "best rate"]), units.collect()];
        rows.extend(self.rows.iter().map(|row| {
            let metgs = [&row.single, &row.joined].map(|curve| curve.metg.map_or_else(dash, Metg::shown));
            [row.name.clone()].into_iter().chain(metgs).chain(self.rates(&row.single)).collect()
        }));
        aligned(&rows, 2)
    }

    /// The rates as the models join tiles.
    pub(crate) fn joined(&self) -> String {
        let mut rows = vec![self.head("as the model joins them", &["best rate"])];
        rows.extend(
            self.rows
                .iter()
                .map(|row| [row.name.clone()].into_iter().chain(self.rates(&row.joined)).collect()),
        );
        aligned(&rows, 1)
    }

    /// How many it joins.
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

    /// The best rate, and those with each tile.
    fn rates(&self, curve: &Curve) -> impl Iterator<Item = String> {
        let rate = |point: &Point| {
            let bound = if point.stopped { "< " } else { "" };
            format!("{bound}{:.0}", 100.0 * point.rate / curve.best)
        };
        [format!("{:.2}", curve.best)].into_iter().chain(self.cells(curve, rate))
    }

    /// A cell for each tile that the model came to.
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

/// Two digits at least.
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
