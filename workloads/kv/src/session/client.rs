//! CLIENT: what a client says and asks about itself.

use std::borrow::Cow;

use super::{
    super::{
        Reply,
        command::{SYNTAX, wrong_number},
        resp::{Request, number},
    },
    Session,
    local::{MAX_NAME, is_printable},
};

/// What a driver says about itself with SETINFO.
#[derive(Debug, Default)]
pub(super) struct Driver {
    name: Box<[u8]>,
    version: Box<[u8]>,
}

/// The subcommands that exist here. For all others the reply is that of Redis to an unknown one.
pub(super) const CLIENT_SUBCOMMANDS: [&str; 8] =
    ["id", "getname", "setname", "setinfo", "info", "list", "no-evict", "no-touch"];

impl Session {
    pub(super) fn client(&mut self, request: &Request) -> Reply {
        let sub = request.argument(1).to_ascii_lowercase();
        let has_right_number = match sub.as_slice() {
            b"list" => true,
            b"id" | b"getname" | b"info" => request.len() == 2,
            b"setname" | b"no-evict" | b"no-touch" => request.len() == 3,
            _ => request.len() == 4,
        };
        if !has_right_number {
            return wrong_number(&format!("client|{}", String::from_utf8_lossy(&sub)));
        }
        match sub.as_slice() {
            b"id" => Reply::Int(self.id as i64),
            b"getname" => self.name.as_ref().map_or(Reply::Nil, Reply::bulk),
            b"setname" => self.set_name(request.argument(2)).unwrap_or(Reply::Ok),
            b"setinfo" => self.set_info(request.argument(2), request.argument(3)),
            b"info" => Reply::Text(self.description().as_bytes().into()),
            b"list" => self.list(request),
            // Nothing is evicted, and no access times are kept.
            _ => match request.argument(2).to_ascii_lowercase().as_slice() {
                b"on" | b"off" => Reply::Ok,
                _ => SYNTAX,
            },
        }
    }

    fn set_info(&mut self, option: &[u8], value: &[u8]) -> Reply {
        let name = option.to_ascii_lowercase();
        let refused = |why: &str| {
            let option = String::from_utf8_lossy(option);
            Reply::Error(Cow::Owned(why.replace("{}", &option)))
        };
        if !matches!(&*name, b"lib-name" | b"lib-ver") {
            return refused("ERR Unrecognized option '{}'");
        }
        if value.len() > MAX_NAME || !is_printable(value) {
            let name = String::from_utf8_lossy(&name).into_owned();
            let why = format!("ERR {name} cannot contain spaces, newlines or special characters.");
            return Reply::Error(Cow::Owned(why));
        }
        let driver = self.driver.get_or_insert_default();
        if &*name == b"lib-name" {
            driver.name = value.into();
        } else {
            driver.version = value.into();
        }
        Reply::Ok
    }

    /// CLIENT LIST: the asking client, if it is one of those that are asked for. Other clients may
    /// be served by other processes.
    fn list(&self, request: &Request) -> Reply {
        let mut options = request.from(2);
        let is_listed = match options.next().map(<[u8]>::to_ascii_lowercase).as_deref() {
            None => true,
            Some(b"type") if options.len() == 1 => {
                let kind = options.next().unwrap_or_default();
                match kind.to_ascii_lowercase().as_slice() {
                    b"normal" => true,
                    b"master" | b"replica" | b"slave" | b"pubsub" => false,
                    _ => {
                        let kind = String::from_utf8_lossy(kind);
                        return Reply::Error(Cow::Owned(format!("ERR Unknown client type '{kind}'")));
                    }
                }
            }
            Some(b"id") if options.len() > 0 => {
                let ids: Option<Vec<i64>> = options.map(number).collect();
                match ids.filter(|ids| ids.iter().all(|id| *id > 0)) {
                    Some(ids) => ids.contains(&(self.id as i64)),
                    None => return Reply::error("ERR Invalid client ID"),
                }
            }
            Some(_) => return SYNTAX,
        };
        Reply::Text(if is_listed { self.description() } else { String::new() }.as_bytes().into())
    }

    /// The line of CLIENT LIST, with the fields that this server knows.
    fn description(&self) -> String {
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        let driver = self.driver.as_deref();
        let (flags, multi) = match &self.transaction {
            Some(transaction) => ("x", transaction.queue.len() as i64),
            None => ("N", -1),
        };
        format!(
            "id={} name={} age={} idle=0 flags={flags} db=0 sub=0 psub=0 multi={multi} watch={} user=default \
             resp={} lib-name={} lib-ver={}\n",
            self.id,
            text(self.name.as_deref()),
            self.connected.elapsed().as_secs(),
            self.watched.len(),
            self.protocol.number(),
            text(driver.map(|driver| &*driver.name)),
            text(driver.map(|driver| &*driver.version)),
        )
    }
}
