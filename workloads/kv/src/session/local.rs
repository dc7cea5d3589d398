//! The commands that a session answers without a shard.

use std::{borrow::Cow, fmt::Write};

use super::{
    super::{
        Protocol, Reply, Server,
        command::{NOT_AN_INTEGER, wrong_number},
        resp::{Request, number},
        text,
        verb::Verb,
    },
    Session,
    client::CLIENT_SUBCOMMANDS,
};

impl Session {
    /// The reply to a command that needs no shard.
    pub(super) fn local(&mut self, verb: Verb, request: &Request, server: &Server) -> Reply {
        match verb {
            Verb::Ping if request.len() == 1 => Reply::simple("PONG"),
            Verb::Ping if request.len() > 2 => wrong_number("ping"),
            Verb::Ping | Verb::Echo => Reply::bulk(request.argument(1)),
            Verb::Select => select(request),
            Verb::Auth => self.auth(request, server),
            Verb::Hello => self.hello(request, server),
            Verb::Unwatch => {
                self.clear_watched();
                Reply::Ok
            }
            Verb::Command => text::command(request),
            Verb::Config => config(request, server),
            Verb::Client => self.client(request),
            Verb::Time => time(server),
            other => unreachable!("{other:?} is seen to elsewhere"),
        }
    }

    fn auth(&mut self, request: &Request, server: &Server) -> Reply {
        match request.len() {
            2 if server.config.password.is_none() => Reply::error(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
                 configuration is correct?",
            ),
            2 => self.authenticate(b"default", request.argument(1), server).unwrap_or(Reply::Ok),
            3 => self.authenticate(request.argument(1), request.argument(2), server).unwrap_or(Reply::Ok),
            _ => Reply::error("ERR syntax error"),
        }
    }

    /// Checks the password. Returns an error reply if it is wrong.
    fn authenticate(&mut self, user: &[u8], password: &[u8], server: &Server) -> Option<Reply> {
        let is_right =
            server.config.password.as_ref().is_none_or(|right| are_equal(right.as_bytes(), password));
        if user != b"default" || !is_right {
            (self.wrong_passwords, self.last_was_wrong) = (self.wrong_passwords.saturating_add(1), true);
            return Some(Reply::error("WRONGPASS invalid username-password pair or user is disabled."));
        }
        (self.is_unauthenticated, self.wrong_passwords) = (false, 0);
        None
    }

    fn hello(&mut self, request: &Request, server: &Server) -> Reply {
        let protocol = match request.from(1).next().map(number) {
            None => self.protocol,
            Some(None) => return Reply::error("ERR Protocol version is not an integer or out of range"),
            Some(Some(2)) => Protocol::Resp2,
            Some(Some(3)) => Protocol::Resp3,
            Some(_) => return NO_PROTOCOL,
        };
        let mut options = request.from(2);
        let mut name = None;
        while let Some(option) = options.next() {
            match option.to_ascii_lowercase().as_slice() {
                b"auth" if options.len() >= 2 => {
                    let [user, password] = [(); 2].map(|()| options.next().unwrap_or_default());
                    if let Some(refusal) = self.authenticate(user, password, server) {
                        return refusal;
                    }
                }
                b"setname" if options.len() >= 1 => name = options.next(),
                _ => {
                    let option = String::from_utf8_lossy(option);
                    return Reply::Error(Cow::Owned(format!("ERR Syntax error in HELLO option '{option}'")));
                }
            }
        }
        if self.is_unauthenticated {
            return Reply::error(HELLO_FIRST);
        }
        if let Some(refusal) = name.and_then(|name| self.set_name(name)) {
            return refusal;
        }
        self.protocol = protocol;
        Reply::Switch(protocol, self.greeting().into())
    }

    fn greeting(&self) -> Reply {
        Reply::from([
            ("server", Reply::bulk("redis")),
            ("version", Reply::bulk(text::VERSION)),
            ("proto", Reply::Int(self.protocol.number())),
            ("id", Reply::Int(self.id as i64)),
            ("mode", Reply::bulk("standalone")),
            ("role", Reply::bulk("master")),
            ("modules", Reply::Array(Vec::new())),
        ])
    }

    /// Sets the client's name. Returns an error reply if it is invalid.
    pub(super) fn set_name(&mut self, name: &[u8]) -> Option<Reply> {
        if name.len() > MAX_NAME {
            return Some(Reply::error("ERR Client names cannot be that long."));
        }
        if !is_printable(name) {
            return Some(Reply::error(
                "ERR Client names cannot contain spaces, newlines or special characters.",
            ));
        }
        self.name = (!name.is_empty()).then(|| name.into());
        None
    }
}

/// Whether a name has no spaces, line ends or special characters.
pub(super) fn is_printable(name: &[u8]) -> bool {
    name.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

/// Maximum bytes of a client's name, which is kept as long as the connection.
pub(super) const MAX_NAME: usize = 1024;

const NO_PROTOCOL: Reply = Reply::error("NOPROTO unsupported protocol version");

const HELLO_FIRST: &str = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
                           AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol \
                           version at the same time";

/// Compares passwords. The time does not depend on where they differ, so it reveals no prefix.
fn are_equal(one: &[u8], other: &[u8]) -> bool {
    let differs = one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b));
    std::hint::black_box(differs) == 0 && one.len() == other.len()
}

fn select(request: &Request) -> Reply {
    match number(request.argument(1)) {
        Some(0) => Reply::Ok,
        Some(index) if i32::try_from(index).is_ok() => Reply::error("ERR DB index is out of range"),
        Some(_) => Reply::error("ERR value is out of range, value must between -2147483648 and 2147483647"),
        None => NOT_AN_INTEGER,
    }
}

fn time(server: &Server) -> Reply {
    let micros = server.config.clock.wall_micros();
    Reply::Array([micros / 1_000_000, micros % 1_000_000].map(|part| Reply::bulk(part.to_string())).into())
}

fn config(request: &Request, server: &Server) -> Reply {
    match request.argument(1).to_ascii_lowercase().as_slice() {
        b"get" if request.len() == 2 => wrong_number("config|get"),
        _ => text::config(request, server),
    }
}

/// Maximum bytes of a request that an error reply quotes.
const MAX_ECHO: usize = 128;

pub(super) fn unknown(request: &Request) -> Reply {
    let shown =
        |bytes: &[u8], most: usize| String::from_utf8_lossy(&bytes[..bytes.len().min(most)]).into_owned();
    let name = shown(request.argument(0), MAX_ECHO);
    let mut text = String::new();
    for argument in request.from(1) {
        if text.len() >= MAX_ECHO {
            break;
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "'{}' ", shown(argument, MAX_ECHO - text.len()));
    }
    Reply::Error(Cow::Owned(format!("ERR unknown command '{name}', with args beginning with: {text}")))
}

/// The error reply to an unknown subcommand of a command that has subcommands.
pub(super) fn unknown_subcommand(verb: Verb, request: &Request) -> Option<Reply> {
    let known = match verb {
        Verb::Client => &CLIENT_SUBCOMMANDS[..],
        Verb::Command => &["count", "docs", "info", "list"],
        Verb::Config => &["get"],
        _ => return None,
    };
    let sub = request.from(1).next()?;
    if known.iter().any(|known| sub.eq_ignore_ascii_case(known.as_bytes())) {
        return None;
    }
    let (sub, command) =
        (String::from_utf8_lossy(&sub[..sub.len().min(MAX_ECHO)]), verb.spec().name.to_uppercase());
    Some(Reply::Error(Cow::Owned(format!("ERR unknown subcommand '{sub}'. Try {command} HELP."))))
}
