//! The variant on one thread: what async alone gives, which is concurrency without parallelism.

pub mod fetch;
pub mod grep;
pub mod kv;
pub mod mandelbrot;
pub mod resize;
pub mod sort;
pub mod wordcount;
