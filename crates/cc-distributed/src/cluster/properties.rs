//! What holds for any bytes from another machine: properties of messages and of blob names.
//!
//! They are here because the messages are private to the cluster. The fuzz targets check them, no
//! program does. Each panics if its property does not hold.

use std::{collections::HashMap, fmt::Debug, io::Write, iter};

use cc_workloads::shelf::{Shelf, Slice};
use prost::{Message, bytes::Bytes};
use tokio::runtime::Builder;

use super::{
    location::place,
    peers,
    queue::address,
    shelf::ClusterShelf,
    stores::Stores,
    wire::{
        Assembly, Batch, FRAME, MESSAGE, batches,
        pb::{FromKeeper, FromWorker, Hello, Part, Parts, ToKeeper, ToWorker},
    },
};

/// Bytes as a message, whose kind the first byte tells.
///
/// - A message that is decoded is encoded in a form that decodes to the same.
/// - Frames are put together to payloads of the size that they announce, from nothing but what has
///   arrived; the memory for that is bounded by what has arrived and one message.
/// - A payload comes back from its frames as it was, in messages of a bounded size.
pub fn messages(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 8 {
        0 => decoded::<ToWorker>(bytes),
        1 => decoded::<FromWorker>(bytes),
        2 => decoded::<ToKeeper>(bytes),
        3 => decoded::<FromKeeper>(bytes),
        4 => decoded::<Parts>(bytes),
        5 => decoded::<Hello>(bytes),
        6 => any_frames(bytes),
        _ => own_frames(bytes),
    }
}

fn decoded<M: Message + Default + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(message) = M::decode(bytes) else { return };
    let encoded = message.encode_to_vec();
    assert_eq!(M::decode(&encoded[..]).as_ref(), Ok(&message), "it is decoded as it was encoded");
}

/// Frames from another machine, which may contradict each other.
fn any_frames(bytes: &[u8]) {
    let Ok(batch) = Batch::decode(bytes) else { return };
    let (mut assembly, mut arrived, mut part) = (Assembly::default(), 0, Vec::new());
    for frame in batch.frames {
        let (id, size, data) = (frame.id, frame.size, frame.data.clone());
        arrived += data.len();
        part.extend_from_slice(&data);
        match assembly.push(frame) {
            Ok(Some((whole, payload))) => {
                assert_eq!((whole, payload.len() as u64), (id, size), "it is as large as announced");
                assert_eq!(payload, part, "it is what has arrived, in its order");
                part.clear();
            }
            Ok(None) => assert!((part.len() as u64) < size, "nothing is kept that is whole"),
            Err(_) => return,
        }
        assert!(assembly.memory() <= 2 * (arrived + MESSAGE), "{} bytes", assembly.memory());
    }
}

/// Payloads that are cut into frames here and put together there.
fn own_frames(bytes: &[u8]) {
    let Some((times, bytes)) = bytes.split_first_chunk() else { return };
    let size = usize::from(u16::from_le_bytes(*times)) * 16;
    let large: Vec<u8> = bytes.iter().copied().cycle().take(size).collect();
    let payloads = [Bytes::from(large), Bytes::new(), Bytes::copy_from_slice(bytes)];
    let sent: Vec<(u64, Bytes)> = (u64::MAX - 3..).zip(payloads).collect();
    let (mut assembly, mut received) = (Assembly::default(), Vec::new());
    for batch in batches(sent.iter().cloned()) {
        let message = batch.encode_to_vec();
        assert!(message.len() <= MESSAGE && message.len() <= 3 * FRAME, "{} bytes", message.len());
        let batch = Batch::decode(Bytes::from(message)).expect("it was encoded");
        for frame in batch.frames {
            received.extend(assembly.push(frame).expect("frames fit together"));
        }
    }
    assert_eq!(received, sent);
}

