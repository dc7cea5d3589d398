//! Conversions between messages and their contents. Both kinds of sessions begin in the same way,
//! with a hello and a welcome.

use super::wire::pb;

macro_rules! messages {
    ($($to:ident($command:ident) -> $from:ident($event:ident),)*) => {
        $(
            impl From<pb::$command::What> for pb::$to {
                fn from(what: pb::$command::What) -> Self {
                    Self { what: Some(what) }
                }
            }

            impl From<pb::$event::What> for pb::$from {
                fn from(what: pb::$event::What) -> Self {
                    Self { what: Some(what) }
                }
            }

            impl From<pb::Hello> for pb::$to {
                fn from(hello: pb::Hello) -> Self {
                    pb::$command::What::Hello(hello).into()
                }
            }

            /// None if the message is no welcome.
            impl From<pb::$from> for Option<pb::Welcome> {
                fn from(message: pb::$from) -> Self {
                    match message.what {
                        Some(pb::$event::What::Welcome(welcome)) => Some(welcome),
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
