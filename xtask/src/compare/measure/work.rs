//! The work that all programs of a comparison do.

use std::path::Path;

use crate::{
    compare::{
        measure::{clients::Clients, origin::Origin, trace::Traces},
        plan::query::Query,
        result::Input,
    },
    process::cancel::Cancel,
};

/// The work that all programs of a comparison do.
#[derive(Clone, Copy)]
pub(crate) struct Work<'a> {
    /// The first query is measured, all are checked.
    pub queries: &'a [Query],
    pub input: &'a Input,
    /// The totals that may differ between models.
    pub own_totals: &'a [String],
    /// Whether there is no output before the end.
    pub prints_at_end: bool,
    /// The folder for outputs.
    pub output_dir: &'a Path,
    /// Where the models' traces go, if they are requested.
    pub traces: Option<&'a Traces>,
    /// The clients, if the programs are servers.
    pub clients: Option<&'a Clients>,
    /// The server that the programs wait for, if they only wait.
    pub origin: Option<&'a Origin>,
    /// Ends the measurement early when it is requested.
    pub cancel: Option<&'a Cancel>,
}
