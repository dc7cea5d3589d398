//! What `COMMAND DOCS` replies: the texts that `help` of `redis-cli` shows, and from which it makes
//! the hints while a command is typed.

use super::{Reply, verb::Spec};

/// The documentation of a command.
#[derive(Clone, Copy, Debug)]
struct Doc {
    name: &'static str,
    group: &'static str,
    /// The version of Redis in which it was added.
    since: &'static str,
    summary: &'static str,
    /// The arguments: see [`arguments`].
    syntax: &'static str,
}

macro_rules! docs {
    ($($group:literal { $($name:literal $since:literal $summary:literal $syntax:literal;)* })*) => {
        const DOCS: &[Doc] = &[$($(Doc {
            name: $name,
            group: $group,
            since: $since,
            summary: $summary,
            syntax: $syntax,
        },)*)*];
    };
}

docs! {
    "string" {
        "get" "1.0.0" "Get the value of a key" "key";
        "set" "1.0.0" "Set the string value of a key"
            "key value [NX|XX] [GET] [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|KEEPTTL]";
        "mget" "1.0.0" "Get the values of all the given keys" "key...";
        "mset" "1.0.1" "Set multiple keys to multiple values" "{key value}...";
        "msetnx" "1.0.1" "Set multiple keys to multiple values, only if none of the keys exist" "{key value}...";
        "incr" "1.0.0" "Increment the integer value of a key by one" "key";
        "incrby" "1.0.0" "Increment the integer value of a key by the given amount" "key increment";
        "incrbyfloat" "2.6.0" "Increment the float value of a key by the given amount" "key increment";
        "decr" "1.0.0" "Decrement the integer value of a key by one" "key";
        "decrby" "1.0.0" "Decrement the integer value of a key by the given number" "key decrement";
        "strlen" "2.2.0" "Get the length of the value stored in a key" "key";
        "setnx" "1.0.0" "Set the value of a key, only if the key does not exist" "key value";
        "setex" "2.0.0" "Set the value and expiration of a key" "key seconds value";
        "psetex" "2.6.0" "Set the value and expiration in milliseconds of a key" "key milliseconds value";
        "getset" "1.0.0" "Set the string value of a key and return its old value" "key value";
        "getdel" "6.2.0" "Get the value of a key and delete the key" "key";
        "getex" "6.2.0" "Get the value of a key and optionally set its expiration"
            "key [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|PERSIST]";
        "append" "2.0.0" "Append a value to a key" "key value";
        "getrange" "2.4.0" "Get a substring of the string stored at a key" "key start end";
        "setrange" "2.2.0" "Overwrite part of a string at key starting at the specified offset" "key offset value";
    }
    "generic" {
        "del" "1.0.0" "Delete a key" "key...";
        "unlink" "4.0.0" "Delete a key (here the same as DEL)" "key...";
        "exists" "1.0.0" "Determine if a key exists" "key...";
        "touch" "3.2.1" "Count the keys that exist (access times are not kept)" "key...";
        "expire" "1.0.0" "Set a key's time to live in seconds" "key seconds [NX|XX|GT|LT]";
        "pexpire" "2.6.0" "Set a key's time to live in milliseconds" "key milliseconds [NX|XX|GT|LT]";
        "expireat" "1.2.0" "Set the expiration for a key as a UNIX timestamp" "key unix-time-seconds [NX|XX|GT|LT]";
        "pexpireat" "2.6.0" "Set the expiration for a key as a UNIX timestamp specified in milliseconds"
            "key unix-time-milliseconds [NX|XX|GT|LT]";
        "expiretime" "7.0.0" "Get the expiration Unix timestamp for a key" "key";
        "pexpiretime" "7.0.0" "Get the expiration Unix timestamp for a key in milliseconds" "key";
        "ttl" "1.0.0" "Get the time to live for a key in seconds" "key";
        "pttl" "2.6.0" "Get the time to live for a key in milliseconds" "key";
        "persist" "2.2.0" "Remove the expiration from a key" "key";
        "type" "1.0.0" "Determine the type stored at key" "key";
        "rename" "1.0.0" "Rename a key" "key newkey";
        "renamenx" "1.0.0" "Rename a key, only if the new key does not exist" "key newkey";
        "copy" "6.2.0" "Copy a key" "source destination [DB destination-db] [REPLACE]";
        "scan" "2.8.0" "Incrementally iterate the keys space" "cursor [MATCH pattern] [COUNT count] [TYPE type]";
        "keys" "1.0.0" "Find all keys matching the given pattern" "pattern";
        "randomkey" "1.0.0" "Return a random key from the keyspace" "";
    }
    "server" {
        "dbsize" "1.0.0" "Return the number of keys in the selected database" "";
        "flushdb" "1.0.0" "Remove all keys from the current database" "[ASYNC|SYNC]";
        "flushall" "1.0.0" "Remove all keys from all databases (here there is one)" "[ASYNC|SYNC]";
        "info" "1.0.0" "Get information and statistics about the server" "[section...]";
        "command" "2.8.13" "Get array of command details" "";
        "config" "2.0.0" "Get the values of configuration parameters" "GET {parameter}...";
        "time" "2.6.0" "Return the current server time" "";
    }
    "connection" {
        "ping" "1.0.0" "Ping the server" "[message]";
        "echo" "1.0.0" "Echo the given string" "message";
        "select" "1.0.0" "Change the selected database for the current connection" "index";
        "auth" "1.0.0" "Authenticate to the server" "[username] password";
        "hello" "6.0.0" "Handshake with the server"
            "[protover] [AUTH username password] [SETNAME clientname]";
        "reset" "6.2.0" "Reset the connection" "";
        "quit" "1.0.0" "Close the connection" "";
        "client" "2.4.0" "Get or set facts about the client" "subcommand [argument...]";
    }
    "transactions" {
        "multi" "1.2.0" "Mark the start of a transaction block" "";
        "exec" "1.2.0" "Execute all commands issued after MULTI" "";
        "discard" "2.0.0" "Discard all commands issued after MULTI" "";
        "watch" "2.2.0" "Watch the given keys to determine execution of the MULTI/EXEC block" "key...";
        "unwatch" "2.2.0" "Forget about all watched keys" "";
    }
}

