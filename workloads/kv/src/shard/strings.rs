//! Parts of values, and decimal numbers: APPEND, GETRANGE, SETRANGE, INCRBYFLOAT.

use super::{
    super::{
        float::{self, FloatError},
        resp::MAX_BULK,
    },
    Key, NEVER, Reply, Shard, Value,
};

const TOO_LONG: Reply = Reply::error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");

/// Where a value that is written at this position ends.
pub(super) fn end(offset: u64, value: &[u8]) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX).saturating_add(value.len())
}

impl Shard {
    pub(super) fn append(&mut self, key: &Key, more: &Value) -> Reply {
        let (value, expires) = match self.live(key) {
            Some(entry) if entry.value.len() + more.len() > MAX_BULK => return TOO_LONG,
            Some(entry) => (Value::from(&[&*entry.value, &**more].concat()[..]), entry.expires),
            None => (more.clone(), NEVER),
        };
        let length = value.len();
        self.put(key, value, expires);
        Reply::Int(length as i64)
    }

    pub(super) fn getrange(&self, key: &Key, first: i64, last: i64) -> Reply {
        let value = self.live(key).map_or(&[][..], |entry| &entry.value);
        let length = value.len() as i64;
        if first < 0 && last < 0 && first > last {
            return Reply::bulk("");
        }
        let at = |index: i64| if index < 0 { index.saturating_add(length).max(0) } else { index };
        let (first, last) = (at(first), at(last).min(length - 1));
        if first > last { Reply::bulk("") } else { Reply::bulk(&value[first as usize..=last as usize]) }
    }

    pub(super) fn setrange(&mut self, key: &Key, offset: u64, part: &Value) -> Reply {
        let (old, expires) = match self.live(key) {
            Some(entry) => (&*entry.value, entry.expires),
            None => (&[][..], NEVER),
        };
        if part.is_empty() {
            return Reply::Int(old.len() as i64);
        }
        let end = end(offset, part);
        if end > MAX_BULK {
            return TOO_LONG;
        }
        let mut value = old.to_vec();
        value.resize(old.len().max(end), 0);
        value[end - part.len()..end].copy_from_slice(part);
        let length = value.len();
        self.put(key, Value::from(&value[..]), expires);
        Reply::Int(length as i64)
    }

    pub(super) fn add_float(&mut self, key: &Key, by: &Value) -> Reply {
        let (before, expires) = match self.live(key) {
            Some(entry) => (&*entry.value, entry.expires),
            None => (&b"0"[..], NEVER),
        };
        match float::add(before, by) {
            Ok(sum) => {
                let value = Value::from(sum.as_bytes());
                self.put(key, value.clone(), expires);
                Reply::Bulk(value)
            }
            Err(FloatError::Malformed) => Reply::error("ERR value is not a valid float"),
            Err(FloatError::NotFinite) => Reply::error("ERR increment would produce NaN or Infinity"),
        }
    }
}
