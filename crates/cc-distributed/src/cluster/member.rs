//! The coordinator's view of one worker.
//!
//! A *session* is one connection for the job's tasks and outputs, and a second one for the
//! heartbeat: a ping must not wait until a mebibyte of tasks is sent. A session that ends, for any
//! reason, is never resumed. The worker's leases end, its connection is closed so that no late
//! answer arrives, and another session is tried. In this way a worker that was suspected wrongly
//! comes back, and a worker that starts late joins.
//!
//! No stream may ever stall, because a stalled stream would occupy the connection's flow-control
//! window, and cancelling it does not free the window. So both sides always read. The worker has
//! room for all tasks that its credit allows. The coordinator moves each answer into the queue at
//! once; there the job's window bounds them.

use std::{convert::Infallible, future::pending, pin::pin, time::Duration};

use cc_workloads::{error::reason, printable::printable, stdio};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Response, Status, Streaming,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};

use super::{
    link::Link,
    local::{Process, WorkerSpec},
    location::session_location,
    lost::Lost,
    queue::{Consumer, Credit, Queue},
    roster::{MembershipGuard, Roster},
    runtime::resolve,
    token::{self, AttachToken, Token},
    wire::{
        CHANNEL, MESSAGE, Reassembler, frames,
        pb::{
            Beat, FromWorker, Hello, ToWorker, Welcome, from_worker::What as Event,
            keeper_client::KeeperClient, to_worker::What as Command, worker_client::WorkerClient,
        },
    },
};

/// The pause after a session. It doubles, up to the longest pause, while no session can be begun.
const PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Maximum bytes of the reason that a worker gives for a failure: it becomes one line of a message.
const REASON: u64 = 64 << 10;

/// One worker of the cluster.
pub(super) struct Member {
    pub(super) source: WorkerSource,
    pub(super) token: Option<Token>,
    /// The part of the hello that is the same in every session.
    pub(super) hello: Hello,
    pub(super) queue: Queue,
    /// The link of a stateful worker. None: the worker does tasks.
    pub(super) link: Option<Link>,
    pub(super) roster: Roster,
    /// By when a silent worker is suspected. A worker without state is lost at the same time.
    pub(super) suspect_after: Duration,
    /// When a silent worker is lost together with its state, if the state cannot be made again.
    pub(super) lose_after: Option<Duration>,
}

/// Where a worker comes from.
pub(super) enum WorkerSource {
    /// It was started by hand, and listens at this address.
    Standing(String),
    /// A process that is started for each session.
    Local(WorkerSpec),
}

type Client = WorkerClient<InterceptedService<Channel, AttachToken>>;

