//! The standing worker: started by hand, for coordinators on this or other machines.

use std::{
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    path::{Path, PathBuf},
};

use cc_workloads::{Ctx, Error, Result, cli, printable::printable_path, root::Files, stdio};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::{
    host::{self, Worker},
    log::Log,
    token::Token,
    worker::Service,
};

/// The subcommand that starts a standing worker.
pub(super) fn command() -> Command {
    Command::new("worker")
        .about("Serve as a worker for coordinators on this or other machines")
        .arg(
            Arg::new("listen")
                .long("listen")
                .value_name("ADDR")
                .required(true)
                .help("Address to listen on, HOST:PORT; other than loopback only with --token-file"),
        )
        .arg(
            Arg::new("root")
                .long("root")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .help("For coordinators with --shared-fs: open files below this directory, and no others"),
        )
        .arg(
            Arg::new("requests")
                .long("requests")
                .action(ArgAction::SetTrue)
                .help("Send network requests for coordinators (fetch), to any host that they name"),
        )
        .arg(
            Arg::new("slots")
                .long("slots")
                .value_name("N")
                .value_parser(cli::workers)
                .help("Number of tasks to run at the same time, per coordinator [default: one per core]"),
        )
}

/// Runs the standing worker. A signal ends it, without cleaning up: its coordinators notice.
pub(super) fn stand(services: &'static [Service], args: &ArgMatches) -> Result<std::convert::Infallible> {
    let file = args.get_one::<PathBuf>("token-file");
    let listener = listen(args.get_one::<String>("listen").expect("it is required"), file.is_some())?;
    let (token, file) = match file {
        Some(file) => (Token::read(file)?, file.clone()),
        None => Token::of_user()?,
    };
    let root = args.get_one::<PathBuf>("root");
    let files = root.map_or(Ok(Files::None), |root| beneath(root))?;
    let slots = args.get_one("slots").copied().unwrap_or_else(Ctx::available_workers).get();
    let address = listener.local_addr().map_err(Error::io("listener"))?;
    // Shows the port that was chosen for port 0. If standard output is closed, the worker goes on.
    let _ = stdio::write_out(format!("listening on {address}\n").as_bytes());
    let log = Log::stderr();
    log.report(address, format_args!("started with {slots} slots; token file {}", file.display()));
    let requests = args.get_flag("requests");
    let silence = host::SILENCE;
    host::serve(listener, token, Worker { services, files, requests, slots, silence }, log)?;
    Err(Error::worker("server", "ended"))
}

fn beneath(root: &Path) -> Result<Files> {
    Files::beneath(root).map_err(Error::io(printable_path(root).to_string()))
}

fn listen(address: &str, has_token: bool) -> Result<TcpListener> {
    let addresses: Vec<SocketAddr> = address.to_socket_addrs().map_err(Error::io(address))?.collect();
    if !has_token && !addresses.iter().all(|address| address.ip().is_loopback()) {
        let why = "is not on loopback: give --token-file, with the secret that its coordinators have";
        return Err(Error::Usage(format!("{address} {why}")));
    }
    TcpListener::bind(&addresses[..]).map_err(Error::io(address))
}
