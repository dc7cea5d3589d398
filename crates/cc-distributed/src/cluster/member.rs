//! The coordinator's view of one worker.
//!
//! A *session* is one connection with the job's tasks and outputs, and a second one for the
//! heartbeat: a ping must not wait behind a mebibyte of tasks. A session that ends, for whatever
//! reason, is over for good. The worker's leases are given up, its connection is closed so that
//! nothing late can arrive, and a new session is tried: that is how a worker that was suspected
//! wrongly, or joins late, comes (back) to work.
//!
//! A stream that stalls would do worse than wait: it would hold the connection's flow-control
//! window, and cancelling it gives nothing back. So none ever does. The worker's credit is the room
//! it has for tasks, so it always reads; what it sends is taken into the queue at once, which the
//! job's window bounds.

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
    location::place_of,
    lost::Lost,
    queue::{Credit, Queue, Seat},
    roster::{self, Roster},
    runtime::resolve,
    token::{self, Present, Token},
    wire::{
        AHEAD, Assembly, MESSAGE, frames,
        pb::{
            Beat, FromWorker, Hello, ToWorker, Welcome, from_worker::What as Answer,
            keeper_client::KeeperClient, to_worker::What as Order, worker_client::WorkerClient,
        },
    },
};

/// The pause after a session; it doubles while the worker does not come back.
const PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Bytes of the reason that a worker gives for a failure, at most: it is a line of a message.
const REASON: u64 = 64 << 10;

/// One worker of the cluster.
pub(super) struct Member {
    pub(super) place: Place,
    pub(super) token: Option<Token>,
    /// What is the same in every session.
    pub(super) hello: Hello,
    pub(super) queue: Queue,
    /// What sessions are for: to keep something, or if there is none, to do tasks.
    pub(super) link: Option<Link>,
    pub(super) roster: Roster,
    /// A silent worker is suspected within this time, and lost at once, unless it keeps something.
    pub(super) suspect_after: Duration,
    /// When a silent worker is lost with what it keeps, if that cannot be had again.
    pub(super) lose_after: Option<Duration>,
}

/// Where the worker is.
pub(super) enum Place {
    /// It stands at this address.
    At(String),
    /// In a process that is started for each session.
    Own(WorkerSpec),
}

type Client = WorkerClient<InterceptedService<Channel, Present>>;

