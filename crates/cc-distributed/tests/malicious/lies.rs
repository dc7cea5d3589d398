//! The lies: true answers, changed in one thing.

use std::sync::Arc;

use cc_workloads::{
    blobs::BlobRange,
    grep, mandelbrot, resize, sort,
    wordcount::{self, Share, Spilled},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_bytes::ByteBuf;

use crate::impostor::{
    Lie, TaskContext, output,
    pb::{Frame, FromWorker, Welcome, from_worker::What as Event},
};

/// Names of files that are in no task.
const NAMES: [&str; 8] = [
    "private/key",
    "tree/../private/key",
    "/etc/passwd",
    "",
    ".",
    "tree/0000/../../private/key",
    "link/key",
    "tree/0001\0",
];

/// 32 TiB: more memory than any machine has.
const HUGE: u64 = 32 << 40;

fn encode(data: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(data).unwrap()
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> T {
    postcard::from_bytes(bytes).unwrap()
}

/// A lie that consists of these messages.
fn message_lie(
    name: impl Into<String>,
    lie: impl Fn(&TaskContext) -> Vec<FromWorker> + Send + Sync + 'static,
) -> (String, Lie) {
    (name.into(), Arc::new(move |task: &TaskContext| Some(lie(task))))
}

/// A lie that changes the true answer. None if the answer has nothing to change.
fn answer_lie<T: DeserializeOwned + Serialize>(
    name: impl Into<String>,
    lie: impl Fn(&TaskContext, &mut T) -> Option<()> + Send + Sync + 'static,
) -> (String, Lie) {
    let lie = move |task: &TaskContext| {
        let mut answer = decode(task.truth);
        lie(task, &mut answer)?;
        Some(output(task.id, &encode(&answer)))
    };
    (name.into(), Arc::new(lie))
}

/// Lies that do not depend on the contents of a task.
pub(crate) fn messages() -> Vec<(String, Lie)> {
    let frame = |id, size, data: &[u8]| Frame { id, size, data: data.to_vec().into() };
    let message = |what| FromWorker { what: Some(what) };
    let out = move |id, size, data: &[u8]| message(Event::Output(frame(id, size, data)));
    let failed = move |id, size, data: &[u8]| message(Event::Failure(frame(id, size, data)));
    let twice = |task: &TaskContext| [output(task.id, task.truth), output(task.id, task.truth)].concat();
    vec![
        message_lie("an answer to a task that was not sent", |task| output(task.id + 1000, task.truth)),
        message_lie("an answer to task 0", |task| output(0, task.truth)),
        message_lie("an answer to the last number", |task| output(u64::MAX, task.truth)),
        message_lie("an answer twice", twice),
        message_lie("a failure of another task", move |task| vec![failed(task.id + 1, 3, b"why")]),
        message_lie("a failure after the answer", move |task| {
            [output(task.id, task.truth), vec![failed(task.id, 3, b"why")]].concat()
        }),
        message_lie("a reason of 32 TiB", move |task| vec![failed(task.id, HUGE, b"why")]),
        message_lie("a long reason", move |task| vec![failed(task.id, 1 << 20, &[b'x'; 1 << 18])]),
        message_lie("a second welcome", move |_| {
            vec![message(Event::Welcome(Welcome { tasks: u32::MAX, bytes: u64::MAX }))]
        }),
        message_lie("an empty message", |_| vec![FromWorker { what: None }]),
        message_lie("32 TiB", move |task| vec![out(task.id, HUGE, b"x")]),
        message_lie("2^64 - 1 bytes", move |task| vec![out(task.id, u64::MAX, b"x")]),
        message_lie("more than was announced", move |task| {
            vec![out(task.id, 3, b"x"), out(task.id, 3, b"xxx")]
        }),
        message_lie("other than was announced", move |task| {
            vec![out(task.id, 3, b"x"), out(task.id, 4, b"x")]
        }),
        message_lie("empty frames", move |task| vec![out(task.id, 3, b"x"), out(task.id, 3, b"")]),
        message_lie("a message of 8 MB", move |task| vec![out(task.id, 8 << 20, &vec![0; 8 << 20])]),
    ]
}

/// The reason of a failure that imitates a message of the program.
pub(crate) const REASON: &str = "why\x1b[2J\nforged: line";

/// A failure with this reason, of a task that was done.
pub(crate) fn failure() -> (String, Lie) {
    message_lie("a failure", |task| {
        let frame = Frame { id: task.id, size: REASON.len() as u64, data: REASON.as_bytes().into() };
        vec![FromWorker { what: Some(Event::Failure(frame)) }]
    })
}

/// The same reason in well-formed answers of each workload, which the coordinator must accept.
pub(crate) fn reasons() -> [(&'static str, Lie); 5] {
    let why = || REASON.to_owned();
    let grep = answer_lie("", move |_, answer: &mut Grep| {
        answer.found.first_mut()?.error = Some((1, why()));
        Some(())
    });
    let resize = answer_lie("", move |_, answer: &mut resize::Output| {
        answer.made = resize::Made::Failed(why());
        Some(())
    });
    let mandelbrot = answer_lie("", move |_, answer: &mut mandelbrot::Output| {
        answer.counts = Err(why());
        Some(())
    });
    let wordcount = answer_lie("", move |task, answer: &mut Counted| {
        let (Request::Count { task, .. }, Counted::Spilled(spilled)) = (decode(task.payload), answer) else {
            return None;
        };
        let piece = &task.pieces[0];
        let (path, at) = (piece.path.clone(), piece.start);
        spilled.read.errors = vec![wordcount::ReadError { path, at, why: why() }];
        Some(())
    });
    let sort = answer_lie("", move |_, answer: &mut Answer| {
        *answer = Answer::Output(sort::Output::Failed(why()));
        Some(())
    });
    let all = [grep, resize, mandelbrot, wordcount, sort].map(|(_, lie)| lie);
    let mut names = ["grep", "resize", "mandelbrot", "wordcount", "sort"].into_iter();
    all.map(|lie| (names.next().unwrap(), lie))
}

/// Bytes that are no answer, or more than one.
pub(crate) fn payloads() -> Vec<(String, Lie)> {
    let mut lies: Vec<(String, Lie)> = Vec::new();
    for part in [0, 1, 2, 10, 50, 90, 99] {
        lies.push(message_lie(format!("{part} % of an answer"), move |task| {
            output(task.id, &task.truth[..task.truth.len() * part / 100])
        }));
    }
    let cut = |task: &TaskContext| output(task.id, &task.truth[..task.truth.len() - 1]);
    lies.push(message_lie("all but the last byte", cut));
    let longer = |task: &TaskContext| output(task.id, &[task.truth, b"\0"].concat());
    lies.push(message_lie("another byte", longer));
    let two = |task: &TaskContext| output(task.id, &[task.truth, task.truth].concat());
    lies.push(message_lie("two answers in one", two));
    for (name, bytes) in [
        ("an endless number", vec![0xff; 100]),
        ("a megabyte of ones", vec![0xff; 1 << 20]),
        ("a megabyte of seven bits", vec![0x7f; 1 << 20]),
        ("a list of 2^62 items", b"\0\xff\xff\xff\xff\xff\xff\xff\xff\x3f".to_vec()),
        ("2^62 items", b"\xff\xff\xff\xff\xff\xff\xff\xff\x3f".to_vec()),
        ("a name of 2^62 bytes", b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\x3fxyz".to_vec()),
        ("text", b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
    ] {
        lies.push(message_lie(name, move |task| output(task.id, &bytes)));
    }
    lies
}

/// The same types as in the workload, where the fields are private.
#[derive(Clone, Serialize, Deserialize)]
struct Grep {
    found: Vec<Found>,
    others: grep::Totals,
    remainder: Vec<Remainder>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Found {
    path: ByteBuf,
    at: u64,
    bytes: u64,
    newlines: u64,
    selected: u64,
    matches: u64,
    text: ByteBuf,
    rows: Vec<(u32, u32, u32)>,
    ends: Vec<u32>,
    lines: Vec<(u32, u32, u32, bool)>,
    marks: Vec<(u32, u32)>,
    is_stream: bool,
    binary: u32,
    ended: bool,
    error: Option<(u32, String)>,
}

#[derive(Clone, Serialize, Deserialize)]
enum Remainder {
    Task(grep::Task),
    Range { path: ByteBuf, next: u64, end: u64, last: bool, step: u64, limit: u64 },
}

/// Lies about a search. `by_name` says whether tasks name files.
pub(crate) fn grep(by_name: bool) -> Vec<(String, Lie)> {
    let mut lies = Vec::new();
    let mut left = |name: String, remainder: fn(&grep::Task, usize) -> Remainder, nth: usize| {
        lies.push(answer_lie(format!("remainder: {name}"), move |task, answer: &mut Grep| {
            answer.remainder = vec![remainder(&decode(task.payload), nth)];
            Some(())
        }));
    };
    for (nth, name) in NAMES.iter().enumerate() {
        let file = |task: &grep::Task, nth: usize| {
            Remainder::Task(grep::Task { pieces: vec![grep::Piece::file(NAMES[nth])], limit: task.limit })
        };
        left(format!("the file {name:?}"), file, nth);
        let range = |task: &grep::Task, nth: usize| {
            let path = ByteBuf::from(NAMES[nth]);
            Remainder::Range { path, next: 0, end: 1 << 20, last: true, step: 1 << 20, limit: task.limit }
        };
        left(format!("a range of {name:?}"), range, nth);
    }
    left("the same task".to_owned(), |task, _| Remainder::Task(task.clone()), 0);
    left("no pieces".to_owned(), |task, _| Remainder::Task(grep::Task { pieces: vec![], ..*task }), 0);
    let limited = |task: &grep::Task, _| {
        Remainder::Task(grep::Task { pieces: task.pieces[1..].to_vec(), limit: task.limit + 1 })
    };
    left("another limit".to_owned(), limited, 0);
    let range = |task: &grep::Task, nth: usize| {
        let piece = task.pieces.last().unwrap();
        let (next, end, step, limit) = [
            (piece.start + 1, 1 << 60, 1 << 20, task.limit),
            (piece.start + 1, u64::MAX, 1 << 20, task.limit),
            (piece.start + 1, 1 << 20, 0, task.limit),
            (piece.start + 1, 1 << 20, 1, task.limit),
            (piece.start + 1, 1 << 20, 1 << 20, 1),
            (u64::MAX, u64::MAX, 1 << 20, task.limit),
        ][nth];
        Remainder::Range { path: piece.path.clone(), next, end, last: false, step, limit }
    };
    (0..6).for_each(|nth| left(format!("range {nth} of its own file"), range, nth));
    if by_name {
        return lies;
    }
    let as_file = |task: &grep::Task, _| {
        let piece = grep::Piece { content: grep::Content::File, ..task.pieces.last().unwrap().clone() };
        Remainder::Task(grep::Task { pieces: vec![piece], limit: task.limit })
    };
    left("a file instead of its content".to_owned(), as_file, 0);
    let longer = |task: &grep::Task, _| {
        let content = grep::Content::Bytes(ByteBuf::from(vec![b'x'; 4 << 20]));
        let piece = grep::Piece { content, ..task.pieces.last().unwrap().clone() };
        Remainder::Task(grep::Task { pieces: vec![piece], limit: task.limit })
    };
    left("a content that is longer".to_owned(), longer, 0);
    let many = |task: &grep::Task, _| {
        let piece = task.pieces.last().unwrap().clone();
        Remainder::Task(grep::Task { pieces: vec![piece; 200], limit: task.limit })
    };
    left("a piece many times".to_owned(), many, 0);
    let found: [(&str, fn(&mut Found)); 19] = [
        ("a foreign path", |found| found.path = ByteBuf::from("private/key")),
        ("an empty path", |found| found.path = ByteBuf::new()),
        ("a position after the file", |found| found.at = HUGE),
        ("the last position", |found| found.at = u64::MAX),
        ("more bytes than there are", |found| found.bytes = HUGE),
        ("all bytes", |found| found.bytes = u64::MAX),
        ("more lines than bytes", |found| found.newlines = found.bytes + 1),
        ("all lines", |found| found.newlines = u64::MAX),
        ("all selected", |found| found.selected = u64::MAX),
        ("all matches", |found| found.matches = u64::MAX),
        ("rows after the text", |found| found.rows = vec![(u32::MAX, 0, 0)]),
        ("rows in disorder", |found| found.rows = vec![(9, 0, 0), (3, 0, 0)]),
        ("ends after the range", |found| found.ends = vec![u32::MAX; 3]),
        ("ends of a file's beginning", |found| found.ends = vec![0, 0]),
        ("lines after the text", |found| found.lines = vec![(u32::MAX, 0, 0, true)]),
        ("lines in disorder", |found| found.lines = vec![(9, 9, 0, true), (3, 3, 0, true)]),
        ("marks after the text", |found| found.marks = vec![(0, u32::MAX)]),
        ("marks that end before they begin", |found| found.marks = vec![(5, 2)]),
        ("another kind of input", |found| found.is_stream = !found.is_stream),
    ];
    for (name, lie) in found {
        lies.push(answer_lie(format!("found: {name}"), move |_, answer: &mut Grep| {
            answer.found.first_mut().map(lie)
        }));
    }
    let whole: [(&str, fn(&mut Grep)); 7] = [
        ("twice", |grep| grep.found.extend(grep.found.clone())),
        ("in reverse order", |grep| grep.found.reverse()),
        ("in a hundred thousand files", |grep| grep.found = vec![grep.found[0].clone(); 100_000]),
        ("in more files than there are", |grep| grep.others.files = HUGE),
        ("in more bytes than there are", |grep| grep.others.bytes = u64::MAX),
        ("lines in files without any", |grep| grep.others.lines = 1),
        ("matches in files without any", |grep| grep.others.matches = u64::MAX),
    ];
    for (name, lie) in whole {
        lies.push(answer_lie(format!("found {name}"), move |_, answer: &mut Grep| {
            (answer.found.len() > 1).then(|| lie(answer))
        }));
    }
    lies
}

/// Lies about a thumbnail.
pub(crate) fn resize() -> Vec<(String, Lie)> {
    let mut lies = Vec::new();
    for name in NAMES.into_iter().chain(["01.png/", "./01.png", "../out-lied/01.png", "00.PNG", "/01.png"]) {
        lies.push(answer_lie(format!("the target {name:?}"), move |_, answer: &mut resize::Output| {
            answer.target = ByteBuf::from(name);
            Some(())
        }));
    }
    lies.push(answer_lie("the source", |_, answer: &mut resize::Output| {
        answer.source = ByteBuf::from("private/key");
        Some(())
    }));
    let sizes: [fn(&mut ByteBuf, &mut u32, &mut u32, &mut u64); 8] = [
        |bytes, _, _, _| bytes.clear(),
        |_, width, _, _| *width = 0,
        |_, width, _, _| *width = 10,
        |_, width, _, _| *width = u32::MAX,
        |_, _, height, _| *height = 0,
        |_, _, height, _| *height = u32::MAX,
        |_, _, _, pixels| *pixels = 0,
        |_, _, _, pixels| *pixels = u64::MAX,
    ];
    for (nth, lie) in sizes.into_iter().enumerate() {
        lies.push(answer_lie(format!("size {nth}"), move |_, answer: &mut resize::Output| {
            let resize::Made::Thumbnail { bytes, width, height, pixels } = &mut answer.made else {
                return None;
            };
            lie(bytes, width, height, pixels);
            Some(())
        }));
    }
    lies
}

/// Lies about tiles.
pub(crate) fn mandelbrot() -> Vec<(String, Lie)> {
    let tiles: [fn(&mut mandelbrot::Task); 7] = [
        |task| task.first += 1,
        |task| task.first = 1 << 40,
        |task| task.first = u64::MAX,
        |task| task.tiles = 0,
        |task| task.tiles += 1,
        |task| task.tiles = u32::MAX,
        |task| (task.first, task.tiles) = (u64::MAX, u32::MAX),
    ];
    let mut lies = Vec::new();
    for (nth, lie) in tiles.into_iter().enumerate() {
        lies.push(answer_lie(format!("tiles {nth}"), move |_, answer: &mut mandelbrot::Output| {
            lie(&mut answer.task);
            Some(())
        }));
        lies.push(answer_lie(
            format!("no counts of tiles {nth}"),
            move |_, answer: &mut mandelbrot::Output| {
                lie(&mut answer.task);
                answer.counts = Err("why".to_owned());
                Some(())
            },
        ));
    }
    let counts: [fn(&mut Vec<u8>); 5] = [
        Vec::clear,
        |counts| counts.truncate(counts.len() - 4),
        |counts| counts.truncate(counts.len() - 1),
        |counts| counts.resize(4 << 20, 0),
        |counts| counts[..4].fill(0xff),
    ];
    for (nth, lie) in counts.into_iter().enumerate() {
        lies.push(answer_lie(format!("counts {nth}"), move |_, answer: &mut mandelbrot::Output| {
            lie(answer.counts.as_mut().ok()?);
            Some(())
        }));
    }
    lies
}

/// The same types as in the model's file.
#[derive(Serialize, Deserialize)]
enum Request {
    Count { name: String, task: wordcount::Task },
    Rank(Share),
}

#[derive(Serialize, Deserialize)]
enum Counted {
    Spilled(Spilled),
    Failed(String),
    Full(String),
}

#[derive(Serialize, Deserialize)]
enum Summed {
    Ranked(Ranked),
    Failed(String),
    Missing(Missing),
}

#[derive(Serialize, Deserialize)]
struct Ranked {
    distinct: u64,
    words: ByteBuf,
}

#[derive(Serialize, Deserialize)]
struct Missing {
    location: String,
    range: BlobRange,
    why: String,
}

/// Whether a task of wordcount belongs to the first phase.
pub(crate) fn is_count(task: &[u8]) -> bool {
    task.first() == Some(&0)
}

/// Whether it belongs to the second phase.
pub(crate) fn is_rank(task: &[u8]) -> bool {
    task.first() == Some(&1)
}

/// Lies about counts.
pub(crate) fn count() -> Vec<(String, Lie)> {
    let mut lies = Vec::new();
    for name in NAMES {
        lies.push(answer_lie(format!("the file {name:?} is split off"), move |_, answer: &mut Counted| {
            let Counted::Spilled(spilled) = answer else { return None };
            spilled.read.split = vec![wordcount::Task { pieces: vec![wordcount::Piece::file(name)] }];
            Some(())
        }));
        lies.push(answer_lie(format!("the file {name:?} is unreadable"), move |_, answer: &mut Counted| {
            let Counted::Spilled(spilled) = answer else { return None };
            let error =
                wordcount::ReadError { path: ByteBuf::from(name), at: 0, why: "\x1b[2Jwhy".to_owned() };
            spilled.read.errors = vec![error];
            Some(())
        }));
    }
    lies.push(answer_lie("its own task is split off", |task, answer: &mut Counted| {
        let Request::Count { task, .. } = decode(task.payload) else { return None };
        let Counted::Spilled(spilled) = answer else { return None };
        spilled.read.split = vec![task];
        Some(())
    }));
    let reads: [fn(&mut wordcount::Totals); 5] = [
        |totals| totals.files = u64::MAX,
        |totals| totals.bytes = u64::MAX,
        |totals| totals.words = u64::MAX,
        |totals| totals.words = HUGE,
        |totals| totals.distinct = 1,
    ];
    for (nth, lie) in reads.into_iter().enumerate() {
        lies.push(answer_lie(format!("totals {nth}"), move |_, answer: &mut Counted| {
            let Counted::Spilled(spilled) = answer else { return None };
            lie(&mut spilled.read.totals);
            Some(())
        }));
    }
    let slices: [fn(&mut Vec<BlobRange>); 15] = [
        Vec::clear,
        |slices| drop(slices.pop()),
        |slices| slices.push(slices[0].clone()),
        |slices| *slices = vec![slices[0].clone(); 100_000],
        |slices| slices.last_mut().unwrap().end = HUGE,
        |slices| slices.last_mut().unwrap().end = u64::MAX,
        |slices| slices[0] = BlobRange { start: 0, end: HUGE, ..slices[0].clone() },
        |slices| slices[1].start = u64::MAX,
        |slices| slices[0].start = 1,
        |slices| slices[0].name = "127.0.0.1:1/session/0.0".to_owned(),
        |slices| slices[0].name = "/etc/passwd".to_owned(),
        |slices| slices[0].name = "../../private/key".to_owned(),
        |slices| slices[0].name = String::new(),
        |slices| slices.iter_mut().for_each(|slice| slice.name = "169.254.169.254:80/latest/0.0".to_owned()),
        |slices| slices.iter_mut().for_each(|slice| slice.name += "1"),
    ];
    for (nth, lie) in slices.into_iter().enumerate() {
        lies.push(answer_lie(format!("slices {nth}"), move |_, answer: &mut Counted| {
            let Counted::Spilled(spilled) = answer else { return None };
            lie(&mut spilled.slices);
            Some(())
        }));
    }
    lies.push(answer_lie("it has failed", |_, answer: &mut Counted| {
        *answer = Counted::Failed("why".to_owned());
        Some(())
    }));
    lies
}

/// Lies about sums.
pub(crate) fn rank() -> Vec<(String, Lie)> {
    let words: [fn(&mut Ranked); 9] = [
        |ranked| ranked.distinct += 1,
        |ranked| ranked.distinct = 0,
        |ranked| ranked.distinct = u64::MAX,
        |ranked| ranked.words.clear(),
        |ranked| _ = ranked.words.pop(),
        |ranked| ranked.words.extend_from_slice(b"\x01a\x01"),
        |ranked| ranked.words.extend_from_slice(&[0xff; 9]),
        |ranked| ranked.words = ByteBuf::from(b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f".to_vec()),
        |ranked| (ranked.distinct, ranked.words) = (2, ByteBuf::from(b"\x01a\x01\x01a\x01".to_vec())),
    ];
    let mut lies = Vec::new();
    for (nth, lie) in words.into_iter().enumerate() {
        lies.push(answer_lie(format!("words {nth}"), move |_, answer: &mut Summed| {
            let Summed::Ranked(ranked) = answer else { return None };
            (ranked.distinct > 0).then(|| lie(ranked))
        }));
    }
    let missing: [fn(&TaskContext, &Share) -> (String, BlobRange); 5] = [
        |task, _| (task.location.to_owned(), BlobRange { name: "a/b/c".to_owned(), start: 0, end: 1 }),
        |task, _| (task.location.to_owned(), BlobRange { name: String::new(), start: 0, end: u64::MAX }),
        |task, share| (task.location.to_owned(), BlobRange { end: HUGE, ..share.slices[0].clone() }),
        |_, share| ("127.0.0.1:1/session".to_owned(), share.slices[0].clone()),
        |_, share| (String::new(), share.slices[0].clone()),
    ];
    for (nth, lie) in missing.into_iter().enumerate() {
        lies.push(answer_lie(format!("missing {nth}"), move |task, answer: &mut Summed| {
            let Request::Rank(share) = decode(task.payload) else { return None };
            let (location, range) = (!share.slices.is_empty()).then(|| lie(task, &share))?;
            *answer = Summed::Missing(Missing { location, range, why: "why".to_owned() });
            Some(())
        }));
    }
    lies.push(answer_lie("it has failed", |_, answer: &mut Summed| {
        *answer = Summed::Failed("why".to_owned());
        Some(())
    }));
    lies
}

#[derive(Serialize, Deserialize)]
enum Answer {
    Runs(String, Made),
    Output(sort::Output),
    Missing(Missing),
}

#[derive(Clone, Serialize, Deserialize)]
struct Made {
    runs: Vec<Run>,
    read: sort::Totals,
    spent: Vec<String>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Run {
    name: String,
    bytes: u64,
    packed: ByteBuf,
    entries: u64,
}

/// Whether a task of sort belongs to the first phase.
pub(crate) fn is_chunk(task: &[u8]) -> bool {
    task.first() == Some(&0)
}

/// Whether it belongs to the second phase.
pub(crate) fn is_merge(task: &[u8]) -> bool {
    task.first() == Some(&1)
}

/// Lies about runs.
pub(crate) fn chunk() -> Vec<(String, Lie)> {
    let runs: [fn(&mut Made); 27] = [
        |made| made.runs[0].bytes = HUGE,
        |made| (made.runs[0].bytes, made.read.bytes) = (HUGE, HUGE),
        |made| (made.runs[0].bytes, made.read.bytes) = (u64::MAX, u64::MAX),
        |made| made.runs[0].bytes += 1,
        |made| made.runs[0].bytes = 0,
        |made| made.runs.clear(),
        |made| made.runs.push(made.runs[0].clone()),
        |made| made.runs = vec![made.runs[0].clone(); 100_000],
        |made| made.runs[0].name = "run-0-1".to_owned(),
        |made| made.runs[0].name = "run-99999-0".to_owned(),
        |made| made.runs[0].name = "127.0.0.1:1/session/run-0-0".to_owned(),
        |made| made.runs[0].name = "/etc/passwd".to_owned(),
        |made| made.runs[0].name = "input-0".to_owned(),
        |made| made.runs[0].name.clear(),
        |made| made.runs[0].packed = ByteBuf::from(vec![0xff; 100]),
        |made| made.runs[0].packed = ByteBuf::from(b"\x01\0\xff\xff\xff\xff\x7fa".to_vec()),
        |made| made.runs[0].packed.extend_from_slice(b"\x01\0"),
        |made| _ = made.runs[0].packed.pop(),
        |made| made.runs[0].entries += 1,
        |made| made.runs[0].entries = u64::MAX,
        |made| made.read.files = 3,
        |made| made.read.bytes += 1,
        |made| made.read.lines = u64::MAX,
        |made| made.read.sorted = 1,
        |made| made.spent = vec!["0".to_owned()],
        |made| made.spent = vec!["input-0".to_owned(), "../../private/key".to_owned()],
        |made| made.spent = vec![String::new(); 100_000],
    ];
    let mut lies = Vec::new();
    for (nth, lie) in runs.into_iter().enumerate() {
        lies.push(answer_lie(format!("runs {nth}"), move |_, answer: &mut Answer| {
            let Answer::Runs(_, made) = answer else { return None };
            (!made.runs.is_empty() && !made.runs[0].packed.is_empty()).then(|| lie(made))
        }));
    }
    for other in ["127.0.0.1:1/session", "", "/", "here"] {
        lies.push(answer_lie(format!("runs at {other:?}"), move |_, answer: &mut Answer| {
            let Answer::Runs(location, _) = answer else { return None };
            other.clone_into(location);
            Some(())
        }));
    }
    lies.push(answer_lie("lines instead of runs", |_, answer: &mut Answer| {
        *answer = Answer::Output(sort::Output::Lines { text: ByteBuf::from("a\n"), lines: 1 });
        Some(())
    }));
    lies.push(answer_lie("runs without a location", |_, answer: &mut Answer| {
        *answer = Answer::Output(sort::Output::Runs(sort::Made::default()));
        Some(())
    }));
    lies.push(answer_lie("a chunk that misses a run", |task, answer: &mut Answer| {
        let range = BlobRange { name: "a/b/run-0-0".to_owned(), start: 0, end: 1 };
        *answer =
            Answer::Missing(Missing { location: task.location.to_owned(), range, why: "why".to_owned() });
        Some(())
    }));
    lies
}

/// Lies about merges.
pub(crate) fn merge() -> Vec<(String, Lie)> {
    let lines: [fn(&mut Vec<u8>, &mut u64); 8] = [
        |_, lines| *lines += 1,
        |_, lines| *lines = 0,
        |_, lines| *lines = u64::MAX,
        |text, _| text.clear(),
        |text, _| _ = text.pop(),
        |text, _| text.extend_from_slice(b"more\n"),
        |text, _| text.extend_from_slice(b"no line"),
        |text, lines| (*text, *lines) = (b"x\n".repeat(4 << 20), 4 << 20),
    ];
    let mut lies = Vec::new();
    for (nth, lie) in lines.into_iter().enumerate() {
        lies.push(answer_lie(format!("lines {nth}"), move |_, answer: &mut Answer| {
            let Answer::Output(sort::Output::Lines { text, lines }) = answer else { return None };
            (*lines > 0).then(|| lie(text, lines))
        }));
    }
    lies.push(answer_lie("runs instead of lines", |task, answer: &mut Answer| {
        let made = Made { runs: vec![], read: sort::Totals::default(), spent: vec![] };
        *answer = Answer::Runs(task.location.to_owned(), made);
        Some(())
    }));
    lies.push(answer_lie("totals instead of lines", |_, answer: &mut Answer| {
        *answer = Answer::Output(sort::Output::Read(sort::Totals::default()));
        Some(())
    }));
    let missing: [fn(&TaskContext, &BlobRange) -> (String, BlobRange); 5] = [
        |task, _| (task.location.to_owned(), BlobRange { name: "a/b/run-0-0".to_owned(), start: 0, end: 1 }),
        |task, range| (task.location.to_owned(), BlobRange { end: HUGE, ..range.clone() }),
        |task, range| (task.location.to_owned(), BlobRange { name: String::new(), ..range.clone() }),
        |_, range| ("127.0.0.1:1/session".to_owned(), range.clone()),
        |_, range| (String::new(), range.clone()),
    ];
    for (nth, lie) in missing.into_iter().enumerate() {
        lies.push(answer_lie(format!("missing {nth}"), move |task, answer: &mut Answer| {
            let sort::Task::Merge(merge) = decode(task.payload) else { return None };
            let (location, range) = lie(task, &merge.parts.first()?.slice);
            *answer = Answer::Missing(Missing { location, range, why: "why".to_owned() });
            Some(())
        }));
    }
    lies
}
