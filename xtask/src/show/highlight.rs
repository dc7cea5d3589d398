//! Colours for Rust, by the compiler's own lexer.

use anstyle::{AnsiColor, Style};
use ra_ap_rustc_lexer::{FrontmatterAllowed, TokenKind, tokenize};

/// What a piece of a line is, as far as its colour depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Word {
    Plain,
    Comment,
    Keyword,
    Type,
    Function,
    Literal,
}

/// A line in pieces.
pub type Words = Vec<(Word, String)>;

impl Word {
    /// Its colour on a terminal.
    pub(super) fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Comment => AnsiColor::Green.on_default(),
            Self::Keyword => AnsiColor::Magenta.on_default(),
            Self::Type => AnsiColor::Cyan.on_default(),
            Self::Function => AnsiColor::Blue.on_default(),
            Self::Literal => AnsiColor::Yellow.on_default(),
        }
    }
}

const KEYWORDS: [&str; 39] = [
    "Self", "as", "async", "await", "break", "const", "continue", "crate", "dyn", "else", "enum", "extern",
    "false", "fn", "for", "if", "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "type", "union", "unsafe", "use",
    "where", "while",
];

/// Whether the language has taken this word.
pub(crate) fn is_keyword(word: &str) -> bool {
    KEYWORDS.contains(&word)
}

/// The lines of a source, in pieces.
#[must_use]
pub fn highlight(source: &str) -> Vec<Words> {
    let mut lines = vec![Words::new()];
    let mut at = 0;
    for token in tokenize(source, FrontmatterAllowed::No) {
        let (text, rest) = source[at..].split_at(token.len as usize);
        let word = word(token.kind, text, rest);
        for (number, piece) in text.split('\n').enumerate() {
            if number > 0 {
                lines.push(Words::new());
            }
            if !piece.is_empty() {
                lines.last_mut().expect("there is a line").push((word, piece.to_owned()));
            }
        }
        at += text.len();
    }
    lines
}

/// What a token is, which may depend on what comes next.
fn word(kind: TokenKind, text: &str, rest: &str) -> Word {
    match kind {
        TokenKind::LineComment { .. } | TokenKind::BlockComment { .. } => Word::Comment,
        TokenKind::Literal { .. } => Word::Literal,
        TokenKind::Lifetime { .. } => Word::Type,
        TokenKind::Ident if is_keyword(text) => Word::Keyword,
        TokenKind::Ident if rest.starts_with('(') || is_macro(rest) => Word::Function,
        TokenKind::Ident if text.starts_with(char::is_uppercase) => Word::Type,
        _ => Word::Plain,
    }
}

/// Whether a name is followed by the `!` of a macro, and not by that of `!=`.
fn is_macro(rest: &str) -> bool {
    rest.starts_with('!') && !rest.starts_with("!=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Words {
        let mut spans = highlight(line).swap_remove(0);
        spans.retain(|(word, _)| *word != Word::Plain);
        spans
    }

    fn span(word: Word, text: &str) -> (Word, String) {
        (word, text.to_owned())
    }

    #[test]
    fn words_have_their_colours() {
        assert_eq!(
            words("fn sum(x: &'a Vec) // why"),
            [
                span(Word::Keyword, "fn"),
                span(Word::Function, "sum"),
                span(Word::Type, "'a"),
                span(Word::Type, "Vec"),
                span(Word::Comment, "// why")
            ]
        );
        assert_eq!(words("if a!=\"b\""), [span(Word::Keyword, "if"), span(Word::Literal, "\"b\"")]);
        assert_eq!(words("vec![1]"), [span(Word::Function, "vec"), span(Word::Literal, "1")]);
    }

    #[test]
    fn nothing_is_lost_whatever_the_text() {
        for text in ["", "a\n\nb", "let s = \"x\n  y\";\n/* a\nb */ c", "\"unclosed\n'", "日本 🦀 '🦀' #!"]
        {
            let lines: Vec<String> = highlight(text)
                .into_iter()
                .map(|spans| spans.into_iter().map(|(_, text)| text).collect())
                .collect();
            assert_eq!(lines.join("\n"), text);
        }
    }
}
