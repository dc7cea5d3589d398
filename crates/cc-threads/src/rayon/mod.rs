//! The variant on rayon's work-stealing pool: the library shares the work out, and owns the threads.

pub mod grep;
pub mod mandelbrot;
pub mod resize;
pub mod sort;
pub mod wordcount;
