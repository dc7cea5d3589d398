//! Lesson 4 of 4: a producer that is faster than its consumer, and a bounded queue between them.
//!
//! `produce` makes limits without end. The queue has room for three, and `send` waits while the
//! queue is full. This slows the producer down to the pace of the consumer (*backpressure*), so
//! memory use does not grow. A producer that waits holds no thread, so there could be a thousand of
//! them. The consumer also ends the run: when it has found what it looks for, it drops its end of
//! the queue, and `send` returns an error. No flag is needed.
//!
//! What to see: however fast the producer is, at most three limits wait in the queue. Two more
//! exist: the one that the consumer works on, and the one that the producer tries to send.

use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::spawn_blocking,
};

const BOUND: usize = 3;
const STEP: u32 = 10_000;
const ENOUGH: usize = 10_000;

#[tokio::main]
async fn main() {
    let (tasks_tx, tasks_rx) = mpsc::channel(BOUND);
    let producer = tokio::spawn(produce(tasks_tx));
    let found = consume(tasks_rx).await;
    producer.await.expect("`produce` does not panic");
    println!("{found} has enough");
    assert_eq!(found, 110_000);
}

/// Sends one limit after the other, until the receiver is dropped.
async fn produce(tasks_tx: Sender<u32>) {
    for n in 1.. {
        if tasks_tx.send(n * STEP).await.is_err() {
            break;
        }
    }
}

/// Finds the first limit with enough primes below it. Takes the receiver by value, so that the
/// queue closes when this function returns; otherwise the producer would wait in `send` forever.
async fn consume(mut tasks_rx: Receiver<u32>) -> u32 {
    loop {
        let limit = tasks_rx.recv().await.expect("the producer ends only after the receiver is dropped");
        let counted = spawn_blocking(move || primes_below(limit));
        let primes = counted.await.expect("`primes_below` does not panic");
        let waiting = tasks_rx.len();
        println!("{primes:6} primes below {limit}, {waiting} waiting");
        assert!(waiting <= BOUND);
        if primes >= ENOUGH {
            return limit;
        }
    }
}

/// The work of all lessons: a pure function, slow enough to be worth running concurrently.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}
