//! Statistics of the samples.
//!
//! An [`estimate`] is a median with its interval. [`paired`] tests find out which programs differ.
//! [`drift`] and [`outliers`] show whether the machine was steady. [`scaling`] and [`usl`] show how
//! models scale with the number of workers, and [`baseline`] what has changed since an earlier
//! result.

pub(crate) mod baseline;
pub(crate) mod drift;
pub(crate) mod estimate;
pub(crate) mod outliers;
pub(crate) mod paired;
pub(crate) mod scaling;
pub(crate) mod usl;
