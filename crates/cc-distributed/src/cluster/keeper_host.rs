//! The worker's side of a session that keeps something: state that belongs to the session, and is
//! gone with it.
//!
//! What is kept has a thread of its own, which no other thread reaches: there is nothing to lock,
//! and a question that takes long keeps no ping from being answered. Questions are never kept
//! waiting on the connection, however long their answers may take: the credit that the session is
//! granted is the room there is for them.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

use cc_workloads::{Result, error::panic_reason};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{
    acceptor::Peer,
    admission::Sessions,
    keeper::{Answers, Keeper, Waker},
    status::{next, tell_end, why},
    wire::{
        AHEAD, Assembly, LEAST, batches,
        pb::{
            self, FromKeeper, Hello, ToKeeper, Welcome, from_keeper::What as Answer, to_keeper::What as Order,
        },
    },
    worker::{Role, Service},
};

/// Bytes granted. A question counts as [`LEAST`] at least, so there are never more than a few
/// thousand.
const BYTES: usize = 8 << 20;

/// As many questions as the credit allows, and one for each that needs none, since it ends an
/// earlier one.
const QUESTIONS: usize = 2 * BYTES / LEAST;

/// Bytes of answers that are told before the next question is taken.
const AT_ONCE: usize = 1 << 20;

/// The sessions of a worker that keep something.
pub(super) struct KeeperHost {
    pub(super) services: &'static [Service],
    /// Whether this worker was started to send requests.
    pub(super) requests: bool,
    pub(super) sessions: Sessions,
}

#[tonic::async_trait]
impl pb::keeper_server::Keeper for KeeperHost {
    type KeepStream = ReceiverStream<Result<FromKeeper, Status>>;

