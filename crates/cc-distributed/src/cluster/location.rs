//! Locations: where a session's blobs are, as a part of their names.
//!
//! A session has the location `ADDRESS/SESSION`, and its blobs have names `ADDRESS/SESSION/NAME`.

use super::wire::pb::Hello;

/// The location of the blob with this name: `ADDRESS/SESSION`. Empty if the name has none.
pub(crate) fn location_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(location, _)| location)
}

/// The location of a session.
pub(super) fn session_location(hello: &Hello) -> String {
    format!("{}/{}", hello.address, hello.session)
}
