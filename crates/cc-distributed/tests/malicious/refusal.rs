//! Nodes of a server that restart and refuse to work: the server goes on without them.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Server as Transport, server::TcpIncoming},
};

use crate::{
    PROGRAM, Site, Worker,
    impostor::pb::{
        Beat, Frame, FromKeeper, FromWorker, Parts, ToKeeper, ToWorker,
        keeper_server::{Keeper, KeeperServer},
        worker_server::{self, WorkerServer},
    },
};

/// Maximum wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A worker that answers pings, and refuses every session for this reason.
#[derive(Clone)]
struct Refuser(&'static str);

impl Refuser {
    /// Serves at this address until the runtime is dropped.
    fn start(self, address: &str) -> Runtime {
        let runtime = Runtime::new().unwrap();
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let _within = runtime.enter();
        let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener).unwrap());
        let services = Transport::builder()
            .add_service(WorkerServer::new(self.clone()))
            .add_service(KeeperServer::new(self));
        runtime.spawn(services.serve_with_incoming(incoming));
        drop(_within);
        runtime
    }

    fn refuse<T>(&self) -> Result<T, Status> {
        Err(Status::failed_precondition(self.0))
    }
}

#[tonic::async_trait]
impl worker_server::Worker for Refuser {
    type ServeStream = ReceiverStream<Result<FromWorker, Status>>;
    type FetchStream = ReceiverStream<Result<Frame, Status>>;

    async fn serve(&self, _: Request<Streaming<ToWorker>>) -> Result<Response<Self::ServeStream>, Status> {
        self.refuse()
    }

    async fn fetch(&self, _: Request<Parts>) -> Result<Response<Self::FetchStream>, Status> {
        self.refuse()
    }

    async fn ping(&self, _: Request<Beat>) -> Result<Response<Beat>, Status> {
        Ok(Response::new(Beat {}))
    }
}

#[tonic::async_trait]
impl Keeper for Refuser {
    type KeepStream = ReceiverStream<Result<FromKeeper, Status>>;

    async fn keep(&self, _: Request<Streaming<ToKeeper>>) -> Result<Response<Self::KeepStream>, Status> {
        self.refuse()
    }
}

/// A server. It is killed at the end, also when the test fails.
struct Server {
    child: Child,
    client: BufReader<TcpStream>,
    messages: BufReader<std::process::ChildStderr>,
}

impl Server {
    /// Starts a server with these workers as its nodes.
    fn start(site: &Site, workers: [&str; 2]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["--token-file", "token", "--suspect-after", "2", "--lose-after", "2"]);
        command.args(["--worker", workers[0], "--worker", workers[1], "kv", "--listen", "127.0.0.1:0"]);
        let command = command.current_dir(site.dir.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening at ").unwrap();
        let client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(TIMEOUT)).unwrap();
        let messages = BufReader::new(child.stderr.take().unwrap());
        Self { client: BufReader::new(client), messages, child }
    }

    /// Sends a request. Returns the first line of the reply.
    fn ask(&mut self, line: &str) -> String {
        self.client.get_ref().write_all(format!("{line}\r\n").as_bytes()).unwrap();
        let mut reply = String::new();
        self.client.read_line(&mut reply).unwrap();
        reply.trim_end().to_owned()
    }

    /// Repeats a request until its node is up, and asserts the reply.
    fn ask_until(&mut self, line: &str, wanted: &str) {
        let mut reply = self.ask(line);
        while reply.starts_with("-TRYAGAIN") || reply.starts_with("-INDETERMINATE") {
            reply = self.ask(line);
        }
        assert_eq!(reply, wanted, "{line}");
    }

    fn message(&mut self) -> String {
        let mut line = String::new();
        self.messages.read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_server_goes_on_without_a_node_that_comes_back_and_refuses() {
    let site = Site::new();
    let dir = site.dir.path();
    let node = Worker::start(dir, "token", "127.0.0.1:0");
    let address = node.address.clone();
    let mut server = Server::start(&site, [site.backend(), &address]);
    // The keys of the first node have the lower slots.
    server.ask_until("SET bar 1", "+OK");
    server.ask_until("SET foo 2", "+OK");
    drop(node);
    let lost = server.message();
    assert!(lost.starts_with(&format!("kv: {address}: lost, with what it held: ")), "{lost}");
    let version = "the worker has version 9.9.9, the coordinator version 0.1.0";
    let role = "the worker has no workload \"kv\"";
    for why in ["wrong token", version, role] {
        let (mut worker, mut refuser) = (None, None);
        if why == "wrong token" {
            worker = Some(Worker::start(dir, "wrong", &address));
        } else {
            refuser = Some(Refuser(why).start(&address));
        }
        assert_eq!(server.message(), format!("kv: {address}: {why}\n"));
        assert_eq!(server.ask("INCR bar").get(..1), Some(":"), "the other node is up");
        assert!(server.ask("GET foo").starts_with("-TRYAGAIN"), "its keys are not available");
        drop((worker.take(), refuser.take()));
    }
    let _node = Worker::start(dir, "token", &address);
    server.ask_until("GET foo", "$-1");
    server.ask_until("SET foo 3", "+OK");
    assert_eq!(server.ask("INCR bar"), ":5", "the other node has lost nothing");
    let pid = Pid::from_raw(server.child.id().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert!(server.child.wait().unwrap().success());
    let mut rest = String::new();
    server.messages.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "each reason is reported once");
}
