//! Checks that an output belongs to its task.
//!
//! A worker on another machine is a separate program, which may be faulty or malicious. Its outputs
//! are checked against the tasks that it was sent before any of them is used. Paths, ranges and
//! sizes must be parts of the task, and the remainder must lie within the task's pieces. The text
//! of the lines cannot be checked without searching the files again.

use serde_bytes::ByteBuf;

use super::{Content, Found, Output, Part, Piece, Query, Task, Totals};

/// Maximum bytes of a line: more than any worker can hold in memory. A task searches its last line
/// to the end, so it may exceed its range by a line.
const MAX_LINE: u64 = 1 << 40;

/// Maximum bytes of a file.
const MAX_FILE: u64 = 1 << 50;

/// What a valid output of a task may contain. It does not hold the contents. See [`Task::scope`].
#[derive(Clone, Debug)]
pub struct Scope {
    pieces: Vec<Extent>,
    limit: u64,
    options: Options,
}

/// The options of a query that restrict what may be found.
#[derive(Clone, Copy, Debug)]
struct Options {
    max: Option<u64>,
    prints_text: bool,
    names: bool,
    is_formatted_by_printer: bool,
}

/// A piece without its content.
#[derive(Clone, Debug)]
struct Extent {
    path: ByteBuf,
    kind: Kind,
    start: u64,
    /// The position after the last byte; if `None`, the range ends with the file.
    end: Option<u64>,
    last: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    File,
    Bytes,
    Stream,
    Missing,
}

/// A position in the task: the index of a piece, and a position in its file.
type Position = (usize, u64);

impl Task {
    /// What a valid output of this task may contain.
    #[must_use]
    pub fn scope(&self, query: &Query) -> Scope {
        let prints_text = query.report.prints_text();
        let is_formatted_by_printer = query.is_formatted_by_printer();
        let options = Options { max: query.max, prints_text, names: query.names, is_formatted_by_printer };
        Scope { pieces: self.pieces.iter().map(Extent::of).collect(), limit: self.limit, options }
    }
}

impl Scope {
    /// Checks that the output is a valid one of this task.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the output. The text quotes nothing of the output itself.
    pub fn accepts(&self, output: &Output) -> Result<(), String> {
        self.found(&output.found)?;
        self.others(&output.others)?;
        self.remainder(output)
    }

    /// Checks that all that was found is in this task's pieces, in their order.
    fn found(&self, found: &[Found]) -> Result<(), String> {
        let (mut first, mut at) = (0, 0);
        for found in found {
            let later = self.pieces.iter().enumerate().skip(first);
            let mut fits = later.filter(|(nth, piece)| {
                let is_later = *nth > first || found.at >= at;
                let is_same = piece.path == found.path && (piece.kind == Kind::Stream) == found.is_stream;
                is_later && is_same && piece.can_find(found.at, found.bytes)
            });
            let (nth, _) = fits.next().ok_or("what was found is not of the task, or not in its order")?;
            // The next lines found in the same piece come after these.
            (first, at) = (nth, found.at.saturating_add(found.bytes));
            found.check(self.options)?;
            if found.bytes > self.limit.max(64).saturating_add(MAX_LINE) {
                return Err("more bytes were searched than the limit of the task".to_owned());
            }
        }
        Ok(())
    }

    fn others(&self, others: &Totals) -> Result<(), String> {
        let files = self.pieces.len() as u64;
        let max_bytes = files.saturating_mul(self.limit.saturating_add(MAX_LINE));
        if others.files > files || others.bytes > max_bytes || others.lines > 0 || others.matches > 0 {
            return Err("its totals are not those of the task".to_owned());
        }
        Ok(())
    }

