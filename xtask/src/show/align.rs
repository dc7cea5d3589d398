//! Finds the lines of several sources that belong next to each other.

use std::ops::Range;

use similar::{Algorithm, DiffTag, capture_diff_slices};

use super::source::{Line, Source};

/// Lines that are shown next to each other: some lines of each source.
pub struct Section<'a> {
    /// The name of the part, such as `work`, if the lines are a part.
    pub part: Option<&'a str>,
    /// The lines of each source.
    pub lines: Vec<&'a [Line]>,
}

/// Divides the sources into sections, at the beginning and end of each part that all of them have
/// in the same order.
pub fn sections(sources: &[Source]) -> Vec<Section<'_>> {
    let mut sections = Vec::new();
    let mut done = vec![0; sources.len()];
    let mut push = |part, ends: &[usize], done: &mut Vec<usize>| {
        let lines = sources.iter().zip(done.iter().zip(ends));
        let lines: Vec<_> = lines.map(|(source, (begin, end))| &source.lines[*begin..*end]).collect();
        if lines.iter().any(|lines| !lines.is_empty()) {
            sections.push(Section { part, lines });
        }
        done.copy_from_slice(ends);
    };
    let [first, ..] = sources else { return Vec::new() };
    for line in &first.lines {
        let Some(part) = line.part.as_deref() else { continue };
        let ranges = sources.iter().zip(&done).map(|(source, done)| range_of(source, part, *done));
        let Some(ranges) = ranges.collect::<Option<Vec<Range<usize>>>>() else { continue };
        push(None, &ranges.iter().map(|range| range.start).collect::<Vec<_>>(), &mut done);
        push(Some(part), &ranges.iter().map(|range| range.end).collect::<Vec<_>>(), &mut done);
    }
    push(None, &sources.iter().map(|source| source.lines.len()).collect::<Vec<_>>(), &mut done);
    sections
}

/// The lines of a part in a source, if it begins at line `done` or later.
fn range_of(source: &Source, part: &str, done: usize) -> Option<Range<usize>> {
    let is_part = |line: &Line| line.part.as_deref() == Some(part);
    let start = source.lines.iter().position(is_part).filter(|start| *start >= done)?;
    let length = source.lines[start..].iter().take_while(|line| is_part(line)).count();
    Some(start..start + length)
}

/// Lines of two sources.
pub enum Piece<'a> {
    /// Lines that are the same in both.
    Same([&'a [Line]; 2]),
    /// Lines of one source, and different lines, or none, of the other.
    Changed([&'a [Line]; 2]),
}

/// Divides two lists of lines into pieces that are the same and pieces that differ.
pub fn pieces<'a>(old: &'a [Line], new: &'a [Line]) -> Vec<Piece<'a>> {
    let texts = |lines: &'a [Line]| lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>();
    let differences = capture_diff_slices(Algorithm::Patience, &texts(old), &texts(new));
    let piece = |(tag, olds, news): (DiffTag, Range<usize>, Range<usize>)| match tag {
        DiffTag::Equal => Piece::Same([&old[olds], &new[news]]),
        _ => Piece::Changed([&old[olds], &new[news]]),
    };
    differences.iter().map(|difference| piece(difference.as_tag_tuple())).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::source::tests::source, *};

    fn part(name: &str, body: &str) -> String {
        format!("// ANCHOR: sum-{name}\n{body}\n// ANCHOR_END: sum-{name}\n")
    }

    #[test]
    fn parts_in_the_same_order_are_next_to_each_other() {
        let one = source(&[part("run", "r"), part("work", "w"), part("gather", "g\nh")].concat());
        let other = source(
            &["use x;\n".to_owned(), part("run", "R\nS"), part("feed", "F"), part("work", "W")].concat(),
        );
        let sources = [one, other];
        let shown: Vec<_> = sections(&sources)
            .into_iter()
            .map(|section| {
                let texts = |lines: &&[Line]| {
                    lines.iter().map(|line| line.text.clone()).collect::<Vec<_>>().join(" ")
                };
                (section.part, section.lines.iter().map(texts).collect::<Vec<_>>())
            })
            .collect();
        let owned = |texts: [&str; 2]| texts.map(str::to_owned).to_vec();
        assert_eq!(
            shown,
            [
                (None, owned(["", "use x;"])),
                (Some("run"), owned(["r", "R S"])),
                (None, owned(["", "F"])),
                (Some("work"), owned(["w", "W"])),
                (None, owned(["g h", ""])),
            ]
        );
    }

    #[test]
    fn a_part_in_another_order_begins_no_section() {
        let one = source(&[part("run", "r"), part("gather", "g"), part("work", "w")].concat());
        let other = source(&[part("run", "r"), part("work", "w"), part("gather", "g")].concat());
        let sources = [one, other];
        let parts: Vec<_> = sections(&sources).iter().filter_map(|section| section.part).collect();
        assert_eq!(parts, ["run", "gather"]);
    }

    #[test]
    fn differences_are_found() {
        let (old, new) = (source("a\nb\nc\n"), source("a\nB\nc\nd\n"));
        let lengths: Vec<_> = pieces(&old.lines, &new.lines)
            .iter()
            .map(|piece| match piece {
                Piece::Same([old, new]) => (old.len(), new.len()),
                Piece::Changed([old, new]) => (old.len() + 10, new.len() + 10),
            })
            .collect();
        assert_eq!(lengths, [(1, 1), (11, 11), (1, 1), (10, 11)]);
    }
}
