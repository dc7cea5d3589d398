//! The options of commands.

use std::borrow::Cow;

use super::{
    Command, ExpireWhen, Expiry, Key, Move, MoveKind, NOT_AN_INTEGER, Reply, Request, SYNTAX, Scan, SetReply,
    Value, Verb, When, number, wrong_number,
};

/// An option that names a time: EX, PX, EXAT or PXAT.
#[derive(Clone, Copy, PartialEq, Eq)]
struct TimeOption {
    /// The number of milliseconds of its unit.
    unit: i64,
    /// Whether it is a date, not a duration.
    is_date: bool,
}

impl TimeOption {
    fn of(option: &[u8]) -> Option<Self> {
        let (unit, is_date) = match option {
            b"ex" => (1000, false),
            b"px" => (1, false),
            b"exat" => (1000, true),
            b"pxat" => (1, true),
            _ => return None,
        };
        Some(Self { unit, is_date })
    }

    /// The expiry at this time, which must not be before 1970 or at its beginning. As in Redis, the
    /// date must be representable; only the duration from now is kept.
    fn expiry(self, time: &[u8], date: u64, command: &str) -> Result<Expiry, Reply> {
        let invalid = || invalid_expiry(command);
        let time = number(time).ok_or(NOT_AN_INTEGER)?;
        if time <= 0 {
            return Err(invalid());
        }
        let time = time.checked_mul(self.unit).ok_or_else(invalid)?;
        expiry_at(time, self.is_date, date).ok_or_else(invalid)
    }
}

/// The expiry at a time in milliseconds, which is a date or a duration from now. `None` if its date
/// is not representable.
fn expiry_at(time: i64, is_date: bool, date: u64) -> Option<Expiry> {
    if is_date {
        return Some(Expiry::At(time));
    }
    time.checked_add_unsigned(date).map(|_| Expiry::After(time))
}

/// The options of SET and GETEX that say when the entry expires.
#[derive(Default)]
struct Timing<'a> {
    time: Option<(TimeOption, &'a [u8])>,
    /// KEEPTTL or PERSIST.
    fixed: Option<Expiry>,
}

impl<'a> Timing<'a> {
    /// Takes an option that names a time. The same one may be repeated; others exclude each other.
    fn time(&mut self, option: TimeOption, time: Option<&'a [u8]>) -> Result<(), Reply> {
        let time = time.ok_or(SYNTAX)?;
        let was = self.time.replace((option, time));
        if self.fixed.is_some() || was.is_some_and(|(was, _)| was != option) { Err(SYNTAX) } else { Ok(()) }
    }

    fn fixed(&mut self, expiry: Expiry) -> Result<(), Reply> {
        self.fixed = Some(expiry);
        if self.time.is_some() { Err(SYNTAX) } else { Ok(()) }
    }

    fn expiry(&self, date: impl Fn() -> u64, command: &str) -> Result<Option<Expiry>, Reply> {
        match self.time {
            Some((option, time)) => option.expiry(time, date(), command).map(Some),
            None => Ok(self.fixed),
        }
    }
}

pub(super) fn set(request: &Request, date: impl Fn() -> u64) -> Result<Command, Reply> {
    let (mut when, mut timing, mut reply) = (None, Timing::default(), SetReply::Status);
    let mut options = request.from(3);
    while let Some(option) = options.next() {
        match option.to_ascii_lowercase().as_slice() {
            b"nx" => flag(&mut when, When::Absent)?,
            b"xx" => flag(&mut when, When::Present)?,
            b"get" => reply = SetReply::Old,
            b"keepttl" => timing.fixed(Expiry::Keep)?,
            other => timing.time(TimeOption::of(other).ok_or(SYNTAX)?, options.next())?,
        }
    }
    let expiry = timing.expiry(date, "set")?.unwrap_or_default();
    let (key, value) = (request.argument(1).into(), request.argument(2).into());
    Ok(Command::Set { key, value, expiry, when: when.unwrap_or_default(), reply })
}

/// Sets NX or XX. Repeating the same one is allowed, both together are a syntax error.
fn flag(when: &mut Option<When>, is: When) -> Result<(), Reply> {
    if when.replace(is).is_none_or(|was| was == is) { Ok(()) } else { Err(SYNTAX) }
}

pub(super) fn setex(verb: Verb, request: &Request, date: u64) -> Result<Command, Reply> {
    let option = TimeOption { unit: if verb == Verb::Setex { 1000 } else { 1 }, is_date: false };
    let expiry = option.expiry(request.argument(2), date, verb.spec().name)?;
    let (key, value) = (request.argument(1).into(), request.argument(3).into());
    Ok(Command::Set { key, value, expiry, when: When::Always, reply: SetReply::Status })
}

