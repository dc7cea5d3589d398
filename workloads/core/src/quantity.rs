//! Numbers, durations and sizes on a command line.

use std::{num::NonZeroUsize, time::Duration};

/// A number from 1 to `max`.
///
/// # Errors
///
/// If it is not such a number: a text for a message.
pub fn up_to(text: &str, max: usize) -> Result<NonZeroUsize, String> {
    let number = text.parse().ok().filter(|number: &NonZeroUsize| number.get() <= max);
    number.ok_or_else(|| format!("it must be a number from 1 to {max}"))
}

/// The longest duration that a flag accepts: ten years. A longer one has no practical use, and
/// adding it to the current time could overflow.
const MAX_SECONDS: f64 = 10.0 * 365.25 * 86_400.0;

/// A duration in seconds, which may have a fraction.
///
/// # Errors
///
/// If it is not a number, not greater than zero, or more than ten years: a text for a message.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "it must be a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        _ if seconds > MAX_SECONDS => Err(format!("it must be at most {MAX_SECONDS} (ten years)")),
        Ok(time) if !time.is_zero() => Ok(time),
        Ok(_) => Err("it must be greater than zero".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A number of bytes with an optional suffix K, M or G (powers of 1024).
///
/// # Errors
///
/// If it is not such a number, or too large: a text for a message.
pub fn size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "a size begins with a number".to_owned())?;
    let power = match suffix {
        "" => 0,
        "K" | "k" => 1,
        "M" | "m" => 2,
        "G" | "g" => 3,
        _ => return Err(format!("{suffix:?} is not K, M or G")),
    };
    number.checked_mul(1 << (10 * power)).ok_or_else(|| "it is too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_be_fractions() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(seconds("315576000"), Ok(Duration::from_secs(315_576_000)));
        let refused = ["", "x", "-1", "0", "inf", "NaN", "315576001", "1e18", "1e19", "1e308"];
        assert!(refused.iter().all(|text| seconds(text).is_err()));
        assert!(seconds("1e19").unwrap_err().contains("ten years"));
    }

    #[test]
    fn sizes_have_suffixes() {
        assert_eq!(["7", "7K", "7m", "7G"].map(size), [7, 7 << 10, 7 << 20, 7 << 30].map(Ok));
        assert!(["", "K", "7T", "99999999999G"].iter().all(|text| size(text).is_err()));
    }
}
