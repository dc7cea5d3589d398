//! `cargo xtask show`: shows a workload in several models, side by side in the terminal.
//!
//! In reading order: a [`source`] file with its parts; [`highlight`], which finds its tokens;
//! [`align`], which finds the lines of several sources that belong next to each other; and the
//! `layout`.

pub mod align;
pub mod highlight;
mod layout;
pub mod source;

use std::{
    collections::BTreeSet,
    io::{self, ErrorKind, Write},
    path::Path,
};

use anstream::{AutoStream, ColorChoice};
use anyhow::{Result, anyhow, bail, ensure};
use clap::ValueEnum;

use crate::models::{self, Model};
pub(crate) use highlight::is_keyword;
use layout::Layout;
use source::Source;

/// Show the source code of a workload in several models side by side
///
/// In a narrow terminal, the files follow each other. To page through them:
/// cargo xtask show --color always grep threads async | less -RS
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The workload, such as `grep`
    workload: String,
    /// Models and variants, such as `threads` or `async-single` [default: all]
    #[arg(value_name = "MODEL")]
    models: Vec<String>,
    /// Show only the differences between two models
    #[arg(long)]
    diff: bool,
    /// Show only these parts, separated by commas: run, feed, work, gather; of a service: run,
    /// work, plan, accept, drain
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    anchor: Vec<String>,
    /// Number the lines
    #[arg(short = 'n', long)]
    number: bool,
    /// When to use colours
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Color::Auto)]
    color: Color,
    /// Width of the output [default: the width of the terminal]
    #[arg(long, value_name = "COLUMNS")]
    width: Option<usize>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let text = args.show(models::root())?;
    let stdout = io::stdout().lock();
    let choice = match args.color {
        Color::Auto => AutoStream::choice(&stdout),
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
    };
    print(stdout, &text, choice)
}

/// Prints the text with or without its colours. A closed pipe is not an error: the reader, such as
/// `less`, needs no more.
fn print(mut to: impl Write, text: &str, choice: ColorChoice) -> Result<()> {
    let done = match choice {
        ColorChoice::Never => write!(to, "{}", anstream::adapter::strip_str(text)),
        _ => to.write_all(text.as_bytes()),
    };
    match done.and_then(|()| to.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

impl Args {
    fn show(&self, root: &Path) -> Result<String> {
        let mut sources = self.sources(root)?;
        if !self.anchor.is_empty() {
            self.select_parts(&mut sources)?;
        }
        let width = self.width.or_else(|| terminal_size::terminal_size().map(|(width, _)| width.0.into()));
        let layout = Layout { width, numbers: self.number };
        if !self.diff {
            return Ok(layout.full(&sources));
        }
        let count = sources.len();
        let pair: [Source; 2] =
            sources.try_into().map_err(|_| anyhow!("--diff needs two models, not {count}"))?;
        Ok(layout.difference(&pair))
    }

    /// Reads the files of the requested models.
    fn sources(&self, root: &Path) -> Result<Vec<Source>> {
        let workloads = models::workloads(root)?;
        let workload = &self.workload;
        ensure!(
            workloads.contains(workload),
            "unknown workload {workload}; the workloads are {}",
            workloads.join(", ")
        );
        let mut all = models::all(root)?;
        all.retain(|model| root.join(model.file(workload)).exists());
        let wanted = match &self.models[..] {
            [] => all.iter().collect(),
            names => names.iter().map(|name| find(&all, name, workload)).collect::<Result<Vec<_>>>()?,
        };
        let read = |model: &Model| Source::read(root, &model.file(workload), &model.name, workload);
        wanted.into_iter().map(read).collect()
    }

    /// Removes all parts that are not requested. Fails if no source has a requested part.
    fn select_parts(&self, sources: &mut [Source]) -> Result<()> {
        let prefix = format!("{}-", self.workload);
        let short = |part: &String| part.strip_prefix(&prefix).unwrap_or(part).to_owned();
        let wanted: Vec<String> = self.anchor.iter().map(short).collect();
        let parts: BTreeSet<_> = sources.iter().flat_map(Source::parts).collect();
        if let Some(unknown) = wanted.iter().find(|part| !parts.contains(part.as_str())) {
            let parts: Vec<&str> = parts.iter().map(|part| &**part).collect();
            bail!("unknown part {unknown}; the parts are {}", parts.join(", "));
        }
        sources.iter_mut().for_each(|source| source.retain_parts(&wanted));
        Ok(())
    }
}

fn find<'a>(all: &'a [Model], name: &str, workload: &str) -> Result<&'a Model> {
    all.iter().find(|model| model.name == name).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|model| model.name.as_str()).collect();
        anyhow!("no model {name} has {workload}; the models are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(models: &[&str]) -> Args {
        Args {
            workload: "grep".to_owned(),
            models: models.iter().map(|&model| model.to_owned()).collect(),
            diff: false,
            anchor: Vec::new(),
            number: false,
            color: Color::Never,
            width: Some(80),
        }
    }

    fn shown(args: &Args) -> String {
        let mut text = Vec::new();
        print(&mut text, &args.show(models::root()).unwrap(), ColorChoice::Never).unwrap();
        String::from_utf8(text).unwrap()
    }

    fn message(args: &Args) -> String {
        args.show(models::root()).unwrap_err().to_string()
    }

    #[test]
    fn files_are_shown_without_their_anchors() {
        let text = shown(&args(&["threads"]));
        let file = std::fs::read_to_string(models::root().join("crates/cc-threads/src/grep.rs")).unwrap();
        let file: Vec<&str> = file.lines().filter(|line| !line.starts_with("// ANCHOR")).collect();
        assert_eq!(text.lines().skip(2).collect::<Vec<_>>(), file);
    }

    #[test]
    fn a_part_may_have_its_short_or_its_full_name() {
        for anchor in ["work", "grep-work"] {
            let args = Args { anchor: vec![anchor.to_owned()], ..args(&["threads", "rayon"]) };
            let text = shown(&args);
            assert!(text.contains("fn work(") && !text.contains("fn feed(") && !text.contains("ANCHOR"));
        }
    }

    #[test]
    fn messages_about_unknown_names_list_the_known_ones() {
        assert!(
            message(&args(&["fibres"])).contains("sequential, threads, rayon, actors, async, async-single")
        );
        let unknown = Args { anchor: vec!["shuffle".to_owned()], ..args(&["threads"]) };
        assert_eq!(message(&unknown), "unknown part shuffle; the parts are feed, gather, run, work");
        assert!(
            message(&Args { workload: "make".to_owned(), ..args(&[]) })
                .contains("the workloads are mandelbrot, resize")
        );
        assert!(message(&Args { diff: true, ..args(&["threads"]) }).contains("two models"));
    }

    #[test]
    fn a_closed_pipe_is_not_an_error() {
        struct ClosedPipe;
        impl Write for ClosedPipe {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert!(print(ClosedPipe, "text", ColorChoice::Never).is_ok());
    }
}
