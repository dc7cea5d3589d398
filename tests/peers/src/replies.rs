//! Counts replies. It parses only as much as is needed to find the end of each, and whether it is
//! an error.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use memchr::memchr;

/// Maximum length of a line; a longer one is not a reply.
const LINE: usize = 64 * 1024;
/// Maximum number of different errors that are counted separately, because the server chooses their
/// text.
const KINDS: usize = 16;
/// The name of all further errors.
const OTHERS: &str = "(others)";

/// The replies so far, by kind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Simple strings, such as `+OK`.
    pub(crate) simple: u64,
    /// Values.
    pub(crate) bulk: u64,
    /// Missing values.
    pub(crate) nil: u64,
    /// Numbers and lists.
    pub(crate) other: u64,
    /// Errors, by their text.
    pub(crate) errors: BTreeMap<String, u64>,
}

impl Tally {
    fn error(&mut self, line: &[u8]) {
        let said = String::from_utf8_lossy(&line[..line.len().min(120)]).into_owned();
        let is_new = !self.errors.contains_key(&said);
        let said = if is_new && self.errors.len() >= KINDS { OTHERS.to_owned() } else { said };
        *self.errors.entry(said).or_default() += 1;
    }
}

/// The position in a connection's stream of replies.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    /// Bytes of a value that have not arrived, its line end included.
    skip: usize,
    /// Parts of a reply that follow the present one.
    nested: u64,
    /// The beginning of an incomplete line.
    line: Vec<u8>,
}

impl Replies {
    /// Takes the next bytes, and returns how many replies were completed.
    ///
    /// # Errors
    ///
    /// Bytes that cannot be a reply.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], tally: &mut Tally) -> Result<usize> {
        let mut ended = 0;
        while !bytes.is_empty() {
            if self.skip > 0 {
                let some = self.skip.min(bytes.len());
                self.skip -= some;
                bytes = &bytes[some..];
                ended += usize::from(self.skip == 0 && self.part_ended());
                continue;
            }
            let Some(end) = memchr(b'\n', bytes) else {
                ensure!(self.line.len() + bytes.len() <= LINE, "a reply's line is longer than {LINE} bytes");
                self.line.extend_from_slice(bytes);
                break;
            };
            let (line, rest) = bytes.split_at(end + 1);
            bytes = rest;
            let has_ended = if self.line.is_empty() {
                self.line(line, tally)?
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.line(&whole, tally)?
            };
            ended += usize::from(has_ended && self.part_ended());
        }
        Ok(ended)
    }

    /// Takes a complete line, and returns whether it is all of a part.
    fn line(&mut self, line: &[u8], tally: &mut Tally) -> Result<bool> {
        let text = line.strip_suffix(b"\r\n").filter(|text| !text.is_empty());
        let Some((kind, rest)) = text.and_then(<[u8]>::split_first) else { return wrong(line) };
        match kind {
            b'+' => tally.simple += 1,
            b'-' => tally.error(rest),
            b':' => tally.other += 1,
            b'$' => match number(rest) {
                Some(-1) => tally.nil += 1,
                Some(length) if length >= 0 => {
                    tally.bulk += 1;
                    self.skip = length as usize + 2;
                    return Ok(false);
                }
                _ => return wrong(line),
            },
            b'*' => {
                tally.other += 1;
                match number(rest) {
                    Some(-1 | 0) => {}
                    Some(parts) if parts > 0 => {
                        // A list within a list is a part that is replaced by its own parts.
                        self.nested = self.nested.saturating_sub(1).saturating_add(parts.unsigned_abs());
                        return Ok(false);
                    }
                    _ => return wrong(line),
                }
            }
            _ => return wrong(line),
        }
        Ok(true)
    }

    /// Counts a part down, and returns whether the reply is complete.
    fn part_ended(&mut self) -> bool {
        if self.nested == 0 {
            return true;
        }
        self.nested -= 1;
        self.nested == 0
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(digits).ok()?;
    text.parse().ok().filter(|number| (-1..=1 << 32).contains(number))
}

fn wrong(line: &[u8]) -> Result<bool> {
    bail!("no reply begins so: {}", line[..line.len().min(40)].escape_ascii());
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[u8] = b"+OK\r\n$3\r\na\nb\r\n$-1\r\n:7\r\n-ERR no\r\n$0\r\n\r\n*-1\r\n*0\r\n\
        *3\r\n*2\r\n:1\r\n$1\r\n\n\r\n-ERR no\r\n*1\r\n+QUEUED\r\n+PONG\r\n";

    fn fed<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> (Vec<usize>, Tally) {
        let (mut replies, mut tally) = (Replies::default(), Tally::default());
        let ended = parts.into_iter().map(|part| replies.feed(part, &mut tally).unwrap()).collect();
        (ended, tally)
    }

    #[test]
    fn replies_are_counted_wherever_they_are_cut() {
        let (ended, whole) = fed([ALL]);
        assert_eq!(ended, [10]);
        assert_eq!((whole.simple, whole.bulk, whole.nil, whole.other), (3, 3, 1, 7));
        assert_eq!(whole.errors, [("ERR no".to_owned(), 2)].into());
        for cut in 0..=ALL.len() {
            let (ended, tally) = fed([&ALL[..cut], &ALL[cut..]]);
            assert_eq!((ended.iter().sum::<usize>(), &tally), (10, &whole), "cut at {cut}");
        }
        let (ended, tally) = fed(ALL.chunks(1));
        assert_eq!((ended.iter().sum::<usize>(), tally), (10, whole));
        assert!(ended.ends_with(&[1]), "the last byte ends the last reply");
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for bytes in
            [&b"hello\r\n"[..], b"\r\n", b"+OK\n", b"$-2\r\n", b"$x\r\n", b"*-2\r\n", b"$99999999999\r\n"]
        {
            let found = Replies::default().feed(bytes, &mut Tally::default());
            assert!(found.unwrap_err().to_string().starts_with("no reply begins so: "));
        }
        let endless = vec![b'+'; LINE + 1];
        assert!(Replies::default().feed(&endless, &mut Tally::default()).is_err());
    }

    #[test]
    fn there_is_an_end_to_kinds_of_errors() {
        let mut tally = Tally::default();
        (0..100).for_each(|nth| tally.error(format!("ERR {nth}").as_bytes()));
        assert_eq!(
            (tally.errors.len(), tally.errors.values().sum::<u64>(), tally.errors[OTHERS]),
            (KINDS + 1, 100, 84)
        );
    }
}
