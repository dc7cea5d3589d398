//! The order of names with version numbers, as `sort -V` has it: that of `filevercmp` in gnulib.
//!
//! Names are compared part by part: a part without digits by its characters, a part of digits as a
//! number. `~` is less than the end of a name, letters are less than other characters. Suffixes
//! such as `.tar.gz` are compared only if all that precedes them is equal.

use std::cmp::Ordering;

/// Compares two names.
pub(super) fn compare(one: &[u8], other: &[u8]) -> Ordering {
    let by_class = class(one).cmp(&class(other));
    if by_class.is_ne() || class(one) < HIDDEN {
        return by_class;
    }
    let (one_stem, other_stem) = (stem(one), stem(other));
    compare_parts(one_stem, other_stem).then_with(|| compare_parts(one, other))
}

const HIDDEN: u64 = 3;

/// The rank of names that are special: no name, `.`, `..`, other names that begin with a point, and
/// all others.
fn class(name: &[u8]) -> u64 {
    match name {
        b"" => 0,
        b"." => 1,
        b".." => 2,
        [b'.', ..] => HIDDEN,
        _ => HIDDEN + 1,
    }
}

/// The name without its suffix, which matches `(\.[A-Za-z~][A-Za-z0-9~]*)*$`.
fn stem(name: &[u8]) -> &[u8] {
    let mut at = 0;
    let mut end = 0;
    while at < name.len() {
        at += 1;
        end = at;
        while name.get(at) == Some(&b'.')
            && name.get(at + 1).is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'~')
        {
            at += 2;
            let more = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'~';
            at += name[at..].iter().take_while(more).count();
        }
    }
    &name[..end]
}

/// The rank of a character among those that are not digits. A digit and the end of the name are
/// compared in the same way with other characters, except that `end` is less than a digit.
fn rank(byte: Option<&u8>) -> u64 {
    match byte {
        Some(b'~') => 0,
        None => 1,
        Some(digit) if digit.is_ascii_digit() => 2,
        Some(letter) if letter.is_ascii_alphabetic() => 3 + u64::from(*letter),
        Some(other) => 259 + u64::from(*other),
    }
}

fn compare_parts(mut one: &[u8], mut other: &[u8]) -> Ordering {
    let is_text = |name: &[u8]| name.first().is_some_and(|byte| !byte.is_ascii_digit());
    while !one.is_empty() || !other.is_empty() {
        while is_text(one) || is_text(other) {
            let order = rank(one.first()).cmp(&rank(other.first()));
            if order.is_ne() {
                return order;
            }
            (one, other) = (&one[1..], &other[1..]);
        }
        let (one_number, other_number);
        (one_number, one) = take_number(one);
        (other_number, other) = take_number(other);
        let by_length = one_number.len().cmp(&other_number.len());
        let order = by_length.then_with(|| one_number.cmp(other_number));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// Splits the digits that a name begins with, without leading zeros, from what follows them.
fn take_number(name: &[u8]) -> (&[u8], &[u8]) {
    let zeros = name.iter().take_while(|byte| **byte == b'0').count();
    let digits = name[zeros..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    name[zeros..].split_at(digits)
}

/// A number with the same order, except that it may be equal for different names. It has the class,
/// the ranks of the first characters up to a digit, and then as much of that number as fits.
pub(super) fn prefix(name: &[u8]) -> u64 {
    let mut bits = Bits { value: class(name), left: 64 - 3 };
    if class(name) < HIDDEN {
        return bits.value << bits.left;
    }
    let name = stem(name);
    let text = name.iter().take_while(|byte| !byte.is_ascii_digit()).count();
    for byte in &name[..text] {
        if !bits.push(rank(Some(byte)), 10) {
            return bits.value << bits.left;
        }
    }
    // A name that ends here equals one that goes on with the number zero.
    if !bits.push(1, 10) {
        return bits.value << bits.left;
    }
    let (number, _) = take_number(&name[text..]);
    let length = number.len().min(MAX_LENGTH);
    if bits.push(length as u64, 8) && length < MAX_LENGTH {
        for digit in number {
            if !bits.push(u64::from(digit - b'0'), 4) {
                break;
            }
        }
    }
    bits.value << bits.left
}

/// The largest number of digits that eight bits can hold. It stands for all numbers that have as
/// many or more.
const MAX_LENGTH: usize = 255;

/// Bits that are filled from the highest on.
struct Bits {
    value: u64,
    left: u32,
}

impl Bits {
    /// Appends a number of this many bits. Returns whether they fit.
    fn push(&mut self, number: u64, bits: u32) -> bool {
        let Some(left) = self.left.checked_sub(bits) else { return false };
        (self.value, self.left) = (self.value << bits | number, left);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::for_each_pair;

    #[test]
    fn names_are_in_order_and_so_are_their_prefixes() {
        let ordered: &[&[&str]] = &[
            &[""],
            &["."],
            &[".."],
            &[".0"],
            &[".9"],
            &[".A"],
            &[".a~"],
            &[".a"],
            &["~"],
            &["1.2.3", "1.02.3"],
            &["1.10"],
            &["9"],
            &["10"],
            &["100000000000000000000"],
            &["a~"],
            &["a", "a0", "a000"],
            &["a.b"],
            &["a.b.c"],
            &["a0b"],
            &["a1", "a01"],
            &["a1.tar.gz"],
            &["a1b"],
            &["a2"],
            &["a10"],
            &["ab"],
            &["a!"],
            &["file-1.9"],
            &["file-1.10"],
            &["\u{e9}"],
        ];
        for_each_pair(ordered, |one, other, expected| {
            let names = format!("{one} and {other}");
            let [one, other] = [one, other].map(str::as_bytes);
            assert_eq!(compare(one, other), expected, "{names}");
            let prefixes = prefix(one).cmp(&prefix(other));
            assert!(prefixes.is_eq() || prefixes == expected, "{names}");
        });
    }
}