/// Text in which the first line is the location of a session, `ADDRESS/SESSION`, and each other one
/// an operation on its blobs: a letter, a number, a name.
///
/// - A name says where it is: the location and the name there are the name again.
/// - The blobs of a session are those that were put there, under their names, as in a map.
/// - What another worker asks for is what there is, or it is refused.
pub fn blob_names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let (address, session) = lines.next().unwrap_or_default().rsplit_once('/').unwrap_or(("a:1", "s"));
    let hello = Hello { address: address.to_owned(), session: session.to_owned(), ..Hello::default() };
    // Nothing is awaited, but a connection that is made later has to belong to a runtime.
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _within = runtime.enter();
    let stores = Stores::default();
    let (registration, shelf) = stores.open(&hello, None).expect("it is the first session");
    assert_eq!(shelf.place(), format!("{address}/{session}"));
    let mut blobs = HashMap::new();
    for line in lines.take(OPERATIONS) {
        let mut words = line.splitn(3, ' ');
        let (what, number) = (words.next(), words.next().and_then(|number| number.parse().ok()));
        let name = words.next().unwrap_or_default();
        names_fit_together(&shelf, name);
        operation(&stores, &shelf, &mut blobs, what.unwrap_or_default(), number.unwrap_or(0), name);
    }
    drop(registration);
    let parts = Parts { session: session.to_owned(), parts: Vec::new() };
    assert!(stores.frames(parts).is_err(), "a session that has ended has nothing");
}

/// The most operations of one input.
const OPERATIONS: usize = 100;

fn names_fit_together(shelf: &ClusterShelf, name: &str) {
    let slice = Slice { name: name.to_owned(), start: 1, end: 3 };
    let asked = peers::asked_for(&slice);
    assert_eq!(asked.is_ok(), place(name).contains('/'), "{name:?} has a location");
    if let Ok(Parts { session, parts }) = asked {
        let [Part { name: own, start: 1, end: 3 }] = &parts[..] else { panic!("{parts:?}") };
        assert_eq!(format!("{}/{session}/{own}", address(place(name))), name, "a name is its parts");
    }
    let full = shelf.here(name);
    if !name.contains('/') {
        assert_eq!(
            (place(&full), shelf.own(&full), shelf.own(name)),
            (shelf.place(), Some(name), Some(name))
        );
    } else if place(name) != shelf.place() {
        assert_eq!(shelf.own(name), None, "{name:?} is elsewhere");
        // A connection is only prepared, or refused since there is no such address.
        let _ = shelf.peers.client(address(place(name)));
    }
}

/// Does the same to the shelf and to the map, and compares.
fn operation(
    stores: &Stores,
    shelf: &ClusterShelf,
    blobs: &mut HashMap<String, Vec<u8>>,
    what: &str,
    number: u64,
    name: &str,
) {
    let own = shelf.own(name).map(str::to_owned);
    match what {
        "put" => {
            let bytes: Vec<u8> =
                iter::repeat_n(name.as_bytes(), (number % 1000) as usize).flatten().copied().collect();
            let draft = shelf.create(name);
            assert_eq!(draft.is_ok(), own.is_some(), "only what is here is put here");
            if let (Ok(mut draft), Some(own)) = (draft, own) {
                draft.write_all(&bytes).and_then(|()| draft.finish()).expect("there is disk");
                blobs.insert(own, bytes);
            }
        }
        "remove" => {
            let removed = own.and_then(|own| blobs.remove(&own));
            assert_eq!(shelf.remove(name).is_ok(), removed.is_some());
        }
        // From `number` on, two bytes for the shelf's own tasks.
        "read" => {
            let Some(own) = own else { return };
            let (start, end) = (number, number.saturating_add(2));
            let expected = part(blobs.get(&own), start, end);
            let mut into = b"> ".to_vec();
            let read = shelf.read(&Slice { name: name.to_owned(), start, end }, &mut into);
            assert_eq!(read.ok().map(|()| &into[2..]), expected);
            assert!(into.capacity() < 1 << 10, "memory is taken only for what there is");
        }
        // Up to `number`, for another worker.
        "send" => {
            let Some(session) = shelf.place().rsplit_once('/').map(|(_, session)| session.to_owned()) else {
                return;
            };
            let parts = Parts { session, parts: vec![Part { name: name.to_owned(), start: 1, end: number }] };
            let expected = part(blobs.get(name), 1, number);
            let sent = stores.frames(parts).ok();
            let sent = sent.map(|frames| frames.flat_map(|frame| frame.expect("it is read").data).collect());
            assert_eq!(sent, expected.map(<[u8]>::to_vec));
        }
        _ => {}
    }
}

/// A range of a blob, if it has it.
fn part(blob: Option<&Vec<u8>>, start: u64, end: u64) -> Option<&[u8]> {
    blob?.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}
