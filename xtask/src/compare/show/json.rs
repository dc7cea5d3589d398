//! The complete result as JSON, with every raw sample. `SCHEMA.md` explains each field.

use std::{fs, io::Write, path::Path};

use anyhow::{Context, Result};
use serde::Serialize;

/// Writes a result to a file, or to standard output for `-`.
pub(crate) fn write(result: &impl Serialize, path: &Path) -> Result<()> {
    let mut text = serde_json::to_string_pretty(result)?;
    text.push('\n');
    if path == Path::new("-") {
        return Ok(std::io::stdout().write_all(text.as_bytes())?);
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;
    use snapbox::{assert_data_eq, file};

    use super::*;
    use crate::compare::result::{Comparison, SCHEMA, example};

    const PAGE: &str = include_str!("../result/SCHEMA.md");

    /// The path of each field; `[]` stands for an element of an array. Totals have no paths,
    /// because their names depend on the workload.
    fn paths(value: &Value, path: &str, all: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) if !path.ends_with("totals") => {
                for (name, value) in fields {
                    let each = if value.is_array() { "[]" } else { "" };
                    let path = format!("{path}{}{name}{each}", if path.is_empty() { "" } else { "." });
                    all.insert(path.clone());
                    paths(value, &path, all);
                }
            }
            Value::Array(elements) => {
                elements.iter().for_each(|element| paths(element, path, all));
            }
            _ => {}
        }
    }

    #[test]
    fn a_comparison_is_written_with_every_field() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("new/comparison.json");
        write(&example::comparison(), &path).unwrap();
        assert_data_eq!(fs::read_to_string(path).unwrap(), file!["snapshots/comparison.json"].raw());
    }

    #[test]
    fn a_written_result_can_be_read() {
        for example in [example::comparison(), example::service(), example::waiting()] {
            let written = serde_json::to_value(example).unwrap();
            let read: Comparison = serde_json::from_value(written.clone()).unwrap();
            assert_eq!(serde_json::to_value(read).unwrap(), written);
        }
    }

    /// Such results were written before these fields existed.
    #[test]
    fn optional_fields_may_be_missing() {
        let mut written = serde_json::to_value(example::comparison()).unwrap();
        let fields = written.as_object_mut().unwrap();
        for late in ["load", "warnings", "partial", "summary", "scaling", "baseline", "time", "drift"] {
            fields.remove(late).unwrap();
        }
        let read: Comparison = serde_json::from_value(written).unwrap();
        assert!(read.scaling.is_empty() && read.baseline.is_none() && !read.partial);
    }

    #[test]
    fn the_schema_page_names_every_field_and_no_other() {
        let mut written = BTreeSet::new();
        for example in [example::comparison(), example::waiting()] {
            paths(&serde_json::to_value(example).unwrap(), "", &mut written);
        }
        let named = PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let named: BTreeSet<String> = named.map(str::to_owned).collect();
        let missing: Vec<_> = written.difference(&named).collect();
        let unknown: Vec<_> = named.difference(&written).collect();
        assert!(
            missing.is_empty() && unknown.is_empty(),
            "not in SCHEMA.md: {missing:#?}; not in the result: {unknown:#?}"
        );
        assert!(PAGE.contains(&format!("`\"schema\": {SCHEMA}`")));
    }
}
