//! Numbers as `sort -n` reads them: blanks, a minus sign, digits, a point, digits; whatever follows is not looked at.
//!
//! They are compared digit by digit, so that no number is too long or too precise.

use std::cmp::Ordering;

/// A number, as the text that it is written in. Nothing at all is zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number<'a> {
    negative: bool,
    /// Without leading zeros.
    whole: &'a [u8],
    /// Without trailing zeros.
    part: &'a [u8],
}

impl<'a> Number<'a> {
    /// The number that the text begins with.
    pub(super) fn read(text: &'a [u8]) -> Self {
        let text = skip(text, |byte| matches!(byte, b' ' | b'\t'));
        let (sign, text) = text.split_at(usize::from(text.first() == Some(&b'-')));
        let (whole, rest) = digits(skip(text, |byte| byte == b'0'));
        let mut part = rest.strip_prefix(b".").map_or(&b""[..], |rest| digits(rest).0);
        while let [head @ .., b'0'] = part {
            part = head;
        }
        let is_zero = whole.is_empty() && part.is_empty();
        Self { negative: !sign.is_empty() && !is_zero, whole, part }
    }

    pub(super) fn compare(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.compare_size(other),
            (true, true) => other.compare_size(self),
            (mine, others) => others.cmp(&mine),
        }
    }

    fn compare_size(&self, other: &Self) -> Ordering {
        let by_length = self.whole.len().cmp(&other.whole.len());
        by_length.then_with(|| self.whole.cmp(other.whole)).then_with(|| self.part.cmp(other.part))
    }

    /// A number in whose order the numbers are, as far as it reaches: that of the digits before the point, the first
    /// [`DIGITS`] digits, and whether there are more of them. If there are not, it is the whole truth.
    pub(super) fn prefix(&self) -> u64 {
        let size = match u64::try_from(self.whole.len()) {
            Ok(length) if length < LONG => {
                let digits = self.whole.iter().chain(self.part).chain(ZEROS).take(DIGITS);
                let digits = digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
                let more = self.whole.len() + self.part.len() > DIGITS;
                length << 55 | digits << 1 | u64::from(more)
            }
            _ => LONG << 55 | 1,
        };
        if self.negative { !(POSITIVE | size) } else { POSITIVE | size }
    }
}

/// Whether numbers of this same prefix are equal.
pub(super) fn settles(prefix: u64) -> bool {
    let size = if prefix & POSITIVE == 0 { !prefix } else { prefix };
    size & 1 == 0
}

/// As many digits as have room.
const DIGITS: usize = 16;
const ZEROS: &[u8] = &[b'0'; DIGITS];
/// A number with so many digits before the point says nothing of them.
const LONG: u64 = 255;
const POSITIVE: u64 = 1 << 63;

fn skip(text: &[u8], what: impl Fn(u8) -> bool) -> &[u8] {
    let end = text.iter().position(|byte| !what(*byte)).unwrap_or(text.len());
    &text[end..]
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In their order; those of a line are equal.
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
                assert!(!prefixes.is_eq() || n == m || !settles(one.prefix()), "{text:?} and {against:?}");
            }
        }
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
