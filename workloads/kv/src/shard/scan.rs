//! Iterating over the keys of a shard: SCAN, KEYS, RANDOMKEY.
//!
//! An entry stays in its bucket until the table moves all entries, so SCAN goes from bucket to
//! bucket, and the cursor has the position of the next one. If the entries have moved since the
//! cursor was returned, the shard is scanned again from its beginning: no key is missed, and some
//! are returned twice, as SCAN may. Each such restart doubles the number of buckets per request, so
//! a scan ends even if other clients make the table move its entries all the time.

use super::{
    super::{command::Scan, glob::matches},
    Command, Entry, Reply, Shard, Value,
};

/// Where a SCAN continues. A client sees it as a number, which is 0 at the beginning and the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Cursor {
    pub(in super::super) shard: usize,
    /// The next bucket, in units of the table's buckets per 2^20.
    position: usize,
    /// How often the scan of the shard has begun again.
    restarts: u32,
    /// The table's generation, of which the low bits are kept.
    generation: u64,
}

/// The bits of the fields, from the lowest on. Together 63: some drivers read a signed number.
const SHARD_BITS: u32 = 14;
const POSITION_BITS: u32 = 20;
const RESTART_BITS: u32 = 5;
const GENERATION_BITS: u32 = 24;

/// Maximum keys that are wanted at once, so that a SCAN with a huge COUNT does not stop all others.
const MAX_COUNT: u64 = 10_000;
/// For each wanted key, at most this many buckets are examined, as in Redis.
const BUCKETS_PER_KEY: u64 = 10;
/// A SCAN of at most this many keys needs no check whether there is memory for its reply.
const SMALL_COUNT: u64 = 100;
/// Approximate memory of a key in a reply, without its bytes.
const KEY_OVERHEAD: u64 = 64;

impl Cursor {
    /// The beginning of a shard.
    pub(in super::super) fn start(shard: usize) -> Self {
        Self { shard, ..Self::default() }
    }
}

impl From<u64> for Cursor {
    fn from(mut number: u64) -> Self {
        let mut take = |bits: u32| {
            let field = number & ((1 << bits) - 1);
            number >>= bits;
            field
        };
        Self {
            shard: take(SHARD_BITS) as usize,
            position: take(POSITION_BITS) as usize,
            restarts: take(RESTART_BITS) as u32,
            generation: take(GENERATION_BITS),
        }
    }
}

impl From<Cursor> for u64 {
    fn from(Cursor { shard, position, restarts, generation }: Cursor) -> Self {
        let fields = [
            (generation & ((1 << GENERATION_BITS) - 1), GENERATION_BITS),
            (restarts.into(), RESTART_BITS),
            (position as u64, POSITION_BITS),
            (shard as u64, SHARD_BITS),
        ];
        fields.into_iter().fold(0, |number, (field, bits)| number << bits | field)
    }
}

impl Shard {
    /// The cursor after these keys, 0 at the end of the shard, and the keys.
    pub(super) fn scan(&self, scan: &Scan) -> Reply {
        let mut cursor = Cursor::from(scan.cursor);
        if scan.only_whole && self.table.len() as u64 > scan.count {
            return page(u64::from(cursor), Vec::new());
        }
        let generation = self.table.generation() & ((1 << GENERATION_BITS) - 1);
        if cursor.position > 0 && cursor.generation != generation {
            cursor.restarts = (cursor.restarts + 1).min((1 << RESTART_BITS) - 1);
            cursor.position = 0;
        }
        cursor.generation = generation;
        let buckets = self.table.buckets();
        let unit = (buckets >> POSITION_BITS).max(1);
        let wanted = scan.count.min(MAX_COUNT) << cursor.restarts;
        let (mut keys, mut seen, mut visited) = (Vec::new(), 0, 0);
        let mut bucket = cursor.position * unit;
        while bucket < buckets {
            if (seen >= wanted || visited >= wanted * BUCKETS_PER_KEY) && bucket.is_multiple_of(unit) {
                cursor.position = bucket / unit;
                return page(u64::from(cursor), keys);
            }
            if let Some(entry) = self.table.get_bucket(bucket).filter(|entry| entry.is_live(self.now)) {
                seen += 1;
                let is_wanted = !scan.is_void
                    && scan.pattern.as_ref().is_none_or(|pattern| matches(pattern, &entry.key, false));
                keys.extend(is_wanted.then(|| key_of(entry)));
            }
            visited += 1;
            bucket += 1;
        }
        page(0, keys)
    }

    /// All keys that match a pattern.
    pub(super) fn keys(&self, pattern: &Value) -> Reply {
        let entries = self.table.iter().filter(|entry| entry.is_live(self.now));
        Reply::Array(entries.filter(|entry| matches(pattern, &entry.key, false)).map(key_of).collect())
    }

    /// The number of keys, and one of them; nil if there is none.
    pub(super) fn random_key(&self) -> Reply {
        let buckets = self.table.buckets();
        let first = fastrand::usize(..buckets.max(1));
        let mut entries = (first..buckets).chain(0..first).filter_map(|bucket| self.table.get_bucket(bucket));
        let key = entries.find(|entry| entry.is_live(self.now)).map_or(Reply::Nil, key_of);
        Reply::Array(vec![Reply::Int(self.table.len() as i64), key])
    }

