//! The names of commands.

/// What `COMMAND INFO` replies about a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    /// The name in lower case.
    pub name: &'static str,
    /// The number of arguments including the name; if negative, the minimum number.
    pub arity: i64,
    /// "readonly", "write", …
    pub flags: &'static [&'static str],
    /// The positions of the first and the last key (counted from the end, if negative), and the
    /// step.
    pub keys: [i64; 3],
}

macro_rules! verbs {
    ($($verb:ident $name:literal $arity:literal [$($flag:literal)*] $keys:expr;)*) => {
        /// A command's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "they are the names that Redis documents")]
        pub(super) enum Verb { $($verb,)* }

        /// The specifications of all commands, in the order of [`Verb`].
        pub(super) const SPECS: &[Spec] =
            &[$(Spec { name: $name, arity: $arity, flags: &[$($flag),*], keys: $keys },)*];

        impl Verb {
            fn of_lower_case(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$verb),)*
                    _ => None,
                }
            }
        }
    };
}

verbs! {
    Get "get" 2 ["readonly" "fast"] [1, 1, 1];
    Set "set" -3 ["write" "denyoom"] [1, 1, 1];
    Mget "mget" -2 ["readonly" "fast"] [1, -1, 1];
    Mset "mset" -3 ["write" "denyoom"] [1, -1, 2];
    Del "del" -2 ["write"] [1, -1, 1];
    Exists "exists" -2 ["readonly" "fast"] [1, -1, 1];
    Incr "incr" 2 ["write" "denyoom" "fast"] [1, 1, 1];
    Incrby "incrby" 3 ["write" "denyoom" "fast"] [1, 1, 1];
    Decr "decr" 2 ["write" "denyoom" "fast"] [1, 1, 1];
    Strlen "strlen" 2 ["readonly" "fast"] [1, 1, 1];
    Expire "expire" -3 ["write" "fast"] [1, 1, 1];
    Pexpire "pexpire" -3 ["write" "fast"] [1, 1, 1];
    Ttl "ttl" 2 ["readonly" "fast"] [1, 1, 1];
    Pttl "pttl" 2 ["readonly" "fast"] [1, 1, 1];
    Persist "persist" 2 ["write" "fast"] [1, 1, 1];
    Type "type" 2 ["readonly" "fast"] [1, 1, 1];
    Dbsize "dbsize" 1 ["readonly" "fast"] [0, 0, 0];
    Flushdb "flushdb" -1 ["write"] [0, 0, 0];
    Decrby "decrby" 3 ["write" "denyoom" "fast"] [1, 1, 1];
    Incrbyfloat "incrbyfloat" 3 ["write" "denyoom" "fast"] [1, 1, 1];
    Setnx "setnx" 3 ["write" "denyoom" "fast"] [1, 1, 1];
    Setex "setex" 4 ["write" "denyoom"] [1, 1, 1];
    Psetex "psetex" 4 ["write" "denyoom"] [1, 1, 1];
    Getset "getset" 3 ["write" "denyoom" "fast"] [1, 1, 1];
    Getdel "getdel" 2 ["write" "fast"] [1, 1, 1];
    Getex "getex" -2 ["write" "fast"] [1, 1, 1];
    Append "append" 3 ["write" "denyoom" "fast"] [1, 1, 1];
    Getrange "getrange" 4 ["readonly"] [1, 1, 1];
    Setrange "setrange" 4 ["write" "denyoom"] [1, 1, 1];
    Msetnx "msetnx" -3 ["write" "denyoom"] [1, -1, 2];
    Expireat "expireat" -3 ["write" "fast"] [1, 1, 1];
    Pexpireat "pexpireat" -3 ["write" "fast"] [1, 1, 1];
    Expiretime "expiretime" 2 ["readonly" "fast"] [1, 1, 1];
    Pexpiretime "pexpiretime" 2 ["readonly" "fast"] [1, 1, 1];
    Unlink "unlink" -2 ["write" "fast"] [1, -1, 1];
    Touch "touch" -2 ["readonly" "fast"] [1, -1, 1];
    Rename "rename" 3 ["write"] [1, 2, 1];
    Renamenx "renamenx" 3 ["write" "fast"] [1, 2, 1];
    Copy "copy" -3 ["write" "denyoom"] [1, 2, 1];
    Flushall "flushall" -1 ["write"] [0, 0, 0];
    Scan "scan" -2 ["readonly"] [0, 0, 0];
    Keys "keys" 2 ["readonly"] [0, 0, 0];
    Randomkey "randomkey" 1 ["readonly"] [0, 0, 0];
    Ping "ping" -1 ["fast"] [0, 0, 0];
    Echo "echo" 2 ["fast"] [0, 0, 0];
    Select "select" 2 ["loading" "stale" "fast"] [0, 0, 0];
    Auth "auth" -2 ["noscript" "loading" "stale" "fast" "no_auth"] [0, 0, 0];
    Hello "hello" -1 ["noscript" "loading" "stale" "fast" "no_auth"] [0, 0, 0];
    Reset "reset" 1 ["noscript" "loading" "stale" "fast" "no_auth"] [0, 0, 0];
    Time "time" 1 ["loading" "stale" "fast"] [0, 0, 0];
    Quit "quit" -1 ["noscript" "loading" "stale" "fast" "no_auth"] [0, 0, 0];
    Multi "multi" 1 ["noscript" "loading" "stale" "fast"] [0, 0, 0];
    Exec "exec" 1 ["noscript" "loading" "stale"] [0, 0, 0];
    Discard "discard" 1 ["noscript" "loading" "stale" "fast"] [0, 0, 0];
    Watch "watch" -2 ["noscript" "loading" "stale" "fast"] [1, -1, 1];
    Unwatch "unwatch" 1 ["noscript" "loading" "stale" "fast"] [0, 0, 0];
    Info "info" -1 ["loading" "stale"] [0, 0, 0];
    Command "command" -1 ["loading" "stale"] [0, 0, 0];
    Config "config" -2 ["admin" "noscript" "loading" "stale"] [0, 0, 0];
    Client "client" -2 ["noscript" "loading" "stale"] [0, 0, 0];
}

