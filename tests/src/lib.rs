//! The conformance suite's harness: what it takes to ask whether a model does what the reference does.
//!
//! The cases themselves are in `conformance.rs` and below `grep/`, one test per workload × model × case. Here is
//! what they are made of, in reading order:
//!
//! 1. [`subject`]: the table of what is tested, from the models' own tables;
//! 2. [`isolate`]: each case runs in a process of its own, under a time limit that says which case hung, and
//!    where;
//! 3. [`asked`] and [`observe`]: a job as a user would type it, and what a run of it shows;
//! 4. [`gnu`]: what GNU grep says of the same job;
//! 5. [`trap`]: forced points: a fault, or a halt in the middle of a chosen piece;
//! 6. [`leftovers`] and [`tree`]: threads, processes, descriptors, files and memory, seen from outside;
//! 7. [`corpus`]: the inputs;
//! 8. [`mutant`]: wrong implementations, which the checks must reject.

pub mod asked;
pub mod corpus;
pub mod gnu;
pub mod isolate;
pub mod leftovers;
pub mod mutant;
pub mod observe;
pub mod subject;
pub mod trap;
pub mod tree;
