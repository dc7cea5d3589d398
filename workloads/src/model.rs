//! The table of workloads, and what a model provides for each.

use clap::{ArgMatches, Command};

use crate::{Ctx, Entry, Result, output::Outcome};

/// Passes the table of workloads to a macro: a line per workload, the simplest first, with its name
/// and the type of a model's function for it.
#[macro_export]
macro_rules! with_workloads {
    ($then:ident) => {
        $then! {
            mandelbrot: cc_mandelbrot::Run,
            resize: cc_resize::Run,
            grep: cc_grep::Run,
            wordcount: cc_wordcount::Run,
            sort: cc_sort::Run,
            kv: cc_kv::Serve,
            fetch: cc_fetch::Run,
        }
    };
}

macro_rules! table {
    ($($name:ident: $package:ident::$run:ident,)*) => {
        /// A concurrency model: its function for each workload.
        ///
        /// Because this is one struct, a forgotten workload or a wrong signature is a compile error
        /// in the model's crate.
        #[derive(Clone, Copy)]
        pub struct Model {
            /// The value of `--model`, and the name of the row in every table.
            pub name: &'static str,
            /// The mechanism in a few words: "`std::thread` + crossbeam channels".
            pub mechanism: &'static str,
            /// The first call of every `main`, including those of tests. In a process that was
            /// started as a worker of this model, it does the worker's part and does not return.
            pub enter: fn(),
            $(
                #[doc = concat!("Its function for [`", stringify!($name), "`](crate::", stringify!($name), ").")]
                pub $name: Entry<$package::$run>,
            )*
        }

        /// All workloads, in the order of the help.
        pub(crate) const WORKLOADS: &[Workload] = &[$(Workload {
            name: stringify!($name),
            command: $package::cli::command,
            parse: $package::cli::parse,
            declined: |model| model.$name.declined(),
            main: |model, ctx, args| {
                let run = model.$name.or_usage(model.name, stringify!($name))?;
                $package::cli::main(run, ctx, args)
            },
        },)*];

        /// The sequential reference, as a model like those that are compared with it.
        pub const MODELS: &[Model] = &[Model {
            name: "sequential",
            mechanism: "a plain loop",
            enter: || {},
            $($name: Entry::Run($package::sequential::run),)*
        }];
    };
}

/// A workload on the command line.
pub(crate) struct Workload {
    /// The name of the subcommand.
    pub name: &'static str,
    /// Its flags.
    pub command: fn() -> Command,
    /// Checks the flags as a run does before it begins.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "a test of the command line calls it for every workload")
    )]
    pub parse: fn(&ArgMatches) -> Result<()>,
    /// Why a model has declined the workload, if it has.
    pub declined: fn(&Model) -> Option<&'static str>,
    /// Runs the workload with these flags.
    pub main: fn(&Model, &Ctx, &ArgMatches) -> Result<Outcome>,
}

with_workloads!(table);
