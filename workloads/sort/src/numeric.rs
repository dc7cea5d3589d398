//! Numbers as `sort -n` reads them: blanks, a minus sign, digits, a point, digits. All that follows
//! is ignored.
//!
//! They are compared digit by digit, so numbers can have any length and precision.
//!
//! `sort -h` reads a unit after the number. The unit is compared first, so `1G` is greater than
//! `2000M`; a negative number with a unit is the less the larger the unit is.

use std::cmp::Ordering;

/// A number, as its digits. A text without digits is zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number<'a> {
    is_negative: bool,
    /// The digits before the point, without leading zeros.
    integer: &'a [u8],
    /// The digits after the point, without trailing zeros.
    fraction: &'a [u8],
}

impl<'a> Number<'a> {
    /// The number that the text begins with.
    pub(super) fn read(text: &'a [u8]) -> Self {
        let text = skip(text, is_blank);
        let (sign, text) = text.split_at(usize::from(text.first() == Some(&b'-')));
        let (integer, after) = digits(skip(text, |byte| byte == b'0'));
        let mut fraction = after.strip_prefix(b".").map_or(&b""[..], |after| digits(after).0);
        while let [head @ .., b'0'] = fraction {
            fraction = head;
        }
        let is_zero = integer.is_empty() && fraction.is_empty();
        Self { is_negative: !sign.is_empty() && !is_zero, integer, fraction }
    }

    pub(super) fn compare(&self, other: &Self) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (false, false) => self.compare_magnitude(other),
            (true, true) => other.compare_magnitude(self),
            (is_negative, other_is_negative) => other_is_negative.cmp(&is_negative),
        }
    }

    fn compare_magnitude(&self, other: &Self) -> Ordering {
        let by_length = self.integer.len().cmp(&other.integer.len());
        by_length
            .then_with(|| self.integer.cmp(other.integer))
            .then_with(|| self.fraction.cmp(other.fraction))
    }

    /// A number with the same order. It consists of the sign, the number of digits before the
    /// point, the first [`DIGITS`] digits, and a bit that is set if there are more digits. Two
    /// numbers with the same prefix are equal if that bit is zero.
    pub(super) fn prefix(&self) -> u64 {
        let magnitude = match u64::try_from(self.integer.len()) {
            Ok(length) if length < MAX_LENGTH => {
                let digits = self.integer.iter().chain(self.fraction).chain(ZEROS).take(DIGITS);
                let digits = digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
                let has_more = self.integer.len() + self.fraction.len() > DIGITS;
                length << 55 | digits << 1 | u64::from(has_more)
            }
            _ => MAX_LENGTH << 55 | 1,
        };
        if self.is_negative { !(POSITIVE | magnitude) } else { POSITIVE | magnitude }
    }
}

/// Whether numbers with this prefix are equal.
pub(super) fn is_exact(prefix: u64) -> bool {
    let magnitude = if prefix & POSITIVE == 0 { !prefix } else { prefix };
    magnitude & 1 == 0
}

/// The rank of the unit after the text's number: zero if there is no unit or the number is zero,
/// negative if the number is. If `fold_case`, units are read as upper-case letters.
pub(super) fn unit(text: &[u8], fold_case: bool) -> i64 {
    let text = skip(text, is_blank);
    let (sign, text) = text.split_at(usize::from(text.first() == Some(&b'-')));
    let (integer, after) = digits(text);
    let (fraction, after) = after.strip_prefix(b".").map_or((&b""[..], after), digits);
    let unit = after.first().map(|unit| if fold_case { unit.to_ascii_uppercase() } else { *unit });
    let rank = match unit {
        Some(b'K' | b'k') => 1,
        Some(unit) => UNITS.iter().position(|known| *known == unit).map_or(0, |nth| nth as i64 + 2),
        None => 0,
    };
    let is_zero = integer.iter().chain(fraction).all(|digit| *digit == b'0');
    match (is_zero, sign.is_empty()) {
        (true, _) => 0,
        (false, true) => rank,
        (false, false) => -rank,
    }
}

/// A number whose order is that of the unit and then of the number, except that it may be equal for
/// different numbers.
pub(super) fn unit_prefix(text: &[u8], fold_case: bool) -> u64 {
    const UNIT_BITS: u32 = 5;
    let rank = (unit(text, fold_case) + (1 << (UNIT_BITS - 1))).cast_unsigned();
    rank << (u64::BITS - UNIT_BITS) | Number::read(text).prefix() >> UNIT_BITS
}

