//! Colours for Rust, by the compiler's own lexer.

use anstyle::{AnsiColor, Style};
use ra_ap_rustc_lexer::{FrontmatterAllowed, TokenKind, tokenize};

/// A line in pieces of one style each.
pub(super) type Spans = Vec<(Style, String)>;

const PLAIN: Style = Style::new();
const COMMENT: Style = AnsiColor::Green.on_default();
const KEYWORD: Style = AnsiColor::Magenta.on_default();
const TYPE: Style = AnsiColor::Cyan.on_default();
const FUNCTION: Style = AnsiColor::Blue.on_default();
const LITERAL: Style = AnsiColor::Yellow.on_default();

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

/// The lines of a source, in colours.
pub(super) fn highlight(source: &str) -> Vec<Spans> {
    let mut lines = vec![Spans::new()];
    let mut at = 0;
    for token in tokenize(source, FrontmatterAllowed::No) {
        let (text, rest) = source[at..].split_at(token.len as usize);
        let style = style(token.kind, text, rest);
        for (number, piece) in text.split('\n').enumerate() {
            if number > 0 {
                lines.push(Spans::new());
            }
            if !piece.is_empty() {
                lines.last_mut().expect("there is a line").push((style, piece.to_owned()));
            }
        }
        at += text.len();
    }
    lines
}

/// The style of a token, which may depend on what comes next.
fn style(kind: TokenKind, text: &str, rest: &str) -> Style {
    match kind {
        TokenKind::LineComment { .. } | TokenKind::BlockComment { .. } => COMMENT,
        TokenKind::Literal { .. } => LITERAL,
        TokenKind::Lifetime { .. } => TYPE,
        TokenKind::Ident if is_keyword(text) => KEYWORD,
        TokenKind::Ident if rest.starts_with('(') || is_macro(rest) => FUNCTION,
        TokenKind::Ident if text.starts_with(char::is_uppercase) => TYPE,
        _ => PLAIN,
    }
}

/// Whether a name is followed by the `!` of a macro, and not by that of `!=`.
fn is_macro(rest: &str) -> bool {
    rest.starts_with('!') && !rest.starts_with("!=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn styles(line: &str) -> Vec<(Style, String)> {
        let mut spans = highlight(line).swap_remove(0);
        spans.retain(|(style, _)| *style != PLAIN);
        spans
    }

    fn span(style: Style, text: &str) -> (Style, String) {
        (style, text.to_owned())
    }

    #[test]
    fn words_have_their_colours() {
        assert_eq!(
            styles("fn sum(x: &'a Vec) // why"),
            [
                span(KEYWORD, "fn"),
                span(FUNCTION, "sum"),
                span(TYPE, "'a"),
                span(TYPE, "Vec"),
                span(COMMENT, "// why")
            ]
        );
        assert_eq!(styles("if a!=\"b\""), [span(KEYWORD, "if"), span(LITERAL, "\"b\"")]);
        assert_eq!(styles("vec![1]"), [span(FUNCTION, "vec"), span(LITERAL, "1")]);
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
