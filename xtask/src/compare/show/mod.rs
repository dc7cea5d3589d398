//! Results as tables, notes and files.
//!
//! A [`finding`] is shown as a [`table`] of [`columns`] with [`notes`] and a [`summary`] in
//! sentences, or as the tables of a [`granularity`] sweep. It is written as [`json`] and [`csv`],
//! and added to the [`history`].

pub(crate) mod columns;
pub(crate) mod csv;
pub(crate) mod finding;
pub(crate) mod granularity;
pub(crate) mod history;
pub(crate) mod json;
pub(crate) mod notes;
pub(crate) mod summary;
pub(crate) mod table;
