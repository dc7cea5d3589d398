//! Sentences with links and figures, for the page and for a terminal.
//!
//! In a sentence `**…**` stands out, and `[…](#place)` leads to a place on the page, or to a file of the workspace.

use maud::{Markup, html};

/// A piece of a sentence.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Plain(&'a str),
    Strong(&'a str),
    Link(&'a str, &'a str),
}

/// A sentence on the page. `back` leads from the page to the workspace.
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

/// A sentence on a terminal, where a link to a place on the page is only its text.
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
        let Some((piece, rest)) = marked(&text[at..]) else { break };
        pieces.push(Piece::Plain(&text[..at]));
        pieces.push(piece);
        text = rest;
    }
    pieces.push(Piece::Plain(text));
    pieces.retain(|piece| *piece != Piece::Plain(""));
    pieces
}

/// What a text begins with, and what follows.
fn marked(text: &str) -> Option<(Piece<'_>, &str)> {
    if let Some(strong) = text.strip_prefix("**") {
        let (strong, rest) = strong.split_once("**")?;
        return Some((Piece::Strong(strong), rest));
    }
    let (shown, rest) = text.strip_prefix('[')?.split_once("](")?;
    let (to, rest) = rest.split_once(')')?;
    Some((Piece::Link(shown, to), rest))
}

/// Lines no longer than `width`, all but the first after `indent`.
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
    fn what_is_not_closed_is_text() {
        assert_eq!(pieces("a [b"), [Piece::Plain("a [b")]);
        assert_eq!(in_terminal("a ** b"), "a ** b");
    }

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrapped("- one two three", 9, "  "), "- one two\n  three");
    }
}
