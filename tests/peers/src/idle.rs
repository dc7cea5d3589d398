//! `idle`: open connections that send nothing.

use std::{
    io::{self, Write},
    net::TcpStream,
};

use anyhow::{Error, Result, ensure};

use crate::connect::{self, Server, ask};

/// Hold open connections until standard input ends; each has been answered once
///
/// Prints the number of connections once all are open. The exit status is 1 if there are fewer than
/// were requested.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    /// Number of connections
    #[arg(long, value_name = "N")]
    connections: usize,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    connect::raise_descriptors()?;
    let wanted = args.connections;
    let (held, why) = hold(&args.server, wanted);
    writeln!(io::stdout(), "holding {} of {wanted} connections", held.len())?;
    io::copy(&mut io::stdin().lock(), &mut io::sink())?;
    why.map_or(Ok(()), |why| {
        Err(why.context(format!("only {} of {wanted} connections were possible", held.len())))
    })
}

/// Opens up to `wanted` connections. If one fails, returns those before it and the error.
fn hold(server: &Server, wanted: usize) -> (Vec<TcpStream>, Option<Error>) {
    let mut held = Vec::new();
    while held.len() < wanted {
        match one(server) {
            Ok(stream) => held.push(stream),
            Err(error) => return (held, Some(error)),
        }
    }
    (held, None)
}

fn one(server: &Server) -> Result<TcpStream> {
    let stream = server.open_one()?;
    let said = ask(&stream, b"*1\r\n$4\r\nPING\r\n")?;
    ensure!(said == "+PONG", "it answers {said}");
    Ok(stream)
}
