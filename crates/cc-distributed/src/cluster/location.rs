//! Locations: where a session's things are, as a part of their names.
//!
//! A session is at `ADDRESS/SESSION`, and what is kept there has the name `ADDRESS/SESSION/NAME`.

use super::wire::pb::Hello;

/// The place of the thing with this name: `ADDRESS/SESSION`.
pub(crate) fn place(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(place, _)| place)
}

/// The place that a session is.
pub(super) fn place_of(hello: &Hello) -> String {
    format!("{}/{}", hello.address, hello.session)
}
