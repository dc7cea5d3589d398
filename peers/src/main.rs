//! `cc-peers`: the other end of a workload's connections, in a process of its own.

use clap::Parser;

/// The other end of a workload's connections.
#[derive(Parser)]
enum Peer {}

fn main() -> anyhow::Result<()> {
    match Peer::parse() {}
}
