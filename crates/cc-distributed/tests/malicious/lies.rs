//! The lies: true answers, changed in one thing.

use std::sync::Arc;

use cc_workloads::{
    grep, mandelbrot, resize,
    shelf::Slice,
    sort,
    wordcount::{self, Share, Shelved},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_bytes::ByteBuf;

use crate::impostor::{
    Asked, Lie, output,
    pb::{Frame, FromWorker, Welcome, from_worker::What as Answer},
};

/// Names of files that no task has.
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

/// No machine has so many bytes.
const HUGE: u64 = 32 << 40;

fn encode(what: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(what).unwrap()
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> T {
    postcard::from_bytes(bytes).unwrap()
}

/// A lie of messages.
fn said(
    name: impl Into<String>,
    lie: impl Fn(&Asked) -> Vec<FromWorker> + Send + Sync + 'static,
) -> (String, Lie) {
    (name.into(), Arc::new(move |asked: &Asked| Some(lie(asked))))
}

/// A lie in the answer: none where there is nothing to lie about.
fn told<T: DeserializeOwned + Serialize>(
    name: impl Into<String>,
    lie: impl Fn(&Asked, &mut T) -> Option<()> + Send + Sync + 'static,
) -> (String, Lie) {
    let lie = move |asked: &Asked| {
        let mut answer = decode(asked.truth);
        lie(asked, &mut answer)?;
        Some(output(asked.id, &encode(&answer)))
    };
    (name.into(), Arc::new(lie))
}

/// Lies that have nothing to do with what is asked.
pub(crate) fn messages() -> Vec<(String, Lie)> {
    let frame = |id, size, data: &[u8]| Frame { id, size, data: data.to_vec().into() };
    let message = |what| FromWorker { what: Some(what) };
    let out = move |id, size, data: &[u8]| message(Answer::Output(frame(id, size, data)));
    let failed = move |id, size, data: &[u8]| message(Answer::Failure(frame(id, size, data)));
    let twice = |asked: &Asked| [output(asked.id, asked.truth), output(asked.id, asked.truth)].concat();
    vec![
        said("an answer to what was not asked", |asked| output(asked.id + 1000, asked.truth)),
        said("an answer to task 0", |asked| output(0, asked.truth)),
        said("an answer to the last number", |asked| output(u64::MAX, asked.truth)),
        said("an answer twice", twice),
        said("a failure of another's task", move |asked| vec![failed(asked.id + 1, 3, b"why")]),
        said("a failure behind the answer", move |asked| {
            [output(asked.id, asked.truth), vec![failed(asked.id, 3, b"why")]].concat()
        }),
        said("a reason without end", move |asked| vec![failed(asked.id, HUGE, b"why")]),
        said("a long reason", move |asked| vec![failed(asked.id, 1 << 20, &[b'x'; 1 << 18])]),
        said("a second welcome", move |_| {
            vec![message(Answer::Welcome(Welcome { tasks: u32::MAX, bytes: u64::MAX }))]
        }),
        said("an empty message", |_| vec![FromWorker { what: None }]),
        said("32 TB", move |asked| vec![out(asked.id, HUGE, b"x")]),
        said("all bytes there are", move |asked| vec![out(asked.id, u64::MAX, b"x")]),
        said("more than was announced", move |asked| vec![out(asked.id, 3, b"x"), out(asked.id, 3, b"xxx")]),
        said("other than was announced", move |asked| vec![out(asked.id, 3, b"x"), out(asked.id, 4, b"x")]),
        said("frames of nothing", move |asked| vec![out(asked.id, 3, b"x"), out(asked.id, 3, b"")]),
        said("a message of 8 MB", move |asked| vec![out(asked.id, 8 << 20, &vec![0; 8 << 20])]),
    ]
}

/// What a failure looks like that is to pass for a message of the program.
pub(crate) const REASON: &str = "why\x1b[2J\nforged: line";

/// A failure that is none, for this reason.
pub(crate) fn failure() -> (String, Lie) {
    said("a failure", |asked| {
        let frame = Frame { id: asked.id, size: REASON.len() as u64, data: REASON.as_bytes().into() };
        vec![FromWorker { what: Some(Answer::Failure(frame)) }]
    })
}

/// The same reason in well-formed answers of each workload, which the coordinator has to take.
pub(crate) fn reasons() -> [(&'static str, Lie); 5] {
    let why = || REASON.to_owned();
    let grep = told("", move |_, answer: &mut Grep| {
        answer.found.first_mut()?.trouble = Some((1, why()));
        Some(())
    });
    let resize = told("", move |_, answer: &mut resize::Output| {
        answer.made = resize::Made::Failed(why());
        Some(())
    });
    let mandelbrot = told("", move |_, answer: &mut mandelbrot::Output| {
        answer.counts = Err(why());
        Some(())
    });
    let wordcount = told("", move |asked, answer: &mut Counted| {
        let (Words::Count { task, .. }, Counted::Shelved(shelved)) = (decode(asked.task), answer) else {
            return None;
        };
        let piece = &task.pieces[0];
        let (path, at) = (piece.path.clone(), piece.start);
        shelved.read.troubles = vec![wordcount::Trouble { path, at, why: why() }];
        Some(())
    });
    let sort = told("", move |_, answer: &mut Done| {
        *answer = Done::Output(sort::Output::Failed(why()));
        Some(())
    });
    let all = [grep, resize, mandelbrot, wordcount, sort].map(|(_, lie)| lie);
    let mut names = ["grep", "resize", "mandelbrot", "wordcount", "sort"].into_iter();
    all.map(|lie| (names.next().unwrap(), lie))
}

/// Answers that are none, or no longer one.
pub(crate) fn payloads() -> Vec<(String, Lie)> {
    let mut lies: Vec<(String, Lie)> = Vec::new();
    for part in [0, 1, 2, 10, 50, 90, 99] {
        lies.push(said(format!("{part} % of an answer"), move |asked| {
            output(asked.id, &asked.truth[..asked.truth.len() * part / 100])
        }));
    }
    let cut = |asked: &Asked| output(asked.id, &asked.truth[..asked.truth.len() - 1]);
    lies.push(said("all but the last byte", cut));
    let longer = |asked: &Asked| output(asked.id, &[asked.truth, b"\0"].concat());
    lies.push(said("a byte more", longer));
    let two = |asked: &Asked| output(asked.id, &[asked.truth, asked.truth].concat());
    lies.push(said("two answers in one", two));
    for (name, bytes) in [
        ("an endless number", vec![0xff; 100]),
        ("a megabyte of ones", vec![0xff; 1 << 20]),
        ("a megabyte of seven bits", vec![0x7f; 1 << 20]),
        ("a list of 2^62 things", b"\0\xff\xff\xff\xff\xff\xff\xff\xff\x3f".to_vec()),
        ("2^62 things", b"\xff\xff\xff\xff\xff\xff\xff\xff\x3f".to_vec()),
        ("a name of 2^62 bytes", b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\x3fxyz".to_vec()),
        ("text", b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
    ] {
        lies.push(said(name, move |asked| output(asked.id, &bytes)));
    }
    lies
}

/// As in the spec, where the fields are its own.
#[derive(Clone, Serialize, Deserialize)]
struct Grep {
    found: Vec<Found>,
    others: grep::Totals,
    rest: Vec<Rest>,
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
    binary: u32,
    ended: bool,
    trouble: Option<(u32, String)>,
}

#[derive(Clone, Serialize, Deserialize)]
enum Rest {
    Task(grep::Task),
    Range { path: ByteBuf, next: u64, end: u64, last: bool, step: u64, limit: u64 },
}

/// Lies about a search; `by_name` where files are named and not sent.
pub(crate) fn grep(by_name: bool) -> Vec<(String, Lie)> {
    let mut lies = Vec::new();
    let mut left = |name: String, part: fn(&grep::Task, usize) -> Rest, nth: usize| {
        lies.push(told(format!("left: {name}"), move |asked, answer: &mut Grep| {
            answer.rest = vec![part(&decode(asked.task), nth)];
            Some(())
        }));
    };
    for (nth, name) in NAMES.iter().enumerate() {
        let file = |task: &grep::Task, nth: usize| {
            Rest::Task(grep::Task { pieces: vec![grep::Piece::file(NAMES[nth])], limit: task.limit })
        };
        left(format!("the file {name:?}"), file, nth);
        let range = |task: &grep::Task, nth: usize| {
            let path = ByteBuf::from(NAMES[nth]);
            Rest::Range { path, next: 0, end: 1 << 20, last: true, step: 1 << 20, limit: task.limit }
        };
        left(format!("a range of {name:?}"), range, nth);
    }
    left("the same task".to_owned(), |task, _| Rest::Task(task.clone()), 0);
    left("no pieces".to_owned(), |task, _| Rest::Task(grep::Task { pieces: vec![], ..*task }), 0);
    let limited = |task: &grep::Task, _| {
        Rest::Task(grep::Task { pieces: task.pieces[1..].to_vec(), limit: task.limit + 1 })
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
        Rest::Range { path: piece.path.clone(), next, end, last: false, step, limit }
    };
    (0..6).for_each(|nth| left(format!("range {nth} of its own file"), range, nth));
    if by_name {
        return lies;
    }
    let as_file = |task: &grep::Task, _| {
        let piece = grep::Piece { content: grep::Content::File, ..task.pieces.last().unwrap().clone() };
        Rest::Task(grep::Task { pieces: vec![piece], limit: task.limit })
    };
    left("a file instead of its content".to_owned(), as_file, 0);
    let longer = |task: &grep::Task, _| {
        let content = grep::Content::Bytes(ByteBuf::from(vec![b'x'; 4 << 20]));
        let piece = grep::Piece { content, ..task.pieces.last().unwrap().clone() };
        Rest::Task(grep::Task { pieces: vec![piece], limit: task.limit })
    };
    left("a content that is longer".to_owned(), longer, 0);
    let many = |task: &grep::Task, _| {
        let piece = task.pieces.last().unwrap().clone();
        Rest::Task(grep::Task { pieces: vec![piece; 200], limit: task.limit })
    };
    left("a piece many times".to_owned(), many, 0);
    let found: [(&str, fn(&mut Found)); 14] = [
        ("a foreign path", |found| found.path = ByteBuf::from("private/key")),
        ("a path of none", |found| found.path = ByteBuf::new()),
        ("a place behind the file", |found| found.at = HUGE),
        ("the last place", |found| found.at = u64::MAX),
        ("more bytes than there are", |found| found.bytes = HUGE),
        ("all bytes", |found| found.bytes = u64::MAX),
        ("more lines than bytes", |found| found.newlines = found.bytes + 1),
        ("all lines", |found| found.newlines = u64::MAX),
        ("all selected", |found| found.selected = u64::MAX),
        ("all matches", |found| found.matches = u64::MAX),
        ("rows behind the text", |found| found.rows = vec![(u32::MAX, 0, 0)]),
        ("rows in disorder", |found| found.rows = vec![(9, 0, 0), (3, 0, 0)]),
        ("ends behind the range", |found| found.ends = vec![u32::MAX; 3]),
        ("ends of a file's beginning", |found| found.ends = vec![0, 0]),
    ];
    for (name, lie) in found {
        lies.push(told(format!("found: {name}"), move |_, answer: &mut Grep| {
            answer.found.first_mut().map(lie)
        }));
    }
    let whole: [(&str, fn(&mut Grep)); 7] = [
        ("twice", |grep| grep.found.extend(grep.found.clone())),
        ("backwards", |grep| grep.found.reverse()),
        ("in a hundred thousand files", |grep| grep.found = vec![grep.found[0].clone(); 100_000]),
        ("in more files than there are", |grep| grep.others.files = HUGE),
        ("in more bytes than there are", |grep| grep.others.bytes = u64::MAX),
        ("lines in files without any", |grep| grep.others.lines = 1),
        ("matches in files without any", |grep| grep.others.matches = u64::MAX),
    ];
    for (name, lie) in whole {
        lies.push(told(format!("found {name}"), move |_, answer: &mut Grep| {
            (answer.found.len() > 1).then(|| lie(answer))
        }));
    }
    lies
}

/// Lies about a thumbnail.
pub(crate) fn resize() -> Vec<(String, Lie)> {
    let mut lies = Vec::new();
    for name in NAMES.into_iter().chain(["01.png/", "./01.png", "../out-lied/01.png", "00.PNG", "/01.png"]) {
        lies.push(told(format!("the target {name:?}"), move |_, answer: &mut resize::Output| {
            answer.target = ByteBuf::from(name);
            Some(())
        }));
    }
    lies.push(told("the source", |_, answer: &mut resize::Output| {
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
        lies.push(told(format!("size {nth}"), move |_, answer: &mut resize::Output| {
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
        lies.push(told(format!("tiles {nth}"), move |_, answer: &mut mandelbrot::Output| {
            lie(&mut answer.task);
            Some(())
        }));
        lies.push(told(format!("no counts of tiles {nth}"), move |_, answer: &mut mandelbrot::Output| {
            lie(&mut answer.task);
            answer.counts = Err("why".to_owned());
            Some(())
        }));
    }
    let counts: [fn(&mut Vec<u8>); 5] = [
        Vec::clear,
        |counts| counts.truncate(counts.len() - 4),
        |counts| counts.truncate(counts.len() - 1),
        |counts| counts.resize(4 << 20, 0),
        |counts| counts[..4].fill(0xff),
    ];
    for (nth, lie) in counts.into_iter().enumerate() {
        lies.push(told(format!("counts {nth}"), move |_, answer: &mut mandelbrot::Output| {
            lie(answer.counts.as_mut().ok()?);
            Some(())
        }));
    }
    lies
}

/// As in the model's file.
#[derive(Serialize, Deserialize)]
enum Words {
    Count { name: String, task: wordcount::Task },
    Rank(Share),
}

#[derive(Serialize, Deserialize)]
enum Counted {
    Shelved(Shelved),
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
    at: String,
    slice: Slice,
    why: String,
}

/// Whether a task of wordcount is of its first phase.
pub(crate) fn is_count(task: &[u8]) -> bool {
    task.first() == Some(&0)
}

/// Or of its second.
pub(crate) fn is_rank(task: &[u8]) -> bool {
    task.first() == Some(&1)
}

/// Lies about counts.
pub(crate) fn count() -> Vec<(String, Lie)> {
    let mut lies = Vec::new();
    for name in NAMES {
        lies.push(told(format!("the file {name:?} is left"), move |_, answer: &mut Counted| {
            let Counted::Shelved(shelved) = answer else { return None };
            shelved.read.apart = vec![wordcount::Task { pieces: vec![wordcount::Piece::file(name)] }];
            Some(())
        }));
        lies.push(told(format!("the file {name:?} is unreadable"), move |_, answer: &mut Counted| {
            let Counted::Shelved(shelved) = answer else { return None };
            let trouble =
                wordcount::Trouble { path: ByteBuf::from(name), at: 0, why: "\x1b[2Jwhy".to_owned() };
            shelved.read.troubles = vec![trouble];
            Some(())
        }));
    }
    lies.push(told("its own task is left", |asked, answer: &mut Counted| {
        let Words::Count { task, .. } = decode(asked.task) else { return None };
        let Counted::Shelved(shelved) = answer else { return None };
        shelved.read.apart = vec![task];
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
        lies.push(told(format!("totals {nth}"), move |_, answer: &mut Counted| {
            let Counted::Shelved(shelved) = answer else { return None };
            lie(&mut shelved.read.totals);
            Some(())
        }));
    }
    let slices: [fn(&mut Vec<Slice>); 15] = [
        Vec::clear,
        |slices| drop(slices.pop()),
        |slices| slices.push(slices[0].clone()),
        |slices| *slices = vec![slices[0].clone(); 100_000],
        |slices| slices.last_mut().unwrap().end = HUGE,
        |slices| slices.last_mut().unwrap().end = u64::MAX,
        |slices| slices[0] = Slice { start: 0, end: HUGE, ..slices[0].clone() },
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
        lies.push(told(format!("slices {nth}"), move |_, answer: &mut Counted| {
            let Counted::Shelved(shelved) = answer else { return None };
            lie(&mut shelved.slices);
            Some(())
        }));
    }
    lies.push(told("it has failed", |_, answer: &mut Counted| {
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
        lies.push(told(format!("words {nth}"), move |_, answer: &mut Summed| {
            let Summed::Ranked(ranked) = answer else { return None };
            (ranked.distinct > 0).then(|| lie(ranked))
        }));
    }
    let missing: [fn(&Asked, &Share) -> (String, Slice); 5] = [
        |asked, _| (asked.place.to_owned(), Slice { name: "a/b/c".to_owned(), start: 0, end: 1 }),
        |asked, _| (asked.place.to_owned(), Slice { name: String::new(), start: 0, end: u64::MAX }),
        |asked, share| (asked.place.to_owned(), Slice { end: HUGE, ..share.slices[0].clone() }),
        |_, share| ("127.0.0.1:1/session".to_owned(), share.slices[0].clone()),
        |_, share| (String::new(), share.slices[0].clone()),
    ];
    for (nth, lie) in missing.into_iter().enumerate() {
        lies.push(told(format!("missing {nth}"), move |asked, answer: &mut Summed| {
            let Words::Rank(share) = decode(asked.task) else { return None };
            let (at, slice) = (!share.slices.is_empty()).then(|| lie(asked, &share))?;
            *answer = Summed::Missing(Missing { at, slice, why: "why".to_owned() });
            Some(())
        }));
    }
    lies.push(told("it has failed", |_, answer: &mut Summed| {
        *answer = Summed::Failed("why".to_owned());
        Some(())
    }));
    lies
}

#[derive(Serialize, Deserialize)]
enum Done {
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

/// Whether a task of sort is of its first phase.
pub(crate) fn is_chunk(task: &[u8]) -> bool {
    task.first() == Some(&0)
}

/// Or of its second.
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
        lies.push(told(format!("runs {nth}"), move |_, answer: &mut Done| {
            let Done::Runs(_, made) = answer else { return None };
            (!made.runs.is_empty() && !made.runs[0].packed.is_empty()).then(|| lie(made))
        }));
    }
    for place in ["127.0.0.1:1/session", "", "/", "here"] {
        lies.push(told(format!("runs at {place:?}"), move |_, answer: &mut Done| {
            let Done::Runs(at, _) = answer else { return None };
            place.clone_into(at);
            Some(())
        }));
    }
    lies.push(told("lines instead of runs", |_, answer: &mut Done| {
        *answer = Done::Output(sort::Output::Lines { text: ByteBuf::from("a\n"), lines: 1 });
        Some(())
    }));
    lies.push(told("runs without a place", |_, answer: &mut Done| {
        *answer = Done::Output(sort::Output::Runs(sort::Made::default()));
        Some(())
    }));
    lies.push(told("it misses something", |asked, answer: &mut Done| {
        let slice = Slice { name: "a/b/run-0-0".to_owned(), start: 0, end: 1 };
        *answer = Done::Missing(Missing { at: asked.place.to_owned(), slice, why: "why".to_owned() });
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
        lies.push(told(format!("lines {nth}"), move |_, answer: &mut Done| {
            let Done::Output(sort::Output::Lines { text, lines }) = answer else { return None };
            (*lines > 0).then(|| lie(text, lines))
        }));
    }
    lies.push(told("runs instead of lines", |asked, answer: &mut Done| {
        let made = Made { runs: vec![], read: sort::Totals::default(), spent: vec![] };
        *answer = Done::Runs(asked.place.to_owned(), made);
        Some(())
    }));
    lies.push(told("how much was read instead of lines", |_, answer: &mut Done| {
        *answer = Done::Output(sort::Output::Read(sort::Totals::default()));
        Some(())
    }));
    let missing: [fn(&Asked, &Slice) -> (String, Slice); 5] = [
        |asked, _| (asked.place.to_owned(), Slice { name: "a/b/run-0-0".to_owned(), start: 0, end: 1 }),
        |asked, slice| (asked.place.to_owned(), Slice { end: HUGE, ..slice.clone() }),
        |asked, slice| (asked.place.to_owned(), Slice { name: String::new(), ..slice.clone() }),
        |_, slice| ("127.0.0.1:1/session".to_owned(), slice.clone()),
        |_, slice| (String::new(), slice.clone()),
    ];
    for (nth, lie) in missing.into_iter().enumerate() {
        lies.push(told(format!("missing {nth}"), move |asked, answer: &mut Done| {
            let sort::Task::Merge(merge) = decode(asked.task) else { return None };
            let (at, slice) = lie(asked, &merge.parts.first()?.slice);
            *answer = Done::Missing(Missing { at, slice, why: "why".to_owned() });
            Some(())
        }));
    }
    lies
}
