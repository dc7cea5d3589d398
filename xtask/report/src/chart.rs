//! The elements that all charts share: scales, ticks, axes and marks.
//!
//! The charts are SVG that this crate writes itself. Libraries such as `plotters` draw one image of
//! a fixed size that contains its colours and texts. On a small screen its letters shrink with the
//! image, a dark theme does not change it, and a screen reader finds only paths. Here a chart is a
//! list of lanes. Names and figures are ordinary text of the page, and only the marks are drawn.
//! Positions along the axis are in percent: a lane uses all available width, while marks and
//! letters keep their size. Colours come from the page's theme, and each lane has a text
//! alternative.

use maud::{Markup, html};

/// Maps values to positions along an axis.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    low: f64,
    high: f64,
    is_log: bool,
}

/// Margin at both ends, in percent of the width.
const MARGIN: f64 = 3.0;
/// Minimum ratio of the largest to the smallest value for a logarithmic scale: on a linear scale,
/// differences between the small values would be invisible.
const WIDE: f64 = 12.0;
/// Approximate number of ticks on a linear scale.
const TICKS: f64 = 4.0;

impl Scale {
    /// From zero to the largest value.
    #[must_use]
    pub fn from_zero(values: impl IntoIterator<Item = f64>) -> Self {
        let high = values.into_iter().fold(f64::MIN_POSITIVE, f64::max);
        Self { low: 0.0, high, is_log: false }
    }

    /// From the smallest to the largest value; logarithmic if they are far apart.
    #[must_use]
    pub fn over(values: impl IntoIterator<Item = f64>) -> Self {
        let positive = values.into_iter().filter(|value| *value > 0.0);
        let (low, high) =
            positive.fold((f64::MAX, f64::MIN_POSITIVE), |(low, high), v| (low.min(v), high.max(v)));
        let is_log = high > low * WIDE;
        let room = if high > low { 0.0 } else { high * 0.05 };
        Self { low: (low - room).min(high), high: high + room, is_log }
    }

    /// From the smallest to the largest value, always logarithmic.
    #[must_use]
    pub fn log(values: impl IntoIterator<Item = f64>) -> Self {
        Self { is_log: true, ..Self::over(values) }
    }

    /// Whether the scale is logarithmic.
    #[must_use]
    pub fn is_log(&self) -> bool {
        self.is_log
    }

    /// The position of a value, in percent of the width.
    #[must_use]
    pub fn at(&self, value: f64) -> f64 {
        let part = |value: f64, low: f64, high: f64| (value - low) / (high - low).max(f64::MIN_POSITIVE);
        let part = match self.is_log {
            true => part(value.ln(), self.low.ln(), self.high.ln()),
            false => part(value, self.low, self.high),
        };
        MARGIN + part.clamp(0.0, 1.0) * (100.0 - 2.0 * MARGIN)
    }

    /// Round values within the scale.
    #[must_use]
    pub fn ticks(&self) -> Vec<f64> {
        let step = if self.is_log { return self.decades() } else { step((self.high - self.low) / TICKS) };
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|n| n as f64 * step).collect()
    }

    /// Powers of ten; also twice and five times these, if there is room.
    fn decades(&self) -> Vec<f64> {
        let range = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let digits: &[f64] = if self.high / self.low > 500.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let all = range.flat_map(|power| digits.iter().map(move |digit| digit * 10f64.powi(power)));
        all.filter(|tick| (self.low..=self.high).contains(tick)).collect()
    }
}

/// The next larger round step: 1, 2 or 5 times a power of ten.
fn step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    let digit = [1.0, 2.0, 5.0, 10.0].into_iter().find(|digit| digit * power >= rough);
    digit.unwrap_or(10.0) * power
}

/// A position in percent, as SVG has it.
#[must_use]
pub fn percent(at: f64) -> String {
    format!("{at:.2}%")
}

/// Vertical lines at the ticks, over the height of the lane.
#[must_use]
pub fn grid(scale: &Scale) -> Markup {
    html! {
        @for tick in scale.ticks() {
            @let x = percent(scale.at(tick));
            line class="grid" x1=(x) x2=(x) y1="0" y2="100%" {}
        }
    }
}

/// The axis below the lanes. Screen readers skip it: each lane's text has its figures.
#[must_use]
pub fn axis(scale: &Scale, shown: impl Fn(f64) -> String, unit: &str) -> Markup {
    html! {
        div class="lane axis" aria-hidden="true" {
            span class="lane-name" {}
            svg class="strip" width="100%" height="22" {
                @for tick in scale.ticks() {
                    text x=(percent(scale.at(tick))) y="15" text-anchor="middle" { (shown(tick)) }
                }
            }
            span class="figure" { (unit) }
        }
    }
}

/// A mark with the shape of the class, and a tooltip.
#[must_use]
pub fn mark(class: &str, x: f64, y: f64, title: &str) -> Markup {
    html! { use href={ "#" (class) } x=(percent(x)) y=(format!("{y:.1}")) { title { (title) } } }
}

/// A line between two points: x in percent, y in pixels.
#[must_use]
pub fn segment(class: &str, from: (f64, f64), to: (f64, f64)) -> Markup {
    let px = |y: f64| format!("{y:.1}");
    html! { line class=(class) x1=(percent(from.0)) y1=(px(from.1)) x2=(percent(to.0)) y2=(px(to.1)) {} }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within_the_scale() {
        assert_eq!(Scale::from_zero([0.0, 9.0]).ticks(), [0.0, 5.0]);
        assert_eq!(Scale::over([296.0, 519.0]).ticks(), [300.0, 400.0, 500.0]);
        assert_eq!(Scale::over([1.0, 100.0]).ticks(), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
    }

    #[test]
    fn positions_leave_a_margin() {
        let scale = Scale::from_zero([10.0]);
        assert_eq!([0.0, 5.0, 10.0].map(|value| scale.at(value)), [3.0, 50.0, 97.0]);
        let one = Scale::over([7.0]);
        assert!((one.at(7.0) - 50.0).abs() < 1e-6);
    }
}