/// The units after `K`. GNU sort 9.1 does not know `R` and `Q`.
const UNITS: &[u8] = b"MGTPEZYRQ";

/// Whether the byte separates fields if no separator is given. A newline is within a line only if
/// NULs end the lines.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n')
}

/// Decimal digits in a prefix: as many as 54 bits can hold.
const DIGITS: usize = 16;
const ZEROS: &[u8] = &[b'0'; DIGITS];
/// The largest number of digits that eight bits can hold. It stands for all numbers that have as
/// many or more, whose prefix has no digits.
const MAX_LENGTH: u64 = 255;
const POSITIVE: u64 = 1 << 63;

/// The text after the leading bytes that match.
fn skip(text: &[u8], matches: impl Fn(u8) -> bool) -> &[u8] {
    let end = text.iter().position(|byte| !matches(*byte)).unwrap_or(text.len());
    &text[end..]
}

/// Splits the text after its leading digits.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::for_each_pair;

    /// Numbers in ascending order; those of a line are equal.
    const ORDERED: &[&[&str]] = &[
        &["-99999999999999999999999"],
        &["-12345678901234567"],
        &["-12345678901234566.9"],
        &["-100"],
        &["-10.5", "  -010.50x"],
        &["-10.05"],
        &["-1", "-1e9"],
        &["-.5", "-0.5"],
        &["", "0", "-0", "-", "x", "+5", ".", "-.", "0.0", "--1", " \t", "-000.000", "\0 1"],
        &[".00000000000000000001"],
        &[".05"],
        &[".5", "0.5", "0.50", " 00.5e7"],
        &["1", "1e3", "1.", "01", "\t1.0", "1,5", "1..5"],
        &["1.5"],
        &["9.99"],
        &["10"],
        &["1234567890123456"],
        &["1234567890123456.1"],
        &["1234567890123456.2"],
        &["12345678901234567"],
        &["12345678901234568"],
        &["99999999999999999999999"],
    ];

    #[test]
    fn numbers_are_in_order_and_so_are_their_prefixes() {
        let numbers =
            ORDERED.iter().enumerate().flat_map(|(n, equal)| equal.iter().map(move |text| (n, text)));
        let numbers: Vec<_> = numbers.map(|(n, text)| (n, Number::read(text.as_bytes()), text)).collect();
        for (n, one, text) in &numbers {
            for (m, other, against) in &numbers {
                assert_eq!(one.compare(other), n.cmp(m), "{text:?} and {against:?}");
                let prefixes = one.prefix().cmp(&other.prefix());
                assert!(prefixes == n.cmp(m) || prefixes.is_eq(), "{text:?} and {against:?}");
                assert!(!prefixes.is_eq() || n == m || !is_exact(one.prefix()), "{text:?} and {against:?}");
            }
        }
    }

    #[test]
    fn units_are_compared_before_numbers() {
        let ordered: &[&[&str]] = &[
            &["-1G"],
            &["-2M"],
            &["-1M"],
            &["-9k", "-9K"],
            &["-1000"],
            &["", "0", "0G", "x", "K", "-0T", ".M", "0.0E"],
            &["1", "1 K", "1x", "1b", "1m"],
            &["1023", "1023."],
            &["1K", " 1k", "1.K", "01.0KiB"],
            &["1.5K"],
            &["1M"],
            &["1G"],
            &["1T"],
            &["1P"],
            &["1E"],
            &["1Z"],
            &["1Y"],
        ];
        for_each_pair(ordered, |one, other, expected| {
            let names = format!("{one} and {other}");
            let [one, other] = [one, other].map(str::as_bytes);
            let by_number = || Number::read(one).compare(&Number::read(other));
            let order = unit(one, false).cmp(&unit(other, false)).then_with(by_number);
            assert_eq!(order, expected, "{names}");
            let prefixes = unit_prefix(one, false).cmp(&unit_prefix(other, false));
            assert!(prefixes == expected || prefixes.is_eq(), "{names}");
        });
        assert_eq!(unit(b"1m", true), unit(b"1M", false));
    }

    #[test]
    fn numbers_of_hundreds_of_digits_are_numbers() {
        let long = |digits: usize, last: &str| format!("{}{last}", "9".repeat(digits));
        let ordered = [long(253, "1"), long(254, "1"), long(254, "2"), long(300, "1"), long(300, "1.1")];
        for pair in ordered.windows(2) {
            let [one, other] = [&pair[0], &pair[1]].map(|text| Number::read(text.as_bytes()));
            assert!(one.compare(&other).is_lt() && one.prefix() <= other.prefix());
        }
    }
}