/// A command's name and its documentation, for a map.
pub(super) fn doc(spec: &'static Spec) -> [Reply; 2] {
    let doc = DOCS.iter().find(|doc| doc.name == spec.name).expect("a test compares the two tables");
    let mut fields = vec![
        ("summary", Reply::bulk(doc.summary)),
        ("since", Reply::bulk(doc.since)),
        ("group", Reply::bulk(doc.group)),
    ];
    let arguments = arguments(doc.syntax);
    if !arguments.is_empty() {
        fields.push(("arguments", Reply::Array(arguments)));
    }
    [Reply::bulk(spec.name), fields.into_iter().collect()]
}

/// The arguments of a syntax. A name in lower case is an argument, a name in upper case a token
/// (`NX`), or the token of the argument after it (`EX seconds`); `[…]` is optional, `a|b` one of
/// several, `{a b}` several together, and `…...` may be repeated.
fn arguments(syntax: &str) -> Vec<Reply> {
    let (mut all, mut rest) = (Vec::new(), syntax.trim());
    while !rest.is_empty() {
        let (group, after) = match rest.as_bytes()[0] {
            b'[' => rest.split_at(rest.find(']').map_or(rest.len(), |end| end + 1)),
            b'{' => rest.split_at(rest.find('}').map_or(rest.len(), |end| end + 1)),
            _ => rest.split_at(argument_end(rest)),
        };
        let (is_repeated, after) = match after.strip_prefix("...") {
            Some(after) => (true, after),
            None => (false, after),
        };
        rest = after.trim_start();
        all.push(match group.strip_prefix('[').and_then(|group| group.strip_suffix(']')) {
            Some(inner) => {
                let is_repeated = is_repeated || inner.ends_with("...");
                one(inner.trim_end_matches("..."), true, is_repeated)
            }
            None => one(group, false, is_repeated),
        });
    }
    all
}

/// Where the first argument ends: a token and the name after it are one argument.
fn argument_end(syntax: &str) -> usize {
    let mut words = syntax.split(' ');
    let first = words.next().unwrap_or_default();
    let second = words.next().filter(|word| is_token(first) && word.starts_with(char::is_lowercase));
    let end = second.map_or(first.len(), |second| first.len() + 1 + second.len());
    syntax[..end].trim_end_matches("...").len()
}

