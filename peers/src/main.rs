//! `cc-peers`: the other end of a workload's connections, in a process of its own.

use cc_peers::origin;
use clap::Parser;

/// The other end of a workload's connections.
#[derive(Parser)]
enum Peer {
    Origin(origin::Args),
}

fn main() -> anyhow::Result<()> {
    match Peer::parse() {
        Peer::Origin(args) => origin::main(&args),
    }
}
