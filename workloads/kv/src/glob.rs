//! Patterns for names, as in `KEYS` and `SCAN MATCH`.

/// Whether a name matches a pattern with `*`, `?`, `[a-z]`, `[^a-z]` and `\\` before a character
/// that stands for itself. Malformed patterns match what they match in Redis (`stringmatchlen`): a
/// class that is not closed ends at the end of the pattern.
///
/// The time is at most proportional to the product of the two lengths, for any pattern.
pub(super) fn matches(mut pattern: &[u8], mut name: &[u8], ignores_case: bool) -> bool {
    // The part of the pattern after the last star, and the part of the name after what that star
    // has matched. On a mismatch the star matches one byte more.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            (pattern, star) = (rest, Some((rest, name)));
            if rest.is_empty() {
                return true;
            }
            continue;
        }
        match (pattern.is_empty(), name.split_first()) {
            (true, None) => return true,
            (false, Some((byte, others))) => {
                let (is_match, rest) = first(pattern, *byte, ignores_case);
                if is_match {
                    (pattern, name) = (rest, others);
                    continue;
                }
            }
            _ => {}
        }
        match star {
            Some((after, [_, others @ ..])) => (pattern, name, star) = (after, others, Some((after, others))),
            _ => return false,
        }
    }
}

/// Whether the first element of a pattern, which is not a star, matches this byte; and the rest of
/// the pattern.
fn first(pattern: &[u8], byte: u8, ignores_case: bool) -> (bool, &[u8]) {
    let is = |one: u8| one == byte || ignores_case && one.eq_ignore_ascii_case(&byte);
    match pattern {
        [b'?', rest @ ..] => (true, rest),
        [b'[', b'^', rest @ ..] => {
            let (is_match, rest) = class(rest, byte, ignores_case);
            (!is_match, rest)
        }
        [b'[', rest @ ..] => class(rest, byte, ignores_case),
        [b'\\', one, rest @ ..] | [one, rest @ ..] => (is(*one), rest),
        [] => (false, &[]),
    }
}

/// Whether a byte is in the class that begins here, and what follows the class.
fn class(mut pattern: &[u8], byte: u8, ignores_case: bool) -> (bool, &[u8]) {
    let lower = |byte: u8| if ignores_case { byte.to_ascii_lowercase() } else { byte };
    let (byte, mut is_match) = (lower(byte), false);
    loop {
        pattern = match pattern {
            [b'\\', one, rest @ ..] => {
                is_match |= lower(*one) == byte;
                rest
            }
            [b']', rest @ ..] => return (is_match, rest),
            [] => return (is_match, &[]),
            [from, b'-', to, rest @ ..] => {
                let (from, to) = (lower(*from), lower(*to));
                is_match |= (from.min(to)..=from.max(to)).contains(&byte);
                rest
            }
            [one, rest @ ..] => {
                is_match |= lower(*one) == byte;
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names() {
        let yes = [
            ("*", ""),
            ("*", "a"),
            ("max*mory", "maxmemory"),
            ("t?meout", "timeout"),
            ("*a*b*", "xaxbx"),
            ("[a-c]x", "bx"),
            ("[c-a]x", "bx"),
            ("[^a-c]x", "dx"),
            ("[a\\]]", "]"),
            ("[ab", "b"),
            ("a\\*", "a*"),
            ("\\", "\\"),
            ("*[0-9]", "key:7"),
        ];
        let no = [
            ("", "a"),
            ("?", ""),
            ("max", "maxmemory"),
            ("*a*b", "ba"),
            ("a*a", "a"),
            ("T", "t"),
            ("[^a]", "a"),
            ("[]", "]"),
            ("a\\*", "ab"),
        ];
        for (pattern, name) in yes {
            assert!(matches(pattern.as_bytes(), name.as_bytes(), false), "{pattern} {name}");
        }
        for (pattern, name) in no {
            assert!(!matches(pattern.as_bytes(), name.as_bytes(), false), "{pattern} {name}");
        }
        assert!(matches(b"T?M[E]", b"time", true));
    }

    #[test]
    fn a_pattern_of_many_stars_takes_no_time() {
        let (stars, name) = (b"*a".repeat(1000), b"a".repeat(999));
        assert!(!matches(&stars, &name, false));
    }
}