fn is_token(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// One argument, which may contain others.
fn one(syntax: &str, is_optional: bool, is_repeated: bool) -> Reply {
    let (mut token, mut parts) = (None, Vec::new());
    let (name, kind) = if syntax.contains('|') {
        parts = syntax.split('|').map(|choice| one(choice, false, false)).collect();
        ("choice", "oneof")
    } else if let Some(inner) = syntax.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) {
        parts = arguments(inner);
        ("data", "block")
    } else {
        match syntax.split_once(' ') {
            Some((first, name)) if is_token(first) && !name.contains(' ') => {
                token = Some(first);
                (name, kind(name))
            }
            Some((first, names)) if is_token(first) => {
                token = Some(first);
                parts = arguments(names);
                ("data", "block")
            }
            _ if is_token(syntax) => {
                token = Some(syntax);
                (syntax, "pure-token")
            }
            _ => (syntax, kind(syntax)),
        }
    };
    let name = name.to_ascii_lowercase();
    let mut fields = vec![("name", Reply::bulk(&name)), ("type", Reply::bulk(kind))];
    if parts.is_empty() {
        fields.push(("display_text", Reply::bulk(&name)));
    }
    fields.extend(token.map(|token| ("token", Reply::bulk(token))));
    let flags = [(is_optional, "optional"), (is_repeated, "multiple")];
    let flags: Vec<_> =
        flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| Reply::simple(flag)).collect();
    if !flags.is_empty() {
        fields.push(("flags", Reply::Set(flags)));
    }
    if !parts.is_empty() {
        fields.push(("arguments", Reply::Array(parts)));
    }
    fields.into_iter().collect()
}

fn kind(name: &str) -> &'static str {
    match name {
        "key" | "newkey" | "source" | "destination" => "key",
        "pattern" => "pattern",
        "seconds" | "milliseconds" | "decrement" | "start" | "end" | "offset" | "cursor" | "count"
        | "index" | "protover" | "destination-db" => "integer",
        "unix-time-seconds" | "unix-time-milliseconds" => "unix-time",
        _ => "string",
    }
}

#[cfg(test)]
mod tests {
    use super::{super::verb::SPECS, *};

    /// The syntax as `redis-cli` shows it, from the reply.
    fn shown(argument: &Reply) -> String {
        let Reply::Map(fields) = argument else { panic!("{argument:?}") };
        let field = |name: &str| {
            fields.chunks(2).find(|pair| pair[0] == Reply::bulk(name)).map(|pair| pair[1].clone())
        };
        let text = |name: &str| match field(name) {
            Some(Reply::Bulk(text)) => String::from_utf8(text.to_vec()).unwrap(),
            _ => String::new(),
        };
        let parts = |between: &str| match field("arguments") {
            Some(Reply::Array(parts)) => parts.iter().map(shown).collect::<Vec<_>>().join(between),
            _ => panic!("{argument:?}"),
        };
        let inner = match text("type").as_str() {
            "oneof" => parts("|"),
            "block" => parts(" "),
            "pure-token" => String::new(),
            _ => text("display_text"),
        };
        let inner = [text("token"), inner].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>();
        let mut inner = inner.join(" ");
        let flags = format!("{:?}", field("flags"));
        if flags.contains("multiple") {
            inner = format!("{inner} [{inner} ...]");
        }
        if flags.contains("optional") { format!("[{inner}]") } else { inner }
    }

    fn shown_syntax(name: &str) -> String {
        let doc = DOCS.iter().find(|doc| doc.name == name).unwrap();
        arguments(doc.syntax).iter().map(shown).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_command_is_documented_once() {
        let mut documented: Vec<_> = DOCS.iter().map(|doc| doc.name).collect();
        let mut names: Vec<_> = SPECS.iter().map(|spec| spec.name).collect();
        documented.sort_unstable();
        names.sort_unstable();
        assert_eq!(documented, names);
        assert!(SPECS.iter().all(|spec| matches!(doc(spec), [Reply::Bulk(_), Reply::Map(_)])));
    }

    #[test]
    fn the_syntax_is_shown_as_in_redis() {
        for (name, syntax) in [
            ("get", "key"),
            ("mset", "key value [key value ...]"),
            ("del", "key [key ...]"),
            ("expire", "key seconds [NX|XX|GT|LT]"),
            ("hello", "[protover] [AUTH username password] [SETNAME clientname]"),
            ("scan", "cursor [MATCH pattern] [COUNT count] [TYPE type]"),
            ("info", "[section [section ...]]"),
            ("config", "GET parameter [parameter ...]"),
            ("time", ""),
        ] {
            assert_eq!(shown_syntax(name), syntax);
        }
        assert!(shown_syntax("set").ends_with("|PXAT unix-time-milliseconds|KEEPTTL]"));
    }
}
