//! The decimal numbers of INCRBYFLOAT.
//!
//! Redis adds in `long double` and prints 17 decimals. Here numbers of that precision are added
//! exactly, in units of 10⁻¹⁷, so 0.1 and 0.2 are 0.3 as in Redis; larger ones are added as `f64`.

/// Decimals that are kept.
const DECIMALS: u32 = 17;
/// Numbers below this are added exactly: the units of their sum fit into an `i128`.
const MAX_EXACT: f64 = 1e17;
/// Maximum bytes of a number, as in Redis: the longest `f64` has 309 digits before the point.
const MAX_LENGTH: usize = 5 * 1024;

/// The sum of two decimal numbers, or why there is none.
pub(super) fn add(one: &[u8], other: &[u8]) -> Result<String, FloatError> {
    let (one, other) = (parse(one)?, parse(other)?);
    if let (Some(one), Some(other)) = (one.units, other.units) {
        return Ok(shown(one + other));
    }
    let sum = one.value + other.value;
    if sum.is_finite() { Ok(format!("{sum}")) } else { Err(FloatError::NotFinite) }
}

/// Why two numbers have no sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FloatError {
    /// One of them is not a number.
    Malformed,
    /// The sum is infinite or not a number.
    NotFinite,
}

struct Number {
    value: f64,
    /// The number in units of 10⁻¹⁷, if it is one of these.
    units: Option<i128>,
}

fn parse(text: &[u8]) -> Result<Number, FloatError> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= MAX_LENGTH);
    let text = text.ok_or(FloatError::Malformed)?;
    let value: f64 = text.parse().map_err(|_| FloatError::Malformed)?;
    if value.is_nan() {
        return Err(FloatError::Malformed);
    }
    Ok(Number { value, units: if value.abs() < MAX_EXACT { units(text) } else { None } })
}

/// The number in units of 10⁻¹⁷, if it is written without an exponent and has no more decimals.
fn units(text: &str) -> Option<i128> {
    let (is_negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let missing = DECIMALS.checked_sub(u32::try_from(decimals.len()).ok()?)?;
    let all = format!("{whole}{decimals}");
    let units = all.parse::<i128>().ok()?.checked_mul(10i128.pow(missing))?;
    Some(if is_negative { -units } else { units })
}

fn shown(units: i128) -> String {
    let (one, sign) = (10u128.pow(DECIMALS), if units < 0 { "-" } else { "" });
    let (whole, decimals) = (units.unsigned_abs() / one, units.unsigned_abs() % one);
    let text = format!("{sign}{whole}.{decimals:017}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_redis() {
        for (one, other, sum) in [
            ("0.1", "0.2", "0.3"),
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "200", "5200"),
            ("3", "-5", "-2"),
            ("-1.5", "1.5", "0"),
            ("1e20", "1", "100000000000000000000"),
            ("99999999999999999", "1", "100000000000000000"),
        ] {
            assert_eq!(add(one.as_bytes(), other.as_bytes()).as_deref(), Ok(sum));
        }
    }

    #[test]
    fn what_is_not_a_number_has_no_sum() {
        for text in ["", " 1", "1 ", "x", "nan", "1.2.3", "0x10"] {
            assert_eq!(add(text.as_bytes(), b"1"), Err(FloatError::Malformed), "{text}");
        }
        assert_eq!(add(b"1e308", b"1e308"), Err(FloatError::NotFinite));
        assert_eq!(add(b"1", b"inf"), Err(FloatError::NotFinite));
    }
}