    async fn keep(
        &self,
        request: Request<Streaming<ToKeeper>>,
    ) -> Result<Response<Self::KeepStream>, Status> {
        let peer = Peer::of(&request);
        let mut messages = request.into_inner();
        let Some(ToKeeper { what: Some(Order::Hello(hello)) }) = messages.message().await? else {
            return Err(Status::invalid_argument("a session begins with a hello"));
        };
        let ((questions, inbox), (answers, stream)) = (bounded(QUESTIONS), mpsc::channel(AHEAD));
        let questions = Arc::new(questions);
        let waker = Waker::new(&questions);
        let permit = self.sessions.admit()?;
        let keeper = self.open(&hello, waker)?;
        let welcome = Welcome { tasks: (BYTES / LEAST) as u32, bytes: BYTES as u64 };
        let _ = answers.send(Ok(Answer::Welcome(welcome).into())).await;
        let thread_answers = answers.clone();
        let keep = move || {
            keep(keeper, &inbox, &thread_answers);
            // What was kept is gone only now, and with it the thread.
            drop(permit);
        };
        thread::Builder::new().name("keeper".to_owned()).spawn(keep)?;
        let workload = hello.workload;
        peer.report(format_args!("session of {workload} has begun"));
        tokio::spawn(async move {
            let ended = take_in(messages, &questions).await;
            drop(questions);
            peer.report(format_args!("session of {workload} has ended: {}", why(&ended)));
            tell_end(ended, &answers).await;
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

impl KeeperHost {
    fn open(&self, hello: &Hello, waker: Waker) -> Result<Box<dyn Keeper>, Status> {
        let (open, requests) = Service::find(self.services, hello, |role| match role {
            Role::Keeper { open, requests } => Some((*open, *requests)),
            Role::Tasks(_) => None,
        })?;
        if requests && !self.requests {
            let why = format!("started without --requests, so no {} here", hello.workload);
            return Err(Status::failed_precondition(why));
        }
        open(&hello.job, waker).map_err(|error| Status::failed_precondition(error.to_string()))
    }
}

/// Takes questions off the connection until the coordinator has no more, or has gone. It never
/// waits for their answers. Returns why it ended.
async fn take_in(mut messages: Streaming<ToKeeper>, questions: &Sender<Answers>) -> Result<String, Status> {
    let mut assembly = Assembly::default();
    loop {
        let message = match next(&mut messages).await {
            Ok(message) => message,
            Err(ended) => return Ok(ended),
        };
        let Some(Order::Questions(batch)) = message.what else {
            return Err(Status::invalid_argument("a session is hello, then questions"));
        };
        let whole = assembly.whole(batch)?;
        match questions.try_send(whole) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                return Err(Status::resource_exhausted("more questions than credit"));
            }
            Err(TrySendError::Disconnected(_)) => return Ok("what was kept is lost".to_owned()),
        }
    }
}

/// Keeps what is kept until the session ends, or it is lost.
fn keep(
    mut keeper: Box<dyn Keeper>,
    inbox: &Receiver<Answers>,
    answers: &mpsc::Sender<Result<FromKeeper, Status>>,
) {
    let told = catch_unwind(AssertUnwindSafe(|| converse(&mut *keeper, inbox, answers)));
    if let Err(why) = told.unwrap_or_else(|panic| Err(panic_reason(&*panic))) {
        // The receiver is gone if the session has ended.
        let _ = answers.blocking_send(Err(Status::aborted(why)));
    }
}

fn converse(
    keeper: &mut dyn Keeper,
    inbox: &Receiver<Answers>,
    out: &mpsc::Sender<Result<FromKeeper, Status>>,
) -> Result<(), String> {
    let mut answers = Answers::new();
    loop {
        let patience = keeper.tend(&mut answers);
        if !tell(&mut answers, out) {
            return Ok(());
        }
        let first = match patience {
            Some(patience) => inbox.recv_timeout(patience),
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match first {
            Ok(questions) => {
                if !take(keeper, questions, &mut answers, out)? {
                    return Ok(());
                }
            }
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        if !tell(&mut answers, out) {
            return Ok(());
        }
    }
}

/// Sends answers. Whether there is a receiver.
fn tell(answers: &mut Answers, out: &mpsc::Sender<Result<FromKeeper, Status>>) -> bool {
    batches(answers.drain(..)).all(|batch| out.blocking_send(Ok(Answer::Answers(batch).into())).is_ok())
}

/// Takes questions, and tells the answers whenever they have become many bytes: small questions may
/// have large answers. Whether there is a receiver.
fn take(
    keeper: &mut dyn Keeper,
    questions: Answers,
    answers: &mut Answers,
    out: &mpsc::Sender<Result<FromKeeper, Status>>,
) -> Result<bool, String> {
    let mut bytes = 0;
    for (number, question) in questions {
        let told = answers.len();
        keeper.take(number, &question, answers)?;
        bytes += answers[told..].iter().map(|(_, answer)| answer.len()).sum::<usize>();
        if bytes >= AT_ONCE {
            bytes = 0;
            if !tell(answers, out) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use prost::bytes::Bytes;

    use super::*;

    /// Answers each question with so many bytes, and counts them.
    struct Copies(usize, Arc<AtomicUsize>);

    impl Keeper for Copies {
        fn take(&mut self, number: u64, _: &[u8], answers: &mut Answers) -> Result<(), String> {
            self.1.fetch_add(1, Ordering::SeqCst);
            answers.push((number, vec![7; self.0].into()));
            Ok(())
        }

        fn tend(&mut self, _: &mut Answers) -> Option<Duration> {
            None
        }
    }

    #[test]
    fn large_answers_are_not_made_before_the_earlier_ones_are_taken() {
        const QUESTIONS: u64 = 64;
        let ((questions, inbox), (out, told)) = (bounded(1), mpsc::channel(AHEAD));
        let taken = Arc::new(AtomicUsize::new(0));
        let mut keeper = Copies(AT_ONCE, taken.clone());
        questions.send((0..QUESTIONS).map(|number| (number, Bytes::new())).collect()).unwrap();
        drop(questions);
        thread::scope(|scope| {
            scope.spawn(move || converse(&mut keeper, &inbox, &out));
            // Dropped by a panic here, which ends the thread.
            let (mut told, mut received) = (told, 0);
            while let Some(message) = told.blocking_recv() {
                // One is being told, and the messages ahead are less than one.
                let taken = taken.load(Ordering::SeqCst);
                let Some(Answer::Answers(batch)) = message.unwrap().what else { panic!("answers") };
                received += batch.frames.iter().map(|frame| frame.data.len()).sum::<usize>();
                assert!(taken <= received / AT_ONCE + AHEAD + 2, "{taken} taken, {received} bytes received");
            }
            assert_eq!((received, taken.load(Ordering::SeqCst)), (64 * AT_ONCE, 64));
        });
    }
}
