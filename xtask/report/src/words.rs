//! Sentences with links and emphasis, for the page and for a terminal.
//!
//! In a sentence, `**…**` is emphasized, and `[…](target)` is a link: to an element of the page if
//! the target begins with `#`, otherwise to a file of the workspace.

use maud::{Markup, html};

/// A piece of a sentence.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Plain(&'a str),
    Strong(&'a str),
    Link(&'a str, &'a str),
}

/// A sentence as HTML. `back` is the path from the page to the workspace.
#[must_use]
pub fn on_page(sentence: &str, back: &str) -> Markup {
    html! {
        @for piece in pieces(sentence) {
            @match piece {
                Piece::Plain(text) => (text),
                Piece::Strong(text) => strong { (text) },
                Piece::Link(text, to) if to.starts_with('#') => a href=(to) { (text) },
                Piece::Link(text, to) => a href={ (back) (to) } { (text) },
            }
        }
    }
}

/// A sentence as plain text. Of a link within the page only the text remains.
#[must_use]
pub fn in_terminal(sentence: &str) -> String {
    let piece = |piece: Piece| match piece {
        Piece::Link(text, to) if !to.starts_with('#') && text != to => format!("{text} ({to})"),
        Piece::Plain(text) | Piece::Strong(text) | Piece::Link(text, _) => text.to_owned(),
    };
    pieces(sentence).into_iter().map(piece).collect()
}

fn pieces(mut text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    while let Some(at) = text.find("**").into_iter().chain(text.find('[')).min() {
        let Some((piece, remainder)) = markup(&text[at..]) else { break };
        pieces.push(Piece::Plain(&text[..at]));
        pieces.push(piece);
        text = remainder;
    }
    pieces.push(Piece::Plain(text));
    pieces.retain(|piece| *piece != Piece::Plain(""));
    pieces
}

/// The emphasis or link that the text begins with, and the remaining text.
fn markup(text: &str) -> Option<(Piece<'_>, &str)> {
    if let Some(strong) = text.strip_prefix("**") {
        let (strong, remainder) = strong.split_once("**")?;
        return Some((Piece::Strong(strong), remainder));
    }
    let (shown, remainder) = text.strip_prefix('[')?.split_once("](")?;
    let (target, remainder) = remainder.split_once(')')?;
    Some((Piece::Link(shown, target), remainder))
}

/// Breaks the text into lines of at most `width` characters; all but the first begin with `indent`.
#[must_use]
pub fn wrapped(text: &str, width: usize, indent: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is a line");
        let has = line.chars().count();
        if has > indent.len() && has + 1 + word.chars().count() > width {
            lines.push(format!("{indent}{word}"));
        } else {
            let space = if has == 0 { "" } else { " " };
            line.extend([space, word]);
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENTENCE: &str = "**threads** takes [296 ms](#a), see [a test](tests/a.rs) <";

    #[test]
    fn links_and_strong_words_are_found() {
        let page = on_page(SENTENCE, "../").into_string();
        assert_eq!(
            page,
            "<strong>threads</strong> takes <a href=\"#a\">296 ms</a>, see <a href=\"../tests/a.rs\">a test</a> &lt;"
        );
        assert_eq!(in_terminal(SENTENCE), "threads takes 296 ms, see a test (tests/a.rs) <");
    }

    #[test]
    fn markup_without_an_end_is_text() {
        assert_eq!(pieces("a [b"), [Piece::Plain("a [b")]);
        assert_eq!(in_terminal("a ** b"), "a ** b");
    }

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrapped("- one two three", 9, "  "), "- one two\n  three");
    }
}
