//! What all programs of a comparison do.

use std::path::Path;

use crate::{
    compare::{
        measure::{clients::Clients, origin::Origin, trace::Traces},
        plan::query::Query,
        result::Input,
    },
    process::cancel::Cancel,
};

/// What all of them do.
#[derive(Clone, Copy)]
pub(crate) struct Work<'a> {
    /// The first is measured, all are checked.
    pub queries: &'a [Query],
    pub input: &'a Input,
    /// The totals that need not agree.
    pub own_totals: &'a [String],
    /// Whether there is no output before the end.
    pub prints_at_end: bool,
    /// The folder for outputs.
    pub kept: &'a Path,
    /// Where the models' traces go, if they are wanted.
    pub traces: Option<&'a Traces>,
    /// Who asks, if it is a service.
    pub clients: Option<&'a Clients>,
    /// What is asked, if all wait for that.
    pub origin: Option<&'a Origin>,
    /// What ends it before its time.
    pub cancel: Option<&'a Cancel>,
}
