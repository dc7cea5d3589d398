//! `cargo xtask show`: a workload in several models, side by side in the terminal.
//!
//! In reading order: a [`source`] in its parts, [`highlight`]ed; what of several [`align`]s; the
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

/// Show a workload in several models side by side, as it is built
///
/// One stands under the other where the terminal is narrow. To page through it:
/// cargo xtask show --color always grep threads async | less -RS
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The workload: `grep`
    workload: String,
    /// Models and variants: `threads`, `async-single` [default: all]
    #[arg(value_name = "MODEL")]
    models: Vec<String>,
    /// Only what differs between two models
    #[arg(long)]
    diff: bool,
    /// Only this part: run, feed, work or gather; several with commas
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    anchor: Vec<String>,
    /// Number the lines
    #[arg(short = 'n', long)]
    number: bool,
    /// In colours
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Color::Auto)]
    color: Color,
    /// How wide the output is [default: as wide as the terminal]
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

/// Prints the text, with its colours or without. A reader who has seen enough is no error.
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
            self.choose(&mut sources)?;
        }
        let width = self.width.or_else(|| terminal_size::terminal_size().map(|(width, _)| width.0.into()));
        let layout = Layout { width, numbers: self.number };
        if !self.diff {
            return Ok(layout.whole(&sources));
        }
        let count = sources.len();
        let two: [Source; 2] =
            sources.try_into().map_err(|_| anyhow!("--diff takes two models, and not {count}"))?;
        Ok(layout.difference(&two))
    }

    /// Reads the files of the models that are asked for.
    fn sources(&self, root: &Path) -> Result<Vec<Source>> {
        let workloads = models::workloads(root)?;
        let workload = &self.workload;
        ensure!(
            workloads.contains(workload),
            "no workload is called {workload}; there is {}",
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

    /// Keeps the parts that are asked for; one that no source has is a mistake.
    fn choose(&self, sources: &mut [Source]) -> Result<()> {
        let prefix = format!("{}-", self.workload);
        let short = |part: &String| part.strip_prefix(&prefix).unwrap_or(part).to_owned();
        let wanted: Vec<String> = self.anchor.iter().map(short).collect();
        let parts: BTreeSet<_> = sources.iter().flat_map(Source::parts).collect();
        if let Some(unknown) = wanted.iter().find(|part| !parts.contains(part.as_str())) {
            let parts: Vec<&str> = parts.iter().map(|part| &**part).collect();
            bail!("no part is called {unknown}; there is {}", parts.join(", "));
        }
        sources.iter_mut().for_each(|source| source.keep(&wanted));
        Ok(())
    }
}

fn find<'a>(all: &'a [Model], name: &str, workload: &str) -> Result<&'a Model> {
    all.iter().find(|model| model.name == name).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|model| model.name.as_str()).collect();
        anyhow!("no model with {workload} is called {name}; there is {}", names.join(", "))
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
    fn the_very_files_are_shown_without_their_anchors() {
        let text = shown(&args(&["threads"]));
        let file = std::fs::read_to_string(models::root().join("crates/cc-threads/src/grep.rs")).unwrap();
        let file: Vec<&str> = file.lines().filter(|line| !line.starts_with("// ANCHOR")).collect();
        assert_eq!(text.lines().skip(2).collect::<Vec<_>>(), file);
    }

    #[test]
    fn one_part_may_be_chosen_by_either_name() {
        for anchor in ["work", "grep-work"] {
            let args = Args { anchor: vec![anchor.to_owned()], ..args(&["threads", "rayon"]) };
            let text = shown(&args);
            assert!(text.contains("fn work(") && !text.contains("fn feed(") && !text.contains("ANCHOR"));
        }
    }

    #[test]
    fn what_there_is_not_is_said_with_what_there_is() {
        assert!(
            message(&args(&["fibres"])).contains("sequential, threads, rayon, actors, async, async-single")
        );
        let unknown = Args { anchor: vec!["shuffle".to_owned()], ..args(&["threads"]) };
        assert_eq!(message(&unknown), "no part is called shuffle; there is feed, gather, run, work");
        assert!(
            message(&Args { workload: "make".to_owned(), ..args(&[]) })
                .contains("there is mandelbrot, resize")
        );
        assert!(message(&Args { diff: true, ..args(&["threads"]) }).contains("two models"));
    }

    #[test]
    fn a_reader_who_has_gone_is_no_error() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert!(print(Gone, "text", ColorChoice::Never).is_ok());
    }
}
