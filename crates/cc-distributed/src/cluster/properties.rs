//! Properties of messages and of blob names that hold for any bytes from another machine.
//!
//! They are here because the messages are private to the cluster. Only the fuzz targets check them.
//! Each function panics if its property does not hold.

use std::{collections::HashMap, fmt::Debug, io::Write, iter};

use cc_workloads::blobs::{BlobRange, BlobStore};
use prost::{Message, bytes::Bytes};
use tokio::runtime::Builder;

use super::{
    blob_store::ClusterBlobStore,
    location::location_of,
    peers,
    queue::address_of,
    session_stores::SessionStores,
    wire::{
        Batch, FRAME, MESSAGE, Reassembler, batches,
        pb::{FromKeeper, FromWorker, Hello, Part, Parts, ToKeeper, ToWorker},
    },
};

/// Takes bytes as a message. The first byte selects its kind.
///
/// - A message that is decoded is encoded in a form that decodes to the same.
/// - Frames are put together to payloads of the announced size, from the bytes that have arrived.
///   The memory for that is bounded by these bytes and one message.
/// - A payload that is cut into frames is put together to the same payload, and its messages have a
///   bounded size.
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
    let (mut reassembler, mut arrived, mut part) = (Reassembler::default(), 0, Vec::new());
    for frame in batch.frames {
        let (id, size, data) = (frame.id, frame.size, frame.data.clone());
        arrived += data.len();
        part.extend_from_slice(&data);
        match reassembler.push(frame) {
            Ok(Some((whole, payload))) => {
                assert_eq!((whole, payload.len() as u64), (id, size), "it is as large as announced");
                assert_eq!(payload, part, "it is what has arrived, in order");
                part.clear();
            }
            Ok(None) => assert!((part.len() as u64) < size, "a complete payload is not kept"),
            Err(_) => return,
        }
        assert!(reassembler.memory() <= 2 * (arrived + MESSAGE), "{} bytes", reassembler.memory());
    }
}

/// Payloads that are cut into frames, and put together again.
fn own_frames(bytes: &[u8]) {
    let Some((times, bytes)) = bytes.split_first_chunk() else { return };
    let size = usize::from(u16::from_le_bytes(*times)) * 16;
    let large: Vec<u8> = bytes.iter().copied().cycle().take(size).collect();
    let payloads = [Bytes::from(large), Bytes::new(), Bytes::copy_from_slice(bytes)];
    let sent: Vec<(u64, Bytes)> = (u64::MAX - 3..).zip(payloads).collect();
    let (mut reassembler, mut received) = (Reassembler::default(), Vec::new());
    for batch in batches(sent.iter().cloned()) {
        let message = batch.encode_to_vec();
        assert!(message.len() <= MESSAGE && message.len() <= 3 * FRAME, "{} bytes", message.len());
        let batch = Batch::decode(Bytes::from(message)).expect("it was encoded");
        for frame in batch.frames {
            received.extend(reassembler.push(frame).expect("frames fit together"));
        }
    }
    assert_eq!(received, sent);
}

/// Takes text. Its first line is the location of a session, `ADDRESS/SESSION`; each other line is
/// an operation on the session's blobs: a word, a number, a name.
///
/// - A name consists of a location and a name there; both together are the name again.
/// - The blobs of a session are those that were put there, under their names, as in a map.
/// - Another worker gets the bytes that it requests, or the request is refused.
pub fn blob_names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let (address, session) = lines.next().unwrap_or_default().rsplit_once('/').unwrap_or(("a:1", "s"));
    let hello = Hello { address: address.to_owned(), session: session.to_owned(), ..Hello::default() };
    // Nothing is awaited, but a connection must belong to a runtime.
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _within = runtime.enter();
    let stores = SessionStores::default();
    let (registration, store) = stores.open(&hello, None).expect("it is the first session");
    assert_eq!(store.location(), format!("{address}/{session}"));
    let mut blobs = HashMap::new();
    for line in lines.take(OPERATIONS) {
        let mut words = line.splitn(3, ' ');
        let (what, number) = (words.next(), words.next().and_then(|number| number.parse().ok()));
        let name = words.next().unwrap_or_default();
        names_fit_together(&store, name);
        operation(&stores, &store, &mut blobs, what.unwrap_or_default(), number.unwrap_or(0), name);
    }
    drop(registration);
    let parts = Parts { session: session.to_owned(), parts: Vec::new() };
    assert!(stores.frames(parts).is_err(), "a session that has ended has nothing");
}

/// Maximum operations per input.
const OPERATIONS: usize = 100;

fn names_fit_together(store: &ClusterBlobStore, name: &str) {
    let range = BlobRange { name: name.to_owned(), start: 1, end: 3 };
    let parts = peers::parts_of(&range);
    assert_eq!(parts.is_ok(), location_of(name).contains('/'), "{name:?} has a location");
    if let Ok(Parts { session, parts }) = parts {
        let [Part { name: local, start: 1, end: 3 }] = &parts[..] else { panic!("{parts:?}") };
        assert_eq!(
            format!("{}/{session}/{local}", address_of(location_of(name))),
            name,
            "a name consists of its parts"
        );
    }
    let full = store.full_name(name);
    if !name.contains('/') {
        assert_eq!(
            (location_of(&full), store.local_name(&full), store.local_name(name)),
            (store.location(), Some(name), Some(name))
        );
    } else if location_of(name) != store.location() {
        assert_eq!(store.local_name(name), None, "{name:?} is elsewhere");
        // A connection is prepared, and not made; or refused because the address is invalid.
        let _ = store.peers.client(address_of(location_of(name)));
    }
}

/// Does an operation on the blob store and on the map, and compares the results.
fn operation(
    stores: &SessionStores,
    store: &ClusterBlobStore,
    blobs: &mut HashMap<String, Vec<u8>>,
    what: &str,
    number: u64,
    name: &str,
) {
    let local = store.local_name(name).map(str::to_owned);
    match what {
        "put" => {
            let bytes: Vec<u8> =
                iter::repeat_n(name.as_bytes(), (number % 1000) as usize).flatten().copied().collect();
            let writer = store.create(name);
            assert_eq!(writer.is_ok(), local.is_some(), "only a local blob can be created");
            if let (Ok(mut writer), Some(local)) = (writer, local) {
                writer.write_all(&bytes).and_then(|()| writer.finish()).expect("there is disk");
                blobs.insert(local, bytes);
            }
        }
        "remove" => {
            let removed = local.and_then(|local| blobs.remove(&local));
            assert_eq!(store.remove(name).is_ok(), removed.is_some());
        }
        // Two bytes from `number` on, for the session's own tasks.
        "read" => {
            let Some(local) = local else { return };
            let (start, end) = (number, number.saturating_add(2));
            let expected = part(blobs.get(&local), start, end);
            let mut into = b"> ".to_vec();
            let read = store.read(&BlobRange { name: name.to_owned(), start, end }, &mut into);
            assert_eq!(read.ok().map(|()| &into[2..]), expected);
            assert!(into.capacity() < 1 << 10, "memory is allocated only for bytes that exist");
        }
        // The bytes up to `number`, for another worker.
        "send" => {
            let Some(session) = store.location().rsplit_once('/').map(|(_, session)| session.to_owned())
            else {
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

/// A range of a blob, if the blob has it.
fn part(blob: Option<&Vec<u8>>, start: u64, end: u64) -> Option<&[u8]> {
    blob?.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}