/// Length of the longest name.
const MAX_NAME: usize = 11;

impl Verb {
    /// The command with this name, in upper or lower case.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        let mut lower = [0; MAX_NAME];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        Self::of_lower_case(std::str::from_utf8(lower).ok()?)
    }

    /// The command's specification.
    pub(super) fn spec(self) -> &'static Spec {
        &SPECS[self as usize]
    }

    /// Whether it accepts this many arguments, including its name.
    pub(super) fn takes(self, arguments: usize) -> bool {
        let arity = self.spec().arity;
        let arguments = arguments as i64;
        if arity < 0 { arguments >= -arity } else { arguments == arity }
    }

    /// Whether a client that has not given the password may call it.
    pub(super) fn is_allowed_before_auth(self) -> bool {
        matches!(self, Self::Auth | Self::Hello | Self::Quit | Self::Reset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_to_its_own_spec() {
        for spec in SPECS {
            assert_eq!(Verb::of(spec.name.to_uppercase().as_bytes()).unwrap().spec().name, spec.name);
        }
        assert!(
            [&b""[..], b"getx", b"subscribe", b"zrevrangebyscore", b"g\xff", b"get "]
                .iter()
                .all(|name| Verb::of(name).is_none())
        );
    }

    #[test]
    fn arities_are_exact_or_minima() {
        assert!(Verb::Get.takes(2) && !Verb::Get.takes(1) && !Verb::Get.takes(3));
        assert!(Verb::Set.takes(3) && Verb::Set.takes(9) && !Verb::Set.takes(2));
    }
}
