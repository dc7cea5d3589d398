//! The look of a model: a colour and a mark, the same in every chart. A reader who cannot tell the
//! colours apart has the marks.

use maud::{Markup, html};
use xtask::compare::result::Kind;

/// The models with a fixed look. The colours are in style.css.
const MODELS: [&str; 8] =
    ["sequential", "threads", "rayon", "actors", "async", "async-single", "procs", "distributed"];

/// The marks as SVG paths in a square from -5 to 5, in the order of the models.
const MARKS: [&str; 8] = [
    "M-4-4H4V4H-4Z",
    "M0-4.6A4.6 4.6 0 1 1 0 4.6 4.6 4.6 0 1 1 0-4.6Z",
    "M0-5 5 3.8H-5Z",
    "M0-5.5 5.5 0 0 5.5-5.5 0Z",
    "M0 5-5-3.8H5Z",
    "M-5-1.7H-1.7V-5H1.7V-1.7H5V1.7H1.7V5H-1.7V1.7H-5Z",
    "M-2.6-5H2.6L5 0 2.6 5H-2.6L-5 0Z",
    "M0-5.6 1.6-1.8 5.5-1.7 2.5.9 3.5 4.8 0 2.6-3.5 4.8-2.5.9-5.5-1.7-1.6-1.8Z",
];
/// The mark of all tools: a cross.
const TOOL: &str =
    "M-4.5-3.1-3.1-4.5 0-1.4 3.1-4.5 4.5-3.1 1.4 0 4.5 3.1 3.1 4.5 0 1.4-3.1 4.5-4.5 3.1-1.4 0Z";

/// The CSS class of a model's colour: `m1`, or `mt` for a tool.
#[must_use]
pub fn class(name: &str, kind: Kind) -> String {
    if kind == Kind::Tool { "mt".to_owned() } else { format!("m{}", index(name)) }
}

/// A model's index in the list. A model that is not in the list shares the look of another one; its
/// name tells them apart.
fn index(name: &str) -> usize {
    let known = MODELS.iter().position(|model| *model == name);
    known.unwrap_or_else(|| name.bytes().map(usize::from).sum::<usize>() % MODELS.len())
}

/// A model's mark, for use next to its name.
#[must_use]
pub fn key(name: &str, kind: Kind) -> Markup {
    let class = class(name, kind);
    html! { svg class={ "key " (class) } width="12" height="12" viewBox="-6 -6 12 12" aria-hidden="true" { use href={ "#" (class) } {} } }
}

/// The definitions of all marks, once per page.
#[must_use]
pub fn marks() -> Markup {
    html! {
        svg width="0" height="0" class="marks" aria-hidden="true" {
            defs {
                @for (at, mark) in MARKS.iter().enumerate() { path id={ "m" (at) } d=(mark) {} }
                path id="mt" d=(TOOL) {}
            }
        }
    }
}
