//! What samples say, and how sure it is.
//!
//! An [`estimate`] is a median with its interval; [`paired`] rounds tell programs apart; [`drift`]
//! and [`outliers`] say what was not steady, [`scaling`] and [`usl`] what more workers are good
//! for, [`baseline`] what has changed.

pub(crate) mod baseline;
pub(crate) mod drift;
pub(crate) mod estimate;
pub(crate) mod outliers;
pub(crate) mod paired;
pub(crate) mod scaling;
pub(crate) mod usl;