    /// Approximate memory of the keys that a command replies; 0 if they are few, or it replies
    /// none.
    pub(super) fn listed_bytes(&self, command: &Command) -> u64 {
        let pattern = match command {
            Command::Keys(pattern) => Some(pattern),
            Command::Scan(scan) if scan.count > SMALL_COUNT => scan.pattern.as_ref(),
            _ => return 0,
        };
        let is_wanted = |entry: &&Entry| pattern.is_none_or(|pattern| matches(pattern, &entry.key, false));
        self.table.iter().filter(is_wanted).map(|entry| entry.key.len() as u64 + KEY_OVERHEAD).sum()
    }
}

fn page(cursor: u64, keys: Vec<Reply>) -> Reply {
    Reply::Array(vec![Reply::Int(cursor as i64), Reply::Array(keys)])
}

fn key_of(entry: &Entry) -> Reply {
    Reply::Bulk(Value::from(&*entry.key))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{
        super::{super::SharedBudget, Now},
        *,
    };

    fn set(shard: &mut Shard, key: &str) {
        let set = Command::set(key.as_bytes().into(), (&b"x"[..]).into());
        assert_eq!(shard.apply(&set, Now(1)), Reply::Ok);
    }

    fn del(shard: &mut Shard, key: &str) {
        assert_eq!(shard.apply(&Command::Del([key.as_bytes().into()].into()), Now(1)), Reply::Int(1));
    }

    /// Scans to the end; `between` runs after each page. Returns the keys and the number of pages.
    fn scanned(shard: &mut Shard, mut between: impl FnMut(&mut Shard, usize)) -> (BTreeSet<String>, usize) {
        let (mut cursor, mut all, mut pages) = (0, BTreeSet::new(), 0);
        loop {
            let scan = Scan { cursor, count: 10, pattern: None, is_void: false, only_whole: false };
            let Reply::Array(page) = shard.apply(&Command::Scan(scan.into()), Now(1)) else { panic!() };
            let [Reply::Int(next), Reply::Array(keys)] = &page[..] else { panic!("{page:?}") };
            for key in keys {
                let Reply::Bulk(key) = key else { panic!("{key:?}") };
                all.insert(String::from_utf8(key.to_vec()).unwrap());
            }
            pages += 1;
            cursor = *next as u64;
            if cursor == 0 {
                return (all, pages);
            }
            between(shard, pages);
        }
    }

    #[test]
    fn a_cursor_is_a_number_and_back() {
        for cursor in [
            Cursor::default(),
            Cursor { shard: 16383, position: (1 << 20) - 1, restarts: 31, generation: (1 << 24) - 1 },
            Cursor { shard: 3, position: 77, restarts: 2, generation: 5 },
        ] {
            let number = u64::from(cursor);
            assert!(i64::try_from(number).is_ok());
            assert_eq!(Cursor::from(number), cursor);
        }
    }

    #[test]
    fn a_key_that_is_there_throughout_is_returned_even_if_the_table_grows_and_shrinks() {
        let mut shard = Shard::new(SharedBudget::new(None), 1);
        let stay: BTreeSet<String> = (0..1000).map(|n| format!("stay{n}")).collect();
        stay.iter().for_each(|key| set(&mut shard, key));
        (0..10_000).for_each(|n| set(&mut shard, &format!("go{n}")));
        let (all, _) = scanned(&mut shard, |shard, page| match page {
            20 => (0..10_000).for_each(|n| del(shard, &format!("go{n}"))),
            40 => (0..20_000).for_each(|n| set(shard, &format!("come{n}"))),
            _ => {}
        });
        assert!(all.is_superset(&stay), "{:?}", stay.difference(&all).collect::<Vec<_>>());
    }

    #[test]
    fn a_scan_ends_though_the_table_never_rests() {
        let mut shard = Shard::new(SharedBudget::new(None), 1);
        let stay: BTreeSet<String> = (0..300).map(|n| format!("stay{n}")).collect();
        stay.iter().for_each(|key| set(&mut shard, key));
        let mut moves = 0;
        let (all, pages) = scanned(&mut shard, |shard, _| {
            let generation = shard.table.generation();
            // The table grows, and shrinks again.
            (0..8000).for_each(|n| set(shard, &format!("go{n}")));
            (0..8000).for_each(|n| del(shard, &format!("go{n}")));
            moves += usize::from(shard.table.generation() != generation);
        });
        assert!(all.is_superset(&stay));
        assert!(moves > 3 && moves == pages - 1 && pages < 20, "{moves} moves, {pages} pages");
    }

    #[test]
    fn a_strange_cursor_is_answered() {
        let mut shard = Shard::new(SharedBudget::new(None), 1);
        (0..100).for_each(|n| set(&mut shard, &n.to_string()));
        for cursor in [1, 1 << 14, 1 << 33, u64::MAX, u64::MAX >> 1] {
            let scan = Scan { cursor, count: u64::MAX, pattern: None, is_void: false, only_whole: false };
            assert!(matches!(shard.apply(&Command::Scan(scan.into()), Now(1)), Reply::Array(_)));
        }
    }
}
