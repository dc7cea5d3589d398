//! The conformance suite's harness: what it takes to ask whether a model does what the reference does.
//!
//! The cases themselves are in a folder for each workload, one test per workload × model × case. Here is what all of
//! them are made of, in reading order:
//!
//! 1. [`workload`]: what a workload's tests provide;
//! 2. [`subject`]: the table of what is tested, from the models' own tables;
//! 3. [`case`] and [`suite`]: what a model is asked to do, and the test made of it;
//! 4. [`isolate`]: each case runs in a process of its own, under a time limit that says which case hung, and
//!    where;
//! 5. [`fault`] and [`trap`]: forced points: a fault, or a halt in the middle of a chosen piece;
//! 6. [`source`]: an input that breaks off; [`stops`]: a stop at such a point, and how soon the run
//!    heeds it; [`stdin`]: input as it comes; [`laws`]: the cases of every workload that has a job;
//! 7. [`leftovers`] and [`tree`]: threads, processes, descriptors, files and memory, seen from outside; [`bounds`]: few
//!    descriptors, and the peak of memory;
//! 8. [`random`]: cases by chance, the same in every run; [`mutant`]: wrong implementations, which
//!    the checks must reject;
//! 9. [`linear`]: histories of concurrent clients of a server, and whether they are linearizable.

pub mod bounds;
pub mod case;
pub mod fault;
pub mod isolate;
pub mod laws;
pub mod leftovers;
pub mod linear;
pub mod mutant;
pub mod random;
pub mod source;
pub mod stdin;
pub mod stops;
pub mod subject;
pub mod suite;
pub mod trap;
pub mod tree;
pub mod workload;
