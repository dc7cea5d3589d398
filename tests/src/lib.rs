//! The harness of the conformance suite: it asks whether a model does what the reference does.
//!
//! The cases are in one folder per workload; each makes one test per workload × model. The harness,
//! in reading order:
//!
//! 1. [`workload`]: what the tests of a workload provide;
//! 2. [`subject`]: the table of what is tested, made from the models' own tables;
//! 3. [`case`] and [`suite`]: one thing that a model is asked to do, and the test that is made of
//!    it;
//! 4. [`isolate`]: each case runs in a process of its own, under a time limit; a case that hangs is
//!    reported with what each of its threads was doing;
//! 5. [`fault`] and [`failpoint`]: planned faults at chosen points of the work, and halts that the
//!    test waits for;
//! 6. [`source`]: a job whose source of tasks panics; [`stops`]: a stop at a chosen moment, and how
//!    soon the run ends after it; [`stdin`]: standard input that the test writes; [`laws`]: the
//!    cases of every workload that has a job;
//! 7. [`leftovers`] and [`tree`]: threads, processes, descriptors, files and memory, as `/proc`
//!    shows them; [`bounds`]: a limit on descriptors, and the peak of memory;
//! 8. [`random`]: random cases, the same in every run; [`mutant`]: wrong implementations, which the
//!    cases must reject;
//! 9. [`linear`]: histories of concurrent clients of a server, and whether they are linearizable.

pub mod bounds;
pub mod case;
pub mod failpoint;
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
pub mod tree;
pub mod workload;
