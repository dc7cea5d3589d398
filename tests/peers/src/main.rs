//! `cc-peers`: the other end of a workload's connections, in a process of its own.

// Code that prints must report a failed write as an error; `println!` would panic.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod connect;
mod idle;
mod load;
mod replies;
mod requests;
mod talk;

use cc_peers::origin;
use clap::Parser;

/// The other end of a workload's connections.
#[derive(Parser)]
enum Peer {
    Load(load::Args),
    Idle(idle::Args),
    Talk(talk::Args),
    Origin(origin::Args),
}

fn main() -> anyhow::Result<()> {
    match Peer::parse() {
        Peer::Load(args) => load::main(&args),
        Peer::Idle(args) => idle::main(&args),
        Peer::Talk(args) => talk::main(&args),
        Peer::Origin(args) => origin::main(&args),
    }
}
