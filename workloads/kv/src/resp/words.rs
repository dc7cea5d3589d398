//! Splits an inline command into words.

use super::Decoder;

impl Decoder {
    /// The words of a line, quoted or not (as `sdssplitargs`). `None` if a quote is not closed or
    /// is followed by another character than a space.
    pub(super) fn words(&mut self, mut line: &[u8]) -> Option<()> {
        loop {
            line = line.trim_ascii_start();
            let Some(first) = line.first() else { return Some(()) };
            let start = self.inline.len();
            line = match first {
                b'"' | b'\'' => self.quoted(*first, &line[1..])?,
                _ => self.plain(line)?,
            };
            self.argument(start..self.inline.len());
        }
    }

    /// Takes a word up to the next space. A quote inside of it begins a quoted part, which must be
    /// its last.
    fn plain<'a>(&mut self, line: &'a [u8]) -> Option<&'a [u8]> {
        let is_end = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | 0);
        let length = line.iter().position(is_end).unwrap_or(line.len());
        self.inline.extend_from_slice(&line[..length]);
        match &line[length..] {
            [quote @ (b'"' | b'\''), rest @ ..] => self.quoted(*quote, rest),
            [0, ..] => Some(&[]),
            rest => Some(rest),
        }
    }

    fn quoted<'a>(&mut self, quote: u8, mut line: &'a [u8]) -> Option<&'a [u8]> {
        loop {
            let (byte, rest) = match line {
                [byte, rest @ ..] if *byte == quote => {
                    return rest.first().is_none_or(u8::is_ascii_whitespace).then_some(rest);
                }
                [b'\\', b'\'', rest @ ..] if quote == b'\'' => (b'\'', rest),
                [b'\\', b'x', high, low, rest @ ..] if quote == b'"' && hex(*high, *low).is_some() => {
                    (hex(*high, *low)?, rest)
                }
                [b'\\', byte, rest @ ..] if quote == b'"' => (unescaped(*byte), rest),
                [byte, rest @ ..] => (*byte, rest),
                [] => return None,
            };
            self.inline.push(byte);
            line = rest;
        }
    }
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(high)? * 16 + digit(low)?) as u8)
}

fn unescaped(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}
