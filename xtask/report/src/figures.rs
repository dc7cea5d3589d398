//! Numbers with few digits and their unit.

/// The space between a number and its unit: narrow, and without a line break.
const NARROW: char = '\u{202f}';

/// Milliseconds without their unit, with at least two significant digits.
#[must_use]
pub fn ms(seconds: f64) -> String {
    digits(seconds * 1e3)
}

/// Megabytes without their unit.
#[must_use]
pub fn mb(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

/// A time in seconds, milliseconds or microseconds, with the unit.
#[must_use]
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 10.0 => format!("{s:.1}{NARROW}s"),
        s if s >= 1e-3 => format!("{}{NARROW}ms", digits(s * 1e3)),
        s => format!("{}{NARROW}µs", digits(s * 1e6)),
    }
}

/// The label of an axis tick, without trailing zeros.
#[must_use]
pub fn tick(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Megabytes with the unit.
#[must_use]
pub fn memory(bytes: u64) -> String {
    format!("{}{NARROW}MB", mb(bytes))
}

/// Kilobytes with the unit.
#[must_use]
pub fn kilobytes(bytes: f64) -> String {
    format!("{}{NARROW}kB", digits(bytes / 1e3))
}

/// A ratio with two decimals.
#[must_use]
pub fn ratio(ratio: f64) -> String {
    format!("{ratio:.2}")
}

/// A fraction as a percentage.
#[must_use]
pub fn percent(part: f64) -> String {
    format!("{:.0}{NARROW}%", part * 100.0)
}

/// `threads`, `threads and rayon`, `threads, rayon and actors`.
#[must_use]
pub fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}

/// `1 round`, `5 rounds`.
#[must_use]
pub fn count(number: usize, thing: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{s}")
}

fn digits(value: f64) -> String {
    match value.abs() {
        v if v >= 9.95 => format!("{value:.0}"),
        v if v >= 0.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_digits_at_least() {
        assert_eq!([0.0004, 0.0071, 0.0123, 0.5194].map(ms), ["0.40", "7.1", "12", "519"]);
        assert_eq!(time(12.34), "12.3\u{202f}s");
        assert_eq!(time(0.000_023), "23\u{202f}µs");
    }

    #[test]
    fn ticks_have_no_trailing_zeros() {
        assert_eq!([0.0, 20.0, 0.5].map(tick), ["0", "20", "0.5"]);
    }

    #[test]
    fn lists_end_with_and() {
        let names = ["a", "b", "c"].map(str::to_owned);
        assert_eq!([0, 1, 2, 3].map(|n| list(&names[..n])), ["", "a", "a and b", "a, b and c"]);
    }
}