    /// Checks that the parts of the remainder lie within the pieces, in their order and without
    /// overlaps. It must be less than the task: otherwise the same task could be returned for ever.
    fn remainder(&self, output: &Output) -> Result<(), String> {
        let start = self.pieces.first().map_or(0, |piece| piece.start);
        let mut position = (0, start.saturating_add(1));
        for part in &output.remainder.0 {
            position = match part {
                Part::Task(task) => self.left(task, position)?,
                Part::Range { path, next, end, last, step, limit } => {
                    // A step is at least 4 KiB, or the limit if that is smaller.
                    if *step < self.limit.clamp(1, 4 << 10) || *limit != self.limit {
                        return Err("the remainder is not cut like the task".to_owned());
                    }
                    if let Some(nth) = self.continues(output.found.last(), path, *next, *end) {
                        position = (nth, *end);
                        continue;
                    }
                    let end = (next < end).then_some(*end);
                    let (kind, path, start, last) = (Kind::File, path.clone(), *next, *last);
                    self.within(&Extent { path, kind, start, end, last }, position)?
                }
            };
        }
        Ok(())
    }

    /// The index of the piece whose last line continues in this range, after the piece's end. A
    /// search can end within a line if the line contains NULs, which end lines of a binary file,
    /// too.
    fn continues(&self, found: Option<&Found>, path: &ByteBuf, next: u64, end: u64) -> Option<usize> {
        let found =
            found.filter(|found| found.path == *path && found.at.saturating_add(found.bytes) == next)?;
        let continues_in_range = |piece: &Extent| {
            piece.path == *path
                && piece.kind == Kind::File
                && piece.end.is_some_and(|range| (found.at..=next).contains(&range))
        };
        if !(next..next.saturating_add(MAX_LINE)).contains(&end) {
            return None;
        }
        self.pieces.iter().position(continues_in_range)
    }

    fn left(&self, task: &Task, mut position: Position) -> Result<Position, String> {
        if task.limit != self.limit || task.pieces.is_empty() {
            return Err("the remainder is not cut like the task".to_owned());
        }
        for piece in &task.pieces {
            position = self.within(&Extent::of(piece), position)?;
        }
        Ok(position)
    }

    /// The position after this part, which must lie within a piece and not before `position`.
    fn within(&self, part: &Extent, position: Position) -> Result<Position, String> {
        let (first, at) = position;
        let later = self.pieces.iter().enumerate().skip(first);
        let mut fits = later.filter(|(nth, piece)| {
            let from = if *nth == first { at.max(piece.start) } else { piece.start };
            piece.has(part, from)
        });
        let (nth, _) = fits.next().ok_or("the remainder is not a part of the task")?;
        Ok((nth, part.end.unwrap_or(u64::MAX).max(part.start.saturating_add(1))))
    }
}

impl Extent {
    fn of(piece: &Piece) -> Self {
        let (kind, end) = match &piece.content {
            Content::File => (Kind::File, piece.end),
            Content::Bytes(bytes) => (Kind::Bytes, Some(piece.start.saturating_add(bytes.len() as u64))),
            Content::Stream(bytes) => (Kind::Stream, Some(piece.start.saturating_add(bytes.len() as u64))),
            Content::Missing(_) => (Kind::Missing, Some(piece.start)),
        };
        Self { path: piece.path.clone(), kind, start: piece.start, end, last: piece.last }
    }

    /// Whether lines of this piece may begin at this position and have this number of bytes.
    fn can_find(&self, at: u64, bytes: u64) -> bool {
        // The search of a range begins with the byte before it, which may end a line.
        let start = if self.kind == Kind::File { self.start.saturating_sub(1) } else { self.start };
        let end = self.end.unwrap_or(MAX_FILE);
        let can_have_bytes = match self.kind {
            Kind::File => true,
            Kind::Bytes | Kind::Stream => at.saturating_add(bytes) <= end,
            Kind::Missing => bytes == 0,
        };
        (start..=end).contains(&at) && can_have_bytes
    }

    /// Whether this is a part of the piece, and does not begin before `from`.
    fn has(&self, part: &Self, from: u64) -> bool {
        let ends_within = part.end.is_none_or(|end| end <= self.end.unwrap_or(MAX_FILE));
        self.path == part.path
            && self.kind == part.kind
            && (from..=self.end.unwrap_or(MAX_FILE)).contains(&part.start)
            && ends_within
            && (part.end.is_some() || self.end.is_none())
            && (self.last || !part.last)
    }
}

