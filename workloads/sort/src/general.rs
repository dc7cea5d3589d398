//! Numbers as `sort -g` reads them: what C's `strtod` accepts.
//!
//! The text is read as a number of double precision. GNU sort reads a `long double`, so it tells
//! numbers apart that differ only after the sixteenth digit, and numbers beyond 1e308.

/// The order of the text's number, as an integer: texts that are no number come first, then NaNs,
/// then numbers. Two texts are equal if their integers are.
pub(super) fn prefix(text: &[u8]) -> u64 {
    const NO_NUMBER: u64 = 0;
    const NEGATIVE_NAN: u64 = 1;
    const NAN: u64 = 2;
    let Some(number) = read(text) else { return NO_NUMBER };
    if number.is_nan() {
        return if number.is_sign_negative() { NEGATIVE_NAN } else { NAN };
    }
    let bits = (number + 0.0).to_bits(); // a negative zero becomes a positive one
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

/// The number that the text begins with.
fn read(text: &[u8]) -> Option<f64> {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    let text = &text[blanks..];
    let (is_negative, text) = match text.split_first() {
        Some((b'-', after)) => (true, after),
        Some((b'+', after)) => (false, after),
        _ => (false, text),
    };
    let magnitude = read_hexadecimal(text).or_else(|| read_decimal(text)).or_else(|| read_word(text))?;
    Some(if is_negative { -magnitude } else { magnitude })
}

fn read_word(text: &[u8]) -> Option<f64> {
    let is = |word: &[u8]| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    if is(b"inf") { Some(f64::INFINITY) } else { is(b"nan").then_some(f64::NAN) }
}

fn read_decimal(text: &[u8]) -> Option<f64> {
    let (end, has_digits) = mantissa(text, u8::is_ascii_digit);
    if !has_digits {
        return None;
    }
    let end = end + exponent(&text[end..], b'e').map_or(0, |(length, _)| length);
    str::from_utf8(&text[..end]).ok()?.parse().ok()
}

/// Reads `0x`, hexadecimal digits with a point, and a binary exponent. If no digits follow, the
/// text is the number zero.
fn read_hexadecimal(text: &[u8]) -> Option<f64> {
    let text = text.strip_prefix(b"0x").or_else(|| text.strip_prefix(b"0X"))?;
    let (end, has_digits) = mantissa(text, u8::is_ascii_hexdigit);
    if !has_digits {
        return None;
    }
    let (mut number, mut scale, mut is_fraction) = (0.0_f64, 0_i32, false);
    for byte in &text[..end] {
        match char::from(*byte).to_digit(16) {
            None => is_fraction = true,
            Some(digit) => {
                number = number * 16.0 + f64::from(digit);
                scale -= if is_fraction { 4 } else { 0 };
            }
        }
    }
    let exponent = exponent(&text[end..], b'p').map_or(0, |(_, exponent)| exponent);
    Some(number * f64::from(scale.saturating_add(exponent)).exp2())
}

/// The length of the digits that the text begins with, with at most one point among them; and
/// whether there is a digit.
fn mantissa(text: &[u8], is_digit: impl Fn(&u8) -> bool) -> (usize, bool) {
    let count = |text: &[u8]| text.iter().take_while(|byte| is_digit(byte)).count();
    let integer = count(text);
    match text[integer..].strip_prefix(b".") {
        None => (integer, integer > 0),
        Some(after) => {
            let fraction = count(after);
            (integer + 1 + fraction, integer + fraction > 0)
        }
    }
}

/// The length and the value of an exponent, which has at least one digit.
fn exponent(text: &[u8], letter: u8) -> Option<(usize, i32)> {
    let (first, after) = text.split_first()?;
    if first.to_ascii_lowercase() != letter {
        return None;
    }
    let sign = usize::from(matches!(after.first(), Some(b'+' | b'-')));
    let digits = after[sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let value = after[sign..sign + digits]
        .iter()
        .fold(0_i32, |value, digit| value.saturating_mul(10).saturating_add(i32::from(digit - b'0')));
    let value = if after.first() == Some(&b'-') { -value } else { value };
    (digits > 0).then_some((1 + sign + digits, value))
}

#[cfg(test)]
mod tests {
    use super::prefix;
    use crate::keys::for_each_pair;

    #[test]
    fn numbers_of_c_are_in_order() {
        let ordered: &[&[&str]] = &[
            &["", "x", "-", "+", ".", "e5", "-.e1", "--1"],
            &["-nan"],
            &["nan", "NaN(1)"],
            &["-inf", "-INFINITY", "-1e999"],
            &["-1e3", "-1000x"],
            &["-0.5", "-.5", "-5e-1"],
            &["0", "-0", "+0", "0x", "0e", "0e+", "0xg"],
            &["1e-3", " \t.001"],
            &["1", "+1", "1e", "1e+", "1 2", "\x0b1.", "0x1"],
            &["1.5", "0x1.8", "0x3p-1"],
            &["10", "0xA", "1e1"],
            &["1e300"],
            &["inf", "Infinity", "1e999"],
        ];
        for_each_pair(ordered, |one, other, expected| {
            let order = prefix(one.as_bytes()).cmp(&prefix(other.as_bytes()));
            assert_eq!(order, expected, "{one:?} and {other:?}");
        });
    }
}