pub(super) fn getex(request: &Request, date: impl Fn() -> u64) -> Result<Command, Reply> {
    let (mut timing, mut options) = (Timing::default(), request.from(2));
    while let Some(option) = options.next() {
        match option.to_ascii_lowercase().as_slice() {
            b"persist" => timing.fixed(Expiry::Never)?,
            other => timing.time(TimeOption::of(other).ok_or(SYNTAX)?, options.next())?,
        }
    }
    let key = Key::from(request.argument(1));
    Ok(match timing.expiry(date, "getex")? {
        Some(expiry) => Command::Getex(key, expiry),
        None => Command::Get(key),
    })
}

pub(super) fn expire(verb: Verb, request: &Request, date: u64) -> Result<Command, Reply> {
    let when = expire_when(request)?;
    let is_date = matches!(verb, Verb::Expireat | Verb::Pexpireat);
    let unit = if matches!(verb, Verb::Expire | Verb::Expireat) { 1000 } else { 1 };
    let time = number(request.argument(2)).ok_or(NOT_AN_INTEGER)?.checked_mul(unit);
    let expiry = time.and_then(|time| expiry_at(time, is_date, date));
    let expiry = expiry.ok_or_else(|| invalid_expiry(verb.spec().name))?;
    Ok(Command::Expire { key: request.argument(1).into(), expiry, when })
}

fn expire_when(request: &Request) -> Result<ExpireWhen, Reply> {
    let [mut nx, mut xx, mut gt, mut lt] = [false; 4];
    for option in request.from(3) {
        match option.to_ascii_lowercase().as_slice() {
            b"nx" => nx = true,
            b"xx" => xx = true,
            b"gt" => gt = true,
            b"lt" => lt = true,
            _ => {
                let option = String::from_utf8_lossy(option);
                return Err(Reply::Error(Cow::Owned(format!("ERR Unsupported option {option}"))));
            }
        }
    }
    if nx && (xx || gt || lt) {
        return Err(Reply::error("ERR NX and XX, GT or LT options at the same time are not compatible"));
    }
    if gt && lt {
        return Err(Reply::error("ERR GT and LT options at the same time are not compatible"));
    }
    let one_of = |yes: bool, no: bool| if yes || no { Some(yes) } else { None };
    Ok(ExpireWhen { expires: one_of(xx, nx), later: one_of(gt, lt) })
}

fn invalid_expiry(command: &str) -> Reply {
    Reply::Error(Cow::Owned(format!("ERR invalid expire time in '{command}' command")))
}

pub(super) fn mset(verb: Verb, request: &Request) -> Result<Vec<(Key, Value)>, Reply> {
    if request.len().is_multiple_of(2) {
        return Err(wrong_number(verb.spec().name));
    }
    let pair = |at| (request.argument(at).into(), request.argument(at + 1).into());
    Ok((1..request.len()).step_by(2).map(pair).collect())
}

pub(super) fn flushdb(request: &Request) -> Result<Command, Reply> {
    let is_option = |option: &[u8]| [&b"sync"[..], b"async"].iter().any(|it| option.eq_ignore_ascii_case(it));
    let mut options = request.from(1);
    let is_one = options.len() <= 1 && options.all(is_option);
    if is_one { Ok(Command::Flushdb) } else { Err(SYNTAX) }
}

pub(super) fn copy(request: &Request) -> Result<Command, Reply> {
    let (mut kind, mut options) = (MoveKind::Copy, request.from(3));
    while let Some(option) = options.next() {
        match option.to_ascii_lowercase().as_slice() {
            b"replace" => kind = MoveKind::Replace,
            b"db" => match number(options.next().ok_or(SYNTAX)?).ok_or(NOT_AN_INTEGER)? {
                0 => {}
                _ => return Err(Reply::error("ERR DB index is out of range")),
            },
            _ => return Err(SYNTAX),
        }
    }
    let (from, to) = (Key::from(request.argument(1)), Key::from(request.argument(2)));
    if from == to {
        return Err(Reply::error("ERR source and destination objects are the same"));
    }
    Ok(Command::Move(Move { from, to, kind }.into()))
}

/// The count of a SCAN without COUNT, as in Redis.
const DEFAULT_COUNT: u64 = 10;

pub(super) fn scan(request: &Request) -> Result<Command, Reply> {
    let cursor = std::str::from_utf8(request.argument(1)).ok().and_then(|cursor| cursor.parse().ok());
    let cursor = cursor.ok_or(Reply::error("ERR invalid cursor"))?;
    let (mut count, mut pattern, mut is_void) = (DEFAULT_COUNT, None, false);
    let mut options = request.from(2);
    while let Some(option) = options.next() {
        let option = option.to_ascii_lowercase();
        let value = options.next().ok_or(SYNTAX)?;
        match option.as_slice() {
            b"count" => {
                let wanted = number(value).ok_or(NOT_AN_INTEGER)?;
                count = u64::try_from(wanted).ok().filter(|count| *count > 0).ok_or(SYNTAX)?;
            }
            b"match" => pattern = Some(Value::from(value)),
            b"type" => is_void = !value.eq_ignore_ascii_case(b"string"),
            _ => return Err(SYNTAX),
        }
    }
    Ok(Command::Scan(Scan { cursor, count, pattern, is_void, only_whole: false }.into()))
}
