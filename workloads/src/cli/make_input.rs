//! `make-input`: makes the inputs that a harness measures with. The help does not list it: no user
//! types the table of a manifest.

use std::{os::unix::ffi::OsStrExt, path::PathBuf};

use clap::{Arg, ArgMatches, Command, value_parser};
use serde::Deserialize;

use crate::{
    error::{Error, Result},
    inputs,
    report::MAKE_INPUT,
    resize, sort, stdio, wordcount,
};

/// How to make an input: a table of a manifest.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Source {
    /// A tree of text files.
    Tree(inputs::Spec),
    /// Folders of photographs, two of them broken.
    Photographs(resize::inputs::Spec),
    /// A folder of text with a large vocabulary.
    Text(wordcount::inputs::Spec),
    /// A file of lines in no order.
    Lines(sort::inputs::Spec),
}

pub(super) fn command() -> Command {
    let source = Arg::new("source").value_name("JSON").required(true);
    let path = Arg::new("path").value_name("PATH").required(true).value_parser(value_parser!(PathBuf));
    Command::new(MAKE_INPUT)
        .hide(true)
        .about("Make the input that a manifest describes, unless it exists, and print its path")
        .arg(source.help("The manifest's table"))
        .arg(path.help("Where to make it"))
}

/// Makes the input, and prints its path and a newline. The path may have any bytes.
pub(super) fn main(args: &ArgMatches) -> Result<u8> {
    let source = args.get_one::<String>("source").expect("clap requires it");
    let path = args.get_one::<PathBuf>("path").expect("clap requires it");
    let source: Source = serde_json::from_str(source).map_err(|error| Error::Usage(error.to_string()))?;
    let made = match source {
        Source::Tree(spec) => inputs::prepare(&spec, path).map(|()| path.clone())?,
        Source::Photographs(spec) => resize::inputs::prepare(&spec, path).map(|()| path.clone())?,
        Source::Text(spec) => wordcount::inputs::prepare(&spec, path).map(|()| path.clone())?,
        Source::Lines(spec) => sort::inputs::prepare(&spec, path)?,
    };
    let line = [made.as_os_str().as_bytes(), b"\n"].concat();
    stdio::write_out(&line).map_err(Error::io("write error"))?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// A harness passes the tables of these kinds on unchanged.
    #[test]
    fn all_inputs_of_manifests_are_accepted() {
        let workloads = Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf();
        let mut kinds = Vec::new();
        for entry in fs::read_dir(workloads).unwrap() {
            let path = entry.unwrap().path().join("manifest.toml");
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let manifest: toml::Table = text.parse().unwrap();
            for (size, table) in manifest["input"].as_table().unwrap() {
                let kind = table["kind"].as_str().unwrap();
                if ["tree", "photographs", "text", "lines"].contains(&kind) {
                    let read = table.clone().try_into::<Source>();
                    assert!(read.is_ok(), "{}: {size}: {:?}", path.display(), read.err());
                    kinds.push(kind.to_owned());
                }
            }
        }
        kinds.sort();
        kinds.dedup();
        assert_eq!(kinds, ["lines", "photographs", "text", "tree"]);
    }
}
