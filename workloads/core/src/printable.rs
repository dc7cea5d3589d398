//! Text from outside in messages: file names, URLs, and the answers of a peer or a server.
//!
//! A terminal obeys control characters: an escape sequence in a file name could recolour the
//! screen, set the window's title or hide the rest of a message. Results on standard output keep
//! their bytes, as in GNU grep. Each message of a program passes through [`Printable`].

use std::{
    borrow::Cow,
    ffi::OsStr,
    fmt::{self, Display, Formatter, Write},
    os::unix::ffi::OsStrExt,
    path::Path,
};

/// Displays text from outside in one line, without characters that control a terminal.
///
/// Control characters (C0, DEL and C1), line and paragraph separators, and the characters that
/// change the writing direction are escaped as Rust does (`\n`, `\u{1b}`). A byte that is not UTF-8
/// becomes `\xNN`. Other characters stay, including the backslash: the text is for people, not for
/// parsing.
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(&'a [u8]);

/// Displays `text` without control characters.
pub fn printable<T: AsRef<[u8]> + ?Sized>(text: &T) -> Printable<'_> {
    Printable(text.as_ref())
}

/// Displays a path without control characters.
pub fn printable_path<P: AsRef<Path> + ?Sized>(path: &P) -> Printable<'_> {
    Printable(OsStr::as_bytes(path.as_ref().as_os_str()))
}

/// A complete message of one or more lines, with all control characters escaped except the ends of
/// its lines.
///
/// A name that is put into a message must be made [`printable`] first: otherwise a newline in the
/// name would look like a line end of the message.
#[must_use]
pub fn printable_lines(message: &[u8]) -> Cow<'_, [u8]> {
    if str::from_utf8(message).is_ok_and(|text| !text.chars().any(|char| char != '\n' && is_obeyed(char))) {
        return Cow::Borrowed(message);
    }
    let lines: Vec<String> =
        message.split(|byte| *byte == b'\n').map(|line| printable(line).to_string()).collect();
    Cow::Owned(lines.join("\n").into_bytes())
}

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for char in chunk.valid().chars() {
                if is_obeyed(char) { write!(f, "{}", char.escape_default())? } else { f.write_char(char)? }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Whether a terminal would do something other than draw this character.
fn is_obeyed(char: char) -> bool {
    // The last two ranges embed, override and isolate the writing direction (Unicode Standard Annex
    // #9).
    char.is_control()
        || matches!(char, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        assert_eq!(printable("a\x1b[31mred\nb").to_string(), r"a\u{1b}[31mred\nb");
        assert_eq!(printable("\u{9b}2J \x7f").to_string(), r"\u{9b}2J \u{7f}");
        assert_eq!(printable("\u{202e}gpj.exe").to_string(), r"\u{202e}gpj.exe");
        assert_eq!(printable(b"\xff\xfe.txt").to_string(), r"\xff\xfe.txt");
    }

    #[test]
    fn the_lines_of_a_message_stay_lines() {
        assert_eq!(&*printable_lines(b"a\x1b[2J\nb\xff\n"), b"a\\u{1b}[2J\nb\\xff\n");
        assert!(matches!(printable_lines("grep: Grüße\n".as_bytes()), Cow::Borrowed(_)));
    }

    #[test]
    fn what_it_draws_is_kept() {
        for text in ["", "Grüße, 東京 🦀", r"C:\temp", "a 'quoted' \"name\""] {
            assert_eq!(printable(text).to_string(), text);
        }
        assert_eq!(printable_path("dir/file\r").to_string(), r"dir/file\r");
    }
}
