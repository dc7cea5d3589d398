//! The part of [RESP2](https://redis.io/docs/latest/develop/reference/protocol-spec/) that a client
//! of these tests needs.

use std::io::{self, BufRead, Error, ErrorKind::InvalidData, ErrorKind::UnexpectedEof, Read};

/// Maximum length of a string and of a list. A wrong length must not make the test allocate without
/// limit.
const LONGEST: usize = 1 << 20;

/// A value of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// `+OK`.
    Simple(String),
    /// `-ERR …`.
    Error(String),
    /// `:1`.
    Integer(i64),
    /// A string, or its absence.
    Bulk(Option<String>),
    /// A list, or its absence.
    Array(Option<Vec<Self>>),
}

impl Frame {
    /// Reads a value, and waits until it is complete.
    ///
    /// # Errors
    ///
    /// [`InvalidData`] for bytes that are not RESP2; otherwise the reader's error.
    pub fn read(reader: &mut impl BufRead) -> io::Result<Self> {
        let line = line(reader)?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| malformed(&line))?;
        let number = || rest.parse::<i64>().map_err(|_| malformed(&line));
        Ok(match kind {
            "+" => Self::Simple(rest.to_owned()),
            "-" => Self::Error(rest.to_owned()),
            ":" => Self::Integer(number()?),
            "$" => Self::Bulk(length(number()?)?.map(|length| bulk(reader, length)).transpose()?),
            "*" => {
                let items =
                    length(number()?)?.map(|length| (0..length).map(|_| Self::read(reader)).collect());
                Self::Array(items.transpose()?)
            }
            _ => return Err(malformed(&line)),
        })
    }

    /// Appends the value's bytes to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Simple(text) => out.extend(format!("+{text}\r\n").bytes()),
            Self::Error(text) => out.extend(format!("-{text}\r\n").bytes()),
            Self::Integer(number) => out.extend(format!(":{number}\r\n").bytes()),
            Self::Bulk(None) => out.extend(b"$-1\r\n"),
            Self::Bulk(Some(text)) => out.extend(format!("${}\r\n{text}\r\n", text.len()).bytes()),
            Self::Array(None) => out.extend(b"*-1\r\n"),
            Self::Array(Some(items)) => {
                out.extend(format!("*{}\r\n", items.len()).bytes());
                items.iter().for_each(|item| item.write(out));
            }
        }
    }

    /// A request: an array of the words.
    #[must_use]
    pub fn request(words: &str) -> Self {
        Self::Array(Some(words.split(' ').map(|word| Self::Bulk(Some(word.to_owned()))).collect()))
    }
}

fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.take(LONGEST as u64).read_line(&mut line)?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_owned()),
        None if line.len() < LONGEST && !line.ends_with('\n') => Err(UnexpectedEof.into()),
        None => Err(malformed(&line)),
    }
}

fn length(length: i64) -> io::Result<Option<usize>> {
    match length {
        -1 => Ok(None),
        length => match usize::try_from(length) {
            Ok(length) if length <= LONGEST => Ok(Some(length)),
            _ => Err(malformed(&length.to_string())),
        },
    }
}

fn bulk(reader: &mut impl BufRead, length: usize) -> io::Result<String> {
    let mut bytes = vec![0; length + 2];
    reader.read_exact(&mut bytes)?;
    let text = String::from_utf8(bytes).map_err(|_| malformed("bytes that are not text"))?;
    text.strip_suffix("\r\n").map(str::to_owned).ok_or_else(|| malformed(&text))
}

fn malformed(what: &str) -> Error {
    Error::new(InvalidData, format!("not RESP2: {what:?}"))
}
