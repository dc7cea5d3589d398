//! Syntax highlighting for Rust, with the compiler's own lexer.

use anstyle::{AnsiColor, Style};
use ra_ap_rustc_lexer::{FrontmatterAllowed, TokenKind, tokenize};

/// The class of a token, which determines its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum TokenClass {
    Plain,
    Comment,
    Keyword,
    Type,
    Function,
    Literal,
}

/// A line in tokens.
pub type Tokens = Vec<(TokenClass, String)>;

impl TokenClass {
    /// The colour on a terminal.
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

/// Whether the word is a keyword of Rust.
pub(crate) fn is_keyword(word: &str) -> bool {
    KEYWORDS.contains(&word)
}

/// The lines of a source in tokens.
#[must_use]
pub fn highlight(source: &str) -> Vec<Tokens> {
    let mut lines = vec![Tokens::new()];
    let mut at = 0;
    for token in tokenize(source, FrontmatterAllowed::No) {
        let (text, after) = source[at..].split_at(token.len as usize);
        let class = class(token.kind, text, after);
        for (number, piece) in text.split('\n').enumerate() {
            if number > 0 {
                lines.push(Tokens::new());
            }
            if !piece.is_empty() {
                lines.last_mut().expect("there is a line").push((class, piece.to_owned()));
            }
        }
        at += text.len();
    }
    lines
}

/// The class of a token, which may depend on the text `after` it.
fn class(kind: TokenKind, text: &str, after: &str) -> TokenClass {
    match kind {
        TokenKind::LineComment { .. } | TokenKind::BlockComment { .. } => TokenClass::Comment,
        TokenKind::Literal { .. } => TokenClass::Literal,
        TokenKind::Lifetime { .. } => TokenClass::Type,
        TokenKind::Ident if is_keyword(text) => TokenClass::Keyword,
        TokenKind::Ident if after.starts_with('(') || is_macro(after) => TokenClass::Function,
        TokenKind::Ident if text.starts_with(char::is_uppercase) => TokenClass::Type,
        _ => TokenClass::Plain,
    }
}

/// Whether the text after a name begins with the `!` of a macro, and not with `!=`.
fn is_macro(after: &str) -> bool {
    after.starts_with('!') && !after.starts_with("!=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(line: &str) -> Tokens {
        let mut tokens = highlight(line).swap_remove(0);
        tokens.retain(|(class, _)| *class != TokenClass::Plain);
        tokens
    }

    fn token(class: TokenClass, text: &str) -> (TokenClass, String) {
        (class, text.to_owned())
    }

    #[test]
    fn tokens_have_their_classes() {
        assert_eq!(
            tokens("fn sum(x: &'a Vec) // why"),
            [
                token(TokenClass::Keyword, "fn"),
                token(TokenClass::Function, "sum"),
                token(TokenClass::Type, "'a"),
                token(TokenClass::Type, "Vec"),
                token(TokenClass::Comment, "// why")
            ]
        );
        assert_eq!(
            tokens("if a!=\"b\""),
            [token(TokenClass::Keyword, "if"), token(TokenClass::Literal, "\"b\"")]
        );
        assert_eq!(tokens("vec![1]"), [token(TokenClass::Function, "vec"), token(TokenClass::Literal, "1")]);
    }

    #[test]
    fn tokens_contain_the_complete_text() {
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
