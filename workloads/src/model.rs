//! The table of workloads, and what a model provides for each.

use clap::{ArgMatches, Command};

use crate::{Ctx, Entry, Result, output::Outcome};

/// Hands the table of workloads to a macro: a line for each, with its name and the type of a
/// model's function, the simplest first.
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
        /// A concurrency model, as the table of the workloads it is written for.
        ///
        /// Being one struct, it makes a forgotten workload or a wrong signature a compile error in
        /// the model's crate.
        #[derive(Clone, Copy)]
        pub struct Model {
            /// What `--model` takes, and the row's name in every table.
            pub name: &'static str,
            /// The mechanism in a few words: "`std::thread` + crossbeam channels".
            pub mechanism: &'static str,
            /// The first call of every `main`, tests included: in a program that was started as
            /// this model's worker process, it does the worker's part and does not return.
            pub enter: fn(),
            $(
                #[doc = concat!("What it has of [`", stringify!($name), "`](crate::", stringify!($name), ").")]
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

        /// The sequential reference, in the same table as the models that are compared with it.
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
    /// The subcommand.
    pub name: &'static str,
    /// Its flags.
    pub command: fn() -> Command,
    /// What a run makes of them before anything is done.
    #[cfg_attr(not(test), expect(dead_code, reason = "what is made of flags is tested for all"))]
    pub parse: fn(&ArgMatches) -> Result<()>,
    /// Why a model has none, if it has none.
    pub declined: fn(&Model) -> Option<&'static str>,
    /// Does what the flags ask for.
    pub main: fn(&Model, &Ctx, &ArgMatches) -> Result<Outcome>,
}

with_workloads!(table);
