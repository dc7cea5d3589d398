//! Results as tables, notes and files.
//!
//! A [`finding`] is shown as a [`table`] of [`columns`] with [`notes`] and a [`summary`] in words,
//! or as that of a [`granularity`]; it is written as [`json`] and [`csv`], and kept in the
//! [`history`].

pub(crate) mod columns;
pub(crate) mod csv;
pub(crate) mod finding;
pub(crate) mod granularity;
pub(crate) mod history;
pub(crate) mod json;
pub(crate) mod notes;
pub(crate) mod summary;
pub(crate) mod table;