impl Member {
    /// Holds sessions with the worker until the queue is closed.
    pub(super) async fn run(self) {
        let (mut pause, mut refusal) = (PAUSE, None);
        loop {
            let mut is_welcome = false;
            let lost = match &self.source {
                WorkerSource::Standing(address) => {
                    self.until_closed(self.session(address, &mut is_welcome)).await
                }
                WorkerSource::Local(spec) => self.local_session(spec, &mut is_welcome).await,
            };
            let Some(lost) = lost else { return };
            if let Some(link) = &self.link {
                link.set_down();
            }
            if let Lost::Distrusted(why) = &lost {
                self.report_distrusted(why);
                return self.roster.on_session_end(&self.name(), lost);
            }
            if is_welcome && self.link.is_some() {
                self.report_lost_state(&lost);
            }
            self.report_refusal(&lost, &mut refusal);
            self.roster.on_session_end(&self.name(), lost);
            pause = if is_welcome { PAUSE } else { LONGEST_PAUSE.min(pause * 2) };
            if self.until_closed(sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Reports a worker that is lost with its state, while the others serve on.
    fn report_lost_state(&self, lost: &Lost) {
        let (Lost::Gone(why) | Lost::Refused(why) | Lost::NotStarted(why) | Lost::Distrusted(why)) = lost;
        self.report(&format!("lost, with what it held: {}", printable(why)));
    }

    /// Reports a worker that refuses to work while others do. Each reason is reported once. The run
    /// goes on, and nothing else would show that this worker is missing.
    fn report_refusal(&self, lost: &Lost, refusal: &mut Option<String>) {
        let Lost::Refused(why) = lost else {
            *refusal = None;
            return;
        };
        if self.roster.has_begun() && refusal.as_ref() != Some(why) {
            self.report(why);
            *refusal = Some(why.clone());
        }
    }

    /// Reports a worker that gets no more tasks while others do; nothing else would show it.
    fn report_distrusted(&self, why: &str) {
        self.report(&format!("gets no more tasks: answered wrongly: {why}"));
    }

    fn report(&self, what: &str) {
        let (workload, name) = (&self.hello.workload, self.name());
        // If standard error is closed, the run goes on.
        let _ = stdio::say(&format!("{workload}: {}: {what}\n", printable(&name)));
    }

    fn name(&self) -> String {
        match &self.source {
            WorkerSource::Standing(address) => address.clone(),
            WorkerSource::Local(_) => "worker process".to_owned(),
        }
    }

    /// Waits for a future. None if the queue is closed before.
    async fn until_closed<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.queue.closed() => None,
            done = future => Some(done),
        }
    }

    /// A session with a process that is started for it. The process is killed at its end. None if
    /// the queue is closed before.
    async fn local_session(&self, spec: &WorkerSpec, is_welcome: &mut bool) -> Option<Lost> {
        let mut process = match Process::start(spec) {
            Ok(process) => process,
            Err(error) => return Some(Lost::NotStarted(reason(&error))),
        };
        let session = async {
            let token = self.token.as_ref().expect("a local cluster has a token");
            match process.greet(token).await {
                Ok(address) => self.session(&address, is_welcome).await,
                Err(error) => Lost::NotStarted(reason(&error)),
            }
        };
        let lost = self.until_closed(session).await;
        process.end().await;
        lost.map(|lost| match lost {
            // A process that cannot begin a session lacks a system resource, as one that cannot be
            // started: threads or descriptors.
            Lost::Gone(why) if !*is_welcome => Lost::NotStarted(why),
            lost => lost,
        })
    }

    /// A session with the worker. Returns why it has ended.
    async fn session(&self, address: &str, is_welcome: &mut bool) -> Lost {
        // Both end only with the session, so neither is resumed after it was dropped.
        let lost = tokio::select! {
            lost = self.heartbeat(address) => lost,
            lost = self.exchange(address, is_welcome) => lost,
        };
        match lost {
            Err(lost) => lost,
            Ok(never) => match never {},
        }
    }

    async fn exchange(&self, address: &str, is_welcome: &mut bool) -> Result<Infallible, Lost> {
        match &self.link {
            Some(link) => self.exchange_requests(link, address, is_welcome).await,
            None => self.exchange_tasks(address, is_welcome).await,
        }
    }

    async fn connect(&self, address: &str) -> Result<Client, Lost> {
        let channel = self.channel(address).await?;
        let client = WorkerClient::with_interceptor(channel, AttachToken(self.token.clone()));
        Ok(client.max_decoding_message_size(MESSAGE))
    }

    /// A connection to the first of the worker's IP addresses that accepts one.
    async fn channel(&self, address: &str) -> Result<Channel, Lost> {
        let mut lost = Lost::Gone("no such host".to_owned());
        for address in resolve(address).await.map_err(|error| Lost::Gone(reason(&error)))? {
            match self.endpoint(&address.to_string())?.connect().await {
                Ok(channel) => return Ok(channel),
                Err(error) => lost = error.into(),
            }
        }
        Err(lost)
    }

    fn endpoint(&self, address: &str) -> Result<Endpoint, Lost> {
        let keep_alive = self.lose_after.unwrap_or_default().max(self.suspect_after) * 4;
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .connect_timeout(self.suspect_after / 2)
            .tcp_nodelay(true)
            // Slower than the heartbeat: it only closes connections that a session has left behind.
            .http2_keep_alive_interval(keep_alive)
            .keep_alive_timeout(keep_alive);
        Ok(endpoint)
    }

    /// The hello for one session.
    fn hello(&self, address: &str) -> Result<Hello, Lost> {
        let mut session = token::random().map_err(|error| Lost::Gone(error.to_string()))?;
        // The name is a part of many blob names. 128 random bits cannot be guessed either.
        session.truncate(32);
        let patience_ms = self.suspect_after.as_millis() as u64;
        Ok(Hello { session, address: address.to_owned(), patience_ms, ..self.hello.clone() })
    }

    /// Pings the worker, four times per `suspect_after`, and at once when the roster asks for it.
    async fn heartbeat(&self, address: &str) -> Result<Infallible, Lost> {
        let mut client = self.connect(address).await?;
        let mut ping_requests = self.roster.ping_requests();
        loop {
            let request = *ping_requests.borrow_and_update();
            self.ping(&mut client).await?;
            self.roster.on_pong(address, request);
            let _ = timeout(self.suspect_after / 4, ping_requests.changed()).await;
        }
    }

    /// Waits for one answer. A worker whose state would be lost with it is suspected first: it is
    /// sent nothing new then, and has until `lose_after` to answer.
    async fn ping(&self, client: &mut Client) -> Result<(), Lost> {
        let mut pong = pin!(client.ping(Beat {}));
        if let Ok(pong) = timeout(self.suspect_after / 2, &mut pong).await {
            return Ok(pong.map(drop)?);
        }
        let silent = || Lost::Gone("does not answer".to_owned());
        let (Some(link), Some(lose_after)) = (&self.link, self.lose_after) else { return Err(silent()) };
        link.suspect();
        // The pause before the ping, and the wait until now, are a part of the silence.
        let left = lose_after.saturating_sub(self.suspect_after * 3 / 4);
        timeout(left, pong).await.map_err(|_| silent())??;
        link.trust();
        Ok(())
    }

    /// Begins a session with this call, if the worker welcomes it.
    async fn begin<M: From<Hello>, E: Into<Option<Welcome>>, C>(
        &self,
        address: &str,
        is_welcome: &mut bool,
        call: impl FnOnce(ReceiverStream<M>) -> C,
    ) -> Result<Session<M, E>, Lost>
    where
        C: Future<Output = Result<Response<Streaming<E>>, Status>>,
    {
        let (messages_tx, messages_rx) = mpsc::channel(CHANNEL);
        let hello = self.hello(address)?;
        let location = session_location(&hello);
        let _ = messages_tx.send(hello.into()).await;
        let mut events = call(ReceiverStream::new(messages_rx)).await?.into_inner();
        let Some(credit) = events.message().await?.and_then(Into::into) else {
            return Err(Lost::Refused("does not speak this protocol: it sends no welcome".to_owned()));
        };
        *is_welcome = true;
        let membership = self.roster.enter(location.clone());
        Ok(Session { location, credit, messages_tx, events, _membership: membership })
    }

    /// Exchanges requests for responses, in a stateful session.
    async fn exchange_requests(
        &self,
        link: &Link,
        address: &str,
        is_welcome: &mut bool,
    ) -> Result<Infallible, Lost> {
        let channel = self.channel(address).await?;
        let client = KeeperClient::with_interceptor(channel, AttachToken(self.token.clone()));
        let mut client = client.max_decoding_message_size(MESSAGE);
        let session = self.begin(address, is_welcome, |messages| client.keep(messages)).await?;
        link.exchange(session.credit.bytes as usize, session.messages_tx, session.events).await
    }

    /// Exchanges tasks for outputs.
    async fn exchange_tasks(&self, address: &str, is_welcome: &mut bool) -> Result<Infallible, Lost> {
        let mut client = self.connect(address).await?;
        let Session { location, credit, messages_tx, events, _membership } =
            self.begin(address, is_welcome, |messages| client.serve(messages)).await?;
        let credit = Credit { tasks: credit.tasks as usize, bytes: credit.bytes };
        let consumer = self.queue.join(&location, credit);
        // The address of a local worker process tells the user nothing.
        let prefix = match &self.source {
            WorkerSource::Standing(address) => format!("{}: ", printable(address)),
            WorkerSource::Local(_) => String::new(),
        };
        tokio::select! {
            lost = send_tasks(&consumer, messages_tx) => lost,
            lost = receive_answers(&consumer, &prefix, events) => lost,
        }
    }
}

/// A session that the worker has welcomed.
struct Session<M, E> {
    location: String,
    credit: Welcome,
    messages_tx: mpsc::Sender<M>,
    events: Streaming<E>,
    _membership: MembershipGuard,
}

/// Sends tasks, as the worker's credit allows.
async fn send_tasks(consumer: &Consumer, messages_tx: mpsc::Sender<ToWorker>) -> Result<Infallible, Lost> {
    while let Some(lease) = consumer.lease().await {
        for frame in frames(lease.id, lease.task) {
            if messages_tx.send(Command::Task(frame).into()).await.is_err() {
                break; // `receive_answers` learns the reason
            }
        }
    }
    pending().await
}

/// Receives answers. It never blocks while it takes one. `prefix` names the worker in its reasons.
async fn receive_answers(
    consumer: &Consumer,
    prefix: &str,
    mut events: Streaming<FromWorker>,
) -> Result<Infallible, Lost> {
    let mut reassembler = Reassembler::default();
    while let Some(event) = events.message().await.map_err(Lost::unreadable)? {
        receive(consumer, prefix, &mut reassembler, event).map_err(Lost::Distrusted)?;
    }
    Err(Lost::Gone("ended the session".to_owned()))
}

/// Takes a frame of an answer. An error says what is wrong with it.
fn receive(
    consumer: &Consumer,
    prefix: &str,
    reassembler: &mut Reassembler,
    event: FromWorker,
) -> Result<(), String> {
    let (frame, has_failed) = match event.what {
        Some(Event::Output(frame)) => (frame, false),
        Some(Event::Failure(frame)) => (frame, true),
        Some(Event::Welcome(_)) => return Err("it sends a second welcome".to_owned()),
        None => return Err("it sends an empty message".to_owned()),
    };
    // Checked before memory is allocated for it.
    if !consumer.expects(frame.id) {
        return Err("it answers a task that it was not sent".to_owned());
    }
    if has_failed && frame.size > REASON {
        return Err("it sends a reason of more than 64 KiB".to_owned());
    }
    match reassembler.push(frame).map_err(|status| status.message().to_owned())? {
        Some((id, why)) if has_failed => consumer.failed(id, format!("{prefix}{}", printable(&why))),
        Some((id, output)) => consumer.done(id, output),
        None => Ok(()),
    }
}
