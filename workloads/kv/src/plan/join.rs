//! How the replies of shards become the reply to the client.

use std::ops::Range;

use super::super::{Reply, Stats, shard::scan::Cursor, text::Info};

/// How to combine the replies of shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Join {
    /// A reply that is known already.
    Ready(Reply),
    /// The reply of this shard.
    One(usize),
    /// An array with an item for each key, from the key's shard.
    Items(Vec<usize>),
    /// The sum of the numbers of these shards.
    Sum(Vec<usize>),
    /// OK, if all of these shards reply OK.
    All(Vec<usize>),
    /// The version of each key, from the key's shard. A shard sends its epoch before its versions.
    Versions(Vec<usize>),
    /// INFO, from the statistics of these shards and of the server.
    Info(Box<Info>, Vec<usize>),
    /// EXEC: an array of these.
    Exec(Vec<Join>),
    /// An array of these.
    Array(Vec<Join>),
    /// MSETNX: 1, if all of these shards reply OK.
    IfAbsent(Vec<usize>),
    /// KEYS: the items of these shards' arrays.
    Concat(Vec<usize>),
    /// RANDOMKEY: of the keys of these shards, each with the same probability.
    Random(Vec<usize>),
    /// SCAN: the keys of these shards, up to the first that is not finished. With the number of all
    /// shards.
    Scan(Range<usize>, usize),
    /// EXPIRETIME: the present date in milliseconds, plus the reply of this shard.
    Date { shard: usize, date: u64, is_fine: bool },
}

/// The replies of each shard, in ascending order of the shards.
pub(super) struct Inbox(pub(super) Vec<(usize, smallvec::IntoIter<[Reply; 1]>)>);

impl Inbox {
    /// The shard's next reply.
    fn next(&mut self, shard: usize) -> Option<Reply> {
        let at = self.0.binary_search_by_key(&shard, |(from, _)| *from).ok()?;
        self.0[at].1.next()
    }

    /// The items of the shards' next replies, which are arrays: one item for each occurrence of a
    /// shard in `shards`. If the arrays have heads (`have_heads`), the shard's head precedes each
    /// item.
    fn items(&mut self, shards: &[usize], have_heads: bool) -> Reply {
        let mut arrays: Vec<(usize, Option<Reply>, std::vec::IntoIter<Reply>)> = Vec::new();
        let mut all = Vec::with_capacity(shards.len());
        for shard in shards {
            let at = match arrays.binary_search_by_key(shard, |array| array.0) {
                Ok(at) => at,
                Err(at) => {
                    let Some(Reply::Array(items)) = self.next(*shard) else { return Reply::down(*shard) };
                    let mut items = items.into_iter();
                    let head = if have_heads { items.next() } else { None };
                    arrays.insert(at, (*shard, head, items));
                    at
                }
            };
            let (_, head, items) = &mut arrays[at];
            all.extend(head.clone().into_iter().chain(items.next()));
        }
        Reply::Array(all)
    }
}

impl Join {
    pub(super) fn reply(&self, inbox: &mut Inbox) -> Reply {
        match self {
            Self::Ready(reply) => reply.clone(),
            Self::One(shard) => inbox.next(*shard).unwrap_or_else(|| Reply::down(*shard)),
            Self::Items(shards) => inbox.items(shards, false),
            Self::Sum(shards) => sum(shards, inbox),
            Self::All(shards) => {
                let replies = shards.iter().filter_map(|shard| inbox.next(*shard));
                replies.reduce(|one, other| if one.is_error() { one } else { other }).unwrap_or(Reply::Ok)
            }
            Self::Versions(shards) => inbox.items(shards, true),
            Self::Info(info, shards) => {
                let stats = shards.iter().map(|shard| Stats::try_from(inbox.next(*shard)?).ok());
                info.reply(&stats.collect::<Vec<_>>())
            }
            Self::Exec(joins) | Self::Array(joins) => {
                Reply::Array(joins.iter().map(|join| join.reply(inbox)).collect())
            }
            Self::IfAbsent(shards) => match Self::All(shards.clone()).reply(inbox) {
                Reply::Ok => Reply::Int(1),
                other => other,
            },
            Self::Concat(shards) => concat(shards, inbox),
            Self::Random(shards) => random(shards, inbox),
            Self::Scan(shards, all) => scan(shards.clone(), *all, inbox),
            Self::Date { shard, date, is_fine } => match inbox.next(*shard) {
                Some(Reply::Int(left @ 0..)) => {
                    let at = date.saturating_add(left.unsigned_abs());
                    Reply::Int(if *is_fine { at } else { at.saturating_add(500) / 1000 } as i64)
                }
                other => other.unwrap_or_else(|| Reply::down(*shard)),
            },
        }
    }
}

fn concat(shards: &[usize], inbox: &mut Inbox) -> Reply {
    let mut all = Vec::new();
    for shard in shards {
        match inbox.next(*shard) {
            Some(Reply::Array(items)) => all.extend(items),
            other => return other.unwrap_or_else(|| Reply::down(*shard)),
        }
    }
    Reply::Array(all)
}

fn random(shards: &[usize], inbox: &mut Inbox) -> Reply {
    let (mut chosen, mut keys) = (Reply::Nil, 0);
    for shard in shards {
        let Some(reply) = inbox.next(*shard) else { return Reply::down(*shard) };
        let Reply::Array(items) = reply else { return reply };
        if let Ok([Reply::Int(more @ 1..), key @ Reply::Bulk(_)]) = <[Reply; 2]>::try_from(items) {
            keys += more.unsigned_abs();
            if fastrand::u64(..keys) < more.unsigned_abs() {
                chosen = key;
            }
        }
    }
    chosen
}

fn scan(shards: Range<usize>, all: usize, inbox: &mut Inbox) -> Reply {
    let page = |cursor: u64, keys| Reply::Array(vec![Reply::bulk(cursor.to_string()), Reply::Array(keys)]);
    let (first, end, mut keys) = (shards.start, shards.end, Vec::new());
    for shard in shards {
        let items = match inbox.next(shard) {
            Some(Reply::Array(items)) => items,
            // The keys before it are there; the next request reports that it is down.
            _ if shard > first => return page(Cursor::start(shard).into(), keys),
            other => return other.unwrap_or_else(|| Reply::down(shard)),
        };
        if let Ok([Reply::Int(cursor), Reply::Array(more)]) = <[Reply; 2]>::try_from(items) {
            keys.extend(more);
            if cursor != 0 {
                return page(cursor as u64, keys);
            }
        }
    }
    page(if end < all { Cursor::start(end).into() } else { 0 }, keys)
}

fn sum(shards: &[usize], inbox: &mut Inbox) -> Reply {
    let mut sum = 0;
    for shard in shards {
        match inbox.next(*shard) {
            Some(Reply::Int(number)) => sum += number,
            other => return other.unwrap_or_else(|| Reply::down(*shard)),
        }
    }
    Reply::Int(sum)
}