impl Found {
    /// Checks the numbers that the printer relies on.
    fn check(
        &self,
        Options { max, prints_text, names, is_formatted_by_printer }: Options,
    ) -> Result<(), String> {
        let counts = [self.newlines, self.selected, self.matches];
        let counts_fit =
            counts.iter().all(|count| *count <= self.bytes) && max.is_none_or(|max| self.selected <= max);
        let expected_ends = match max {
            _ if self.at == 0 => 0,
            Some(_) => self.selected,
            None => self.selected.min(1),
        };
        let ends_fit = self.ends.len() as u64 == expected_ends
            && self.ends.is_sorted()
            && self.ends.last().is_none_or(|end| u64::from(*end) <= self.bytes);
        if !counts_fit || !ends_fit || (!prints_text && !self.text.is_empty()) {
            return Err("its lines are not those of the range".to_owned());
        }
        let is_as_agreed = if is_formatted_by_printer {
            self.rows.is_empty() && self.lines.is_empty() == self.text.is_empty()
        } else {
            self.lines.is_empty() && self.marks.is_empty()
        };
        if !is_as_agreed {
            return Err("its lines are not formatted as they should be".to_owned());
        }
        self.check_lines()?;
        let prefix = if names { self.path.len() + 1 } else { 0 };
        let rows_fit = self.rows.is_sorted_by_key(|row| row.at)
            && self.rows.is_sorted_by_key(|row| row.nth)
            && self.rows.last().is_none_or(|row| row.at as usize + prefix <= self.text.len());
        if rows_fit { Ok(()) } else { Err("its rows are not in its text".to_owned()) }
    }

