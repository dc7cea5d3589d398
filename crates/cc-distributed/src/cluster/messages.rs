//! Messages and what is in them. Both kinds of sessions begin alike, with a hello and a welcome.

use super::wire::pb;

macro_rules! messages {
    ($($to:ident($asked:ident) -> $from:ident($told:ident),)*) => {
        $(
            impl From<pb::$asked::What> for pb::$to {
                fn from(what: pb::$asked::What) -> Self {
                    Self { what: Some(what) }
                }
            }

            impl From<pb::$told::What> for pb::$from {
                fn from(what: pb::$told::What) -> Self {
                    Self { what: Some(what) }
                }
            }

            impl From<pb::Hello> for pb::$to {
                fn from(hello: pb::Hello) -> Self {
                    pb::$asked::What::Hello(hello).into()
                }
            }

            /// None if the worker does not begin with it.
            impl From<pb::$from> for Option<pb::Welcome> {
                fn from(answer: pb::$from) -> Self {
                    match answer.what {
                        Some(pb::$told::What::Welcome(welcome)) => Some(welcome),
                        _ => None,
                    }
                }
            }
        )*
    };
}

messages! {
    ToWorker(to_worker) -> FromWorker(from_worker),
    ToKeeper(to_keeper) -> FromKeeper(from_keeper),
}
