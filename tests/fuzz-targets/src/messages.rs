//! Input from other machines of a cluster: messages, names of blobs, answers to tasks.

use std::fmt::Debug;

use cc_distributed::cluster::properties;
use cc_workloads::{blobs::BlobRange, fetch, grep, kv, mandelbrot, resize, sort, wordcount};
use serde::{Serialize, de::DeserializeOwned};

use crate::{lines, memory::peak};

/// Decodes bytes as a message of the cluster, or as the content of one; the first byte selects
/// which.
///
/// - See [`properties::messages`].
/// - A decoded answer or task is the same after it is encoded and decoded again. Its memory is
///   proportional to its bytes; lengths that are only announced take none.
/// - An answer to another task is refused, and the right answer is not.
pub fn messages(bytes: &[u8]) {
    let Some((kind, payload)) = bytes.split_first() else { return };
    match kind {
        b'0'..=b'7' => properties::messages(bytes),
        b'a' => accepted(payload),
        b'b' => drop(decoded::<grep::Task>(payload)),
        b'c' => drop(decoded::<grep::Output>(payload)),
        b'd' => drop(decoded::<resize::Output>(payload)),
        b'e' => drop(decoded::<mandelbrot::Output>(payload)),
        b'f' => drop(decoded::<wordcount::Spilled>(payload)),
        b'g' => drop(decoded::<wordcount::Ranked>(payload)),
        b'h' => drop(decoded::<wordcount::Task>(payload)),
        b'i' => drop(decoded::<sort::Output>(payload)),
        b'j' => drop(decoded::<sort::Task>(payload)),
        b'k' => drop(decoded::<fetch::Output>(payload)),
        b'l' => drop(decoded::<fetch::Returned>(payload)),
        b'm' => drop(decoded::<fetch::Handover>(payload)),
        b'n' => drop(decoded::<kv::Answer>(payload)),
        b'o' => drop(decoded::<Vec<kv::Part>>(payload)),
        _ => {}
    }
}

/// See [`properties::blob_names`].
pub fn blob_names(bytes: &[u8]) {
    properties::blob_names(bytes);
}

/// Maximum memory per byte of a message, and per message. An element of a list has at least one
/// byte, the largest elements take about 200 in memory, and vectors double.
const MEMORY: (u64, u64) = (512, 1 << 16);

/// Maximum initial memory of a decoded list, which is reserved for the announced number of
/// elements.
const PREALLOCATED: u64 = 1 << 20;

fn decoded<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let (value, memory) = peak(|| postcard::from_bytes::<T>(bytes).ok());
    let most = MEMORY.0 * bytes.len() as u64 + MEMORY.1 + 4 * PREALLOCATED;
    assert!(memory <= most, "{memory} bytes for {}", bytes.len());
    let value = value?;
    let encoded = postcard::to_allocvec(&value).expect("plain data serializes");
    assert_eq!(postcard::from_bytes::<T>(&encoded).as_ref(), Ok(&value));
    Some(value)
}

/// Checks answers against tasks. The first line is a text, whose tasks are done here; the other
/// bytes are decoded as an answer to each.
fn accepted(bytes: &[u8]) {
    let text = lines(bytes).first().copied().unwrap_or_default();
    let answer = bytes.get(text.len() + 1..).unwrap_or_default();
    searched(text, answer);
    sorted(text, answer);
    made(text, answer);
    let slices = vec![BlobRange { name: "a:1/s/0.0".to_owned(), start: 0, end: text.len() as u64 }];
    let share = wordcount::Share { number: 0, slices };
    if let Some(ranked) = decoded::<wordcount::Ranked>(answer) {
        let _ = share.accepts(&wordcount::Settings::default(), &ranked);
    }
}

fn searched(text: &[u8], answer: &[u8]) {
    let query = grep::Query { patterns: vec![b"a".to_vec().into()], ..grep::Query::default() };
    let content = grep::Content::Bytes(text.to_vec().into());
    let piece = grep::Piece { content, ..grep::Piece::file("f") };
    let task = grep::Task { pieces: vec![piece], limit: 8 };
    let scope = task.scope(&query);
    let output = grep::Search::new(&query).expect("it is a pattern").task(&task);
    assert_eq!(scope.accepts(&output), Ok(()));
    if let Some(answer) = decoded::<grep::Output>(answer) {
        // The remainder is done next, so its tasks must belong to this task.
        if scope.accepts(&answer).is_ok() {
            let left = answer.remainder.take(100).flat_map(|task| task.pieces);
            left.for_each(|piece| assert_eq!(*piece.path, *b"f"));
        }
    }
}

fn sorted(text: &[u8], answer: &[u8]) {
    let content = sort::Content::Bytes([text, b"\n"].concat().into());
    let end = text.len() as u64 + 1;
    let piece = sort::Piece { path: b"f".to_vec().into(), content, start: 0, end };
    let task = sort::Task::Chunk(sort::Chunk { number: 3, pieces: vec![piece], room: 1 << 10, block: 16 });
    let (query, store) = (sort::Query::default(), cc_workloads::blobs::MemStore::default());
    let scope = task.scope(&query);
    let output = sort::Sorter::new(&query, &cc_workloads::Stop::new()).task(&task, &store);
    assert_eq!(scope.accepts(&output), Ok(()));
    if let Some(answer @ sort::Output::Runs(_)) = decoded::<sort::Output>(answer)
        && scope.accepts(&answer).is_ok()
        && let sort::Output::Runs(made) = answer
    {
        let names = made.runs.iter().enumerate().all(|(nth, run)| run.name == format!("run-3-{nth}"));
        assert!(names && made.runs.iter().map(|run| run.bytes).sum::<u64>() <= end, "runs of the chunk");
    }
}

fn made(text: &[u8], answer: &[u8]) {
    let (source, target) = (text.to_vec().into(), text.to_vec().into());
    let task = resize::Task { source, target, content: resize::Content::File };
    let scope = task.scope(&resize::Settings::default());
    if let Some(answer) = decoded::<resize::Output>(answer)
        && scope.accepts(&answer).is_ok()
    {
        assert_eq!(*answer.target, *text, "no other file is written");
    }
}