    /// Checks that the lines and the marks are in the text, in order, and that each mark is within
    /// a line.
    fn check_lines(&self) -> Result<(), String> {
        let mut marks = self.marks.iter().peekable();
        let (mut text_at, mut line_at) = (0, 0);
        for (nth, line) in self.lines.iter().enumerate() {
            let end = self.lines.get(nth + 1).map_or(self.text.len(), |next| next.at as usize);
            let is_next = line.at as usize == text_at && u64::from(line.start) >= line_at;
            if !is_next || end <= text_at || end > self.text.len() {
                return Err("its lines are not in its text".to_owned());
            }
            let mut marked_to = text_at;
            while let Some(mark) = marks.next_if(|mark| (mark.start as usize) < end) {
                if (mark.start as usize) < marked_to || mark.end <= mark.start || mark.end as usize > end {
                    return Err("its matches are not in its lines".to_owned());
                }
                marked_to = mark.end as usize;
            }
            line_at = u64::from(line.start) + (end - text_at) as u64 - 1;
            text_at = end;
        }
        let is_selected = self.lines.iter().filter(|line| line.is_selected).count() as u64;
        if marks.next().is_some() || is_selected > self.selected || line_at > self.bytes {
            return Err("its lines are not those of the range".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, ops::ControlFlow};

    use proptest::prelude::*;

    use super::*;
    use cc_core::{Block, Sink, Stop};

    use crate::{BinaryFiles, Context, Grain, Job, Loader, Remainder, Report, Search};

    fn piece(path: &str, content: &str, start: u64) -> Piece {
        let content = Content::Bytes(ByteBuf::from(content));
        Piece { content, start, last: start == 0, ..Piece::file(path) }
    }

    fn query() -> Query {
        Query { patterns: vec![ByteBuf::from("e")], names: true, line_numbers: true, ..Query::default() }
    }

    fn range(path: &str, next: u64, end: u64) -> Part {
        let path = ByteBuf::from(path);
        Part::Range { path, next, end, last: false, step: 4096, limit: 4096 }
    }

    fn left(piece: Piece) -> Part {
        Part::Task(Task { pieces: vec![piece], limit: 4096 })
    }

    fn with_remainder(parts: Vec<Part>) -> Output {
        Output { remainder: Remainder(parts.into()), ..Output::default() }
    }

    #[test]
    fn what_is_left_of_a_task_is_its_own() {
        let file = Piece { start: 100, end: Some(900), last: false, ..Piece::file("file") };
        let bytes = piece("bytes", "one\ntwo\nthree\n", 50);
        let task = Task { pieces: vec![file.clone(), bytes.clone()], limit: 4096 };
        let scope = task.scope(&query());
        for fine in [
            vec![range("file", 101, 900), left(bytes.clone())],
            vec![range("file", 899, 900)],
            vec![left(bytes.clone())],
            vec![left(Piece { start: 200, end: Some(300), ..file.clone() })],
        ] {
            assert_eq!(scope.accepts(&with_remainder(fine.clone())), Ok(()), "{fine:?}");
        }
        let empty = Part::Task(Task { pieces: vec![], limit: 4096 });
        let step = |step, limit| Part::Range {
            path: ByteBuf::from("file"),
            next: 200,
            end: 300,
            last: false,
            step,
            limit,
        };
        for foreign in [
            vec![range("other", 200, 300)],
            vec![range("../file", 200, 300)],
            vec![range("/etc/passwd", 200, 300)],
            vec![range("file", 99, 900)],
            vec![range("file", 101, 901)],
            vec![range("file", 901, 901)],
            vec![range("file", 500, 500)],
            vec![range("bytes", 51, 60)],
            vec![range("file", 100, 900)],
            vec![left(file.clone()), left(bytes.clone())],
            vec![range("file", 300, 900), range("file", 200, 300)],
            vec![range("file", 200, 300), range("file", 200, 300)],
            vec![left(bytes.clone()), range("file", 200, 300)],
            vec![left(Piece { end: None, start: 200, ..file.clone() })],
            vec![left(Piece { last: true, start: 200, ..file.clone() })],
            vec![left(Piece { start: 200, ..Piece::file("bytes") })],
            vec![left(piece("bytes", "one\ntwo\nthree\nmore\n", 50))],
            vec![left(Piece::missing("file", "gone".to_owned()))],
            vec![step(0, 4096)],
            vec![step(1, 4096)],
            vec![step(4096, 1)],
            vec![empty],
        ] {
            assert!(scope.accepts(&with_remainder(foreign.clone())).is_err(), "{foreign:?}");
        }
    }

    #[test]
    fn what_is_found_is_of_the_task() {
        let task = Task { pieces: vec![piece("a", "one\ntwo\n", 0), piece("b", "three\n", 7)], limit: 4096 };
        let (query, mut search) = (query(), Search::new(&query()).unwrap());
        let (scope, output) = (task.scope(&query), search.task(&task));
        assert_eq!(scope.accepts(&output), Ok(()));
        let lies: [fn(&mut Found); 12] = [
            |found| found.path = ByteBuf::from("c"),
            |found| found.at = 6,
            |found| found.at = u64::MAX,
            |found| found.bytes = u64::MAX,
            |found| found.bytes += 1,
            |found| found.newlines = u64::MAX,
            |found| found.selected = u64::MAX,
            |found| found.matches = u64::MAX,
            |found| found.ends = vec![7, 3],
            |found| found.ends = vec![u32::MAX],
            |found| found.rows[0].at = u32::MAX,
            |found| found.rows.insert(0, super::super::Row { at: 1, line: 0, nth: 9 }),
        ];
        for (nth, lie) in lies.iter().enumerate() {
            let mut output = output.clone();
            lie(output.found.last_mut().unwrap());
            assert!(scope.accepts(&output).is_err(), "lie {nth}");
        }
        let mut reordered = output.clone();
        reordered.found.reverse();
        assert!(scope.accepts(&reordered).is_err());
        for others in [Totals { files: 3, ..Totals::default() }, Totals { lines: 1, ..Totals::default() }] {
            assert!(scope.accepts(&Output { others, ..output.clone() }).is_err());
        }
    }

    #[test]
    fn lines_for_the_printer_are_in_their_text() {
        let text = "a\nb\ne e\nc\nd\nf\n";
        let task = Task { pieces: vec![piece("a", text, 7)], limit: 4096 };
        let context = Some(Context { before: 1, after: 1 });
        let query = Query { context, color: true, ..query() };
        let (scope, output) = (task.scope(&query), Search::new(&query).unwrap().task(&task));
        assert_eq!(scope.accepts(&output), Ok(()));
        assert_eq!((output.found[0].lines.len(), output.found[0].marks.len()), (5, 2));
        let lies: [fn(&mut Found); 13] = [
            |found| found.lines.clear(),
            |found| found.marks.extend(found.marks.clone()),
            |found| found.lines.swap(0, 1),
            |found| found.lines[0].at = 1,
            |found| found.lines[3].at = u32::MAX,
            |found| found.lines[3].start = u32::MAX,
            |found| found.lines[1].start = 0,
            |found| found.lines[0].is_selected = true,
            |found| found.marks[1].end = u32::MAX,
            |found| found.marks[0].start = 0,
            |found| found.marks[1].start = found.marks[0].start,
            |found| found.text.clear(),
            |found| found.is_stream = true,
        ];
        for (nth, lie) in lies.iter().enumerate() {
            let mut output = output.clone();
            lie(&mut output.found[0]);
            assert!(scope.accepts(&output).is_err(), "lie {nth}");
        }
        let plain = task.scope(&Query { context: None, color: false, ..query });
        assert!(plain.accepts(&output).is_err());
    }

    struct Shown(Vec<u8>);

    impl Sink<Block> for Shown {
        fn push(&mut self, block: Block) -> ControlFlow<()> {
            let (Block::Out(text) | Block::Err(text)) = block;
            self.0.extend(text);
            ControlFlow::Continue(())
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

        /// Every output of a search is accepted, of tasks with names and with contents, and so are
        /// the outputs of remainders of remainders.
        #[test]
        fn true_outputs_are_accepted(
            texts in prop::collection::vec("[ae\n\0]{0,400}", 1..5),
            bytes in 1_u64..300,
            files in 1_usize..4,
            max in prop::option::of(1_u64..5),
            report in 0..4,
            flags in 0..128,
            context in prop::option::of((0_u64..4, 0_u64..4)),
            loads in any::<bool>(),
        ) {
            let dir = tempfile::tempdir().unwrap();
            for (nth, text) in texts.iter().enumerate() {
                fs::write(dir.path().join(nth.to_string()), text).unwrap();
            }
            let report =
                [Report::Lines, Report::Matches, Report::Count, Report::FilesWith][report as usize];
            let (names, line_numbers) = (flags & 1 > 0, flags & 2 > 0);
            let (invert, unnamed) = (flags & 4 > 0, flags & 8 > 0);
            let (color, null_data) = (flags & 16 > 0, flags & 32 > 0);
            let binary = if flags & 64 > 0 { BinaryFiles::WithoutMatch } else { BinaryFiles::Binary };
            let context = context.map(|(before, after)| Context { before, after });
            let query =
                Query { max, report, names, line_numbers, invert, context, color, null_data, binary, ..query() };
            let roots = vec![dir.path().to_owned(), if unnamed { "/nowhere" } else { "/proc/self/stat" }.into()];
            let job = Job::new(query.clone(), roots, true);
            let (mut search, mut loader) = (Search::new(&query).unwrap(), Loader::new(&query));
            let mut shown = Shown(Vec::new());
            let mut printer = job.printer(&mut shown);
            let mut left: Vec<Task> = job.tasks(Grain { bytes, files }, &Stop::new()).collect();
            left.reverse();
            while let Some(task) = left.pop() {
                let (task, more) = if loads { loader.load(task) } else { (task, Remainder::default()) };
                let mut output = search.task(&task);
                prop_assert_eq!(task.scope(&query).accepts(&output), Ok(()), "{:?} {:?}", task, output);
                let mut remainder = std::mem::take(&mut output.remainder);
                remainder.extend(more);
                let _ = printer.push(output);
                let remainder: Vec<Task> = remainder.filter(|task| job.wants(task)).collect();
                left.extend(remainder.into_iter().rev());
            }
        }
    }
}