impl Member {
    /// Keeps the worker at work until the queue is closed.
    pub(super) async fn keep(self) {
        let (mut pause, mut refusal) = (PAUSE, None);
        loop {
            let mut welcome = false;
            let lost = match &self.place {
                Place::At(address) => self.until_closed(self.session(address, &mut welcome)).await,
                Place::Own(spec) => self.own_session(spec, &mut welcome).await,
            };
            let Some(lost) = lost else { return };
            self.link.iter().for_each(Link::is_down);
            if let Lost::Distrusted(why) = &lost {
                self.say_distrusted(why);
                return self.roster.left(&self.name(), lost);
            }
            if welcome && self.link.is_some() {
                self.say_lost(&lost);
            }
            self.say(&lost, &mut refusal);
            self.roster.left(&self.name(), lost);
            pause = if welcome { PAUSE } else { LONGEST_PAUSE.min(pause * 2) };
            if self.until_closed(sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Names a node that is lost with its data, while the others serve on.
    fn say_lost(&self, lost: &Lost) {
        let (Lost::Gone(why) | Lost::Refused(why) | Lost::NotStarted(why) | Lost::Distrusted(why)) = lost;
        let (workload, name, why) = (&self.hello.workload, self.name(), printable(why));
        // A closed standard error is no reason to end the run.
        let _ = stdio::say(&format!("{workload}: {}: lost, with what it held: {why}\n", printable(&name)));
    }

    /// Names a worker that refuses to work while others do, once for each reason: the run goes on,
    /// and nothing else would tell that this one is missing.
    fn say(&self, lost: &Lost, refusal: &mut Option<String>) {
        let Lost::Refused(why) = lost else {
            *refusal = None;
            return;
        };
        if self.roster.has_begun() && refusal.as_ref() != Some(why) {
            // A closed standard error is no reason to end the run.
            let _ = stdio::say(&format!("{}: {}: {why}\n", self.hello.workload, printable(&self.name())));
            *refusal = Some(why.clone());
        }
    }

    /// Names a worker that is at work no more while others are: nothing else would tell.
    fn say_distrusted(&self, why: &str) {
        let (workload, name) = (&self.hello.workload, self.name());
        let name = printable(&name);
        // A closed standard error is no reason to end the run.
        let _ = stdio::say(&format!("{workload}: {name}: gets no more tasks: answered wrongly: {why}\n"));
    }

    fn name(&self) -> String {
        match &self.place {
            Place::At(address) => address.clone(),
            Place::Own { .. } => "worker process".to_owned(),
        }
    }

    async fn until_closed<T>(&self, what: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.queue.closed() => None,
            done = what => Some(done),
        }
    }

    /// A session with a new process, which ends with it.
    async fn own_session(&self, spec: &WorkerSpec, welcome: &mut bool) -> Option<Lost> {
        let mut process = match Process::start(spec) {
            Ok(process) => process,
            Err(error) => return Some(Lost::NotStarted(reason(&error))),
        };
        let session = async {
            let token = self.token.as_ref().expect("a local cluster has a token");
            match process.greet(token).await {
                Ok(address) => self.session(&address, welcome).await,
                Err(error) => Lost::NotStarted(reason(&error)),
            }
        };
        let lost = self.until_closed(session).await;
        process.end().await;
        lost.map(|lost| match lost {
            // What it lacks it needs for a session: a thread, or descriptors.
            Lost::Gone(why) if !*welcome => Lost::NotStarted(why),
            lost => lost,
        })
    }

    /// Works with the worker until it is lost.
    async fn session(&self, address: &str, welcome: &mut bool) -> Lost {
        let lost = tokio::select! {
            lost = self.heartbeat(address) => lost,
            lost = self.work(address, welcome) => lost,
        };
        match lost {
            Err(lost) => lost,
            Ok(never) => match never {},
        }
    }

    async fn work(&self, address: &str, welcome: &mut bool) -> Result<Infallible, Lost> {
        match &self.link {
            Some(link) => self.ask(link, address, welcome).await,
            None => self.exchange(address, welcome).await,
        }
    }

    async fn connect(&self, address: &str) -> Result<Client, Lost> {
        let client =
            WorkerClient::with_interceptor(self.channel(address).await?, Present(self.token.clone()));
        Ok(client.max_decoding_message_size(MESSAGE))
    }

    /// A connection to the first of its addresses that accepts one.
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
        let silence = self.lose_after.unwrap_or_default().max(self.suspect_after) * 4;
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .connect_timeout(self.suspect_after / 2)
            .tcp_nodelay(true)
            // The heartbeat is quicker. This one closes what a session has left behind.
            .http2_keep_alive_interval(silence)
            .keep_alive_timeout(silence);
        Ok(endpoint)
    }

    /// The greeting for a new session.
    fn hello(&self, address: &str) -> Result<Hello, Lost> {
        let mut session = token::random().map_err(|error| Lost::Gone(error.to_string()))?;
        // It is a part of many names, and half as long it cannot be guessed either.
        session.truncate(32);
        let patience_ms = self.suspect_after.as_millis() as u64;
        Ok(Hello { session, address: address.to_owned(), patience_ms, ..self.hello.clone() })
    }

    /// Asks for a sign of life, so often that silence is noticed in time, and whenever something
    /// depends on the answer.
    async fn heartbeat(&self, address: &str) -> Result<Infallible, Lost> {
        let mut client = self.connect(address).await?;
        let mut prompts = self.roster.prompts();
        loop {
            let prompt = *prompts.borrow_and_update();
            self.ping(&mut client).await?;
            self.roster.heard(address, prompt);
            let _ = timeout(self.suspect_after / 4, prompts.changed()).await;
        }
    }

    /// Waits for one sign of life. A worker whose data would be lost with it is suspected first:
    /// nothing is asked of it then, and it has until `lose_after` to answer.
    async fn ping(&self, client: &mut Client) -> Result<(), Lost> {
        let mut answer = pin!(client.ping(Beat {}));
        if let Ok(answer) = timeout(self.suspect_after / 2, &mut answer).await {
            return Ok(answer.map(drop)?);
        }
        let silent = || Lost::Gone("does not answer".to_owned());
        let (Some(link), Some(lose_after)) = (&self.link, self.lose_after) else { return Err(silent()) };
        link.suspect();
        // The pause before the ping, and the wait until now, are a part of the silence.
        let left = lose_after.saturating_sub(self.suspect_after * 3 / 4);
        timeout(left, answer).await.map_err(|_| silent())??;
        link.trust();
        Ok(())
    }

    /// Begins a session with this call, if the worker welcomes it.
    async fn begin<M: From<Hello>, A: Into<Option<Welcome>>, C>(
        &self,
        address: &str,
        welcome: &mut bool,
        call: impl FnOnce(ReceiverStream<M>) -> C,
    ) -> Result<Session<M, A>, Lost>
    where
        C: Future<Output = Result<Response<Streaming<A>>, Status>>,
    {
        let (messages, requests) = mpsc::channel(AHEAD);
        let hello = self.hello(address)?;
        let place = place_of(&hello);
        let _ = messages.send(hello.into()).await;
        let mut answers = call(ReceiverStream::new(requests)).await?.into_inner();
        let Some(credit) = answers.message().await?.and_then(Into::into) else {
            return Err(Lost::Refused("does not speak our protocol".to_owned()));
        };
        *welcome = true;
        let present = self.roster.entered(place.clone());
        Ok(Session { place, credit, messages, answers, _present: present })
    }

    /// Has the worker keep something, and asks it.
    async fn ask(&self, link: &Link, address: &str, welcome: &mut bool) -> Result<Infallible, Lost> {
        let client =
            KeeperClient::with_interceptor(self.channel(address).await?, Present(self.token.clone()));
        let mut client = client.max_decoding_message_size(MESSAGE);
        let session = self.begin(address, welcome, |requests| client.keep(requests)).await?;
        link.exchange(session.credit.bytes as usize, session.messages, session.answers).await
    }

    /// Exchanges tasks for outputs.
    async fn exchange(&self, address: &str, welcome: &mut bool) -> Result<Infallible, Lost> {
        let mut client = self.connect(address).await?;
        let Session { place, credit, messages, answers, _present } =
            self.begin(address, welcome, |requests| client.serve(requests)).await?;
        let seat = self.queue.join(&place, Credit { tasks: credit.tasks as usize, bytes: credit.bytes });
        // A process of the run's own has no name that tells the user anything.
        let speaker = match &self.place {
            Place::At(address) => format!("{}: ", printable(address)),
            Place::Own(_) => String::new(),
        };
        tokio::select! {
            lost = hand_out(&seat, messages) => lost,
            lost = take_in(&seat, &speaker, answers) => lost,
        }
    }
}

/// A session that the worker has welcomed.
struct Session<M, A> {
    place: String,
    credit: Welcome,
    messages: mpsc::Sender<M>,
    answers: Streaming<A>,
    _present: roster::Present,
}

/// Sends the tasks that the worker's credit has room for.
async fn hand_out(seat: &Seat, messages: mpsc::Sender<ToWorker>) -> Result<Infallible, Lost> {
    while let Some(lease) = seat.lease().await {
        for frame in frames(lease.id, lease.task) {
            if messages.send(Order::Task(frame).into()).await.is_err() {
                break; // `take_in` learns why
            }
        }
    }
    pending().await
}

/// Takes the outputs, and never waits with them. What the worker says begins with `speaker`.
async fn take_in(seat: &Seat, speaker: &str, mut answers: Streaming<FromWorker>) -> Result<Infallible, Lost> {
    let mut assembly = Assembly::default();
    while let Some(answer) = answers.message().await.map_err(Lost::unreadable)? {
        take(seat, speaker, &mut assembly, answer).map_err(Lost::Distrusted)?;
    }
    Err(Lost::Gone("ended the session".to_owned()))
}

/// Takes a part of an output, or what is wrong with it.
fn take(seat: &Seat, speaker: &str, assembly: &mut Assembly, answer: FromWorker) -> Result<(), String> {
    let (frame, failed) = match answer.what {
        Some(Answer::Output(frame)) => (frame, false),
        Some(Answer::Failure(frame)) => (frame, true),
        Some(Answer::Welcome(_)) | None => return Err("it does not speak our protocol".to_owned()),
    };
    // Before any memory is taken for it.
    if !seat.expects(frame.id) {
        return Err("it answers a task that it does not have".to_owned());
    }
    if failed && frame.size > REASON {
        return Err("it gives a reason that is too long".to_owned());
    }
    match assembly.push(frame).map_err(|status| status.message().to_owned())? {
        Some((id, why)) if failed => seat.failed(id, format!("{speaker}{}", printable(&why))),
        Some((id, output)) => seat.done(id, output),
        None => Ok(()),
    }
}
