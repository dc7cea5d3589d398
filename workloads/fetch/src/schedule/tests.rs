use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{TransportError, Wanted, download::tests::head};

fn job(urls: &[&str], concurrency: usize, per_host: usize) -> Job {
    let settings = Settings { concurrency, per_host, retries: 1, ..Settings::default() };
    Job { settings, wanted: urls.iter().copied().map(Wanted::new).collect() }
}

/// Starts all downloads that may start now.
#[expect(clippy::vec_box, reason = "they come in boxes")]
fn started(schedule: &mut Schedule, now: Instant) -> Vec<Box<Download>> {
    let next = || match schedule.poll(now) {
        Action::Start(download) => Some(download),
        _ => None,
    };
    std::iter::from_fn(next).collect()
}

fn hosts(downloads: &[Box<Download>]) -> String {
    downloads.iter().filter_map(|download| download.url().host_str()).collect()
}

/// Ends an attempt without an answer.
fn hung_up(mut download: Box<Download>, now: Instant) -> Attempted {
    download.on_error(TransportError::Closed);
    download.finish(now)
}

fn answered(download: &mut Download, status: u16, headers: http::HeaderMap) {
    let _ = download.on_head(&head(status, headers), std::time::SystemTime::UNIX_EPOCH);
}

/// Ends an attempt with a permanent failure.
fn refused(mut download: Box<Download>, now: Instant) -> Attempted {
    answered(&mut download, 404, http::HeaderMap::new());
    download.finish(now)
}

const URLS: [&str; 6] = ["http://a/1", "http://a/2", "http://a/3", "http://b/1", "http://b/2", "http://c/1"];

#[test]
fn hosts_take_turns_within_their_limits() {
    let now = Instant::now();
    let mut schedule = Schedule::new(&job(&URLS, 10, 2), now);
    let running = started(&mut schedule, now);
    assert_eq!(hosts(&running), "abcab");
    assert!(matches!(schedule.poll(now), Action::Wait(None)));
    for download in running {
        assert!(schedule.complete(refused(download, now)).is_some());
    }
    assert_eq!(hosts(&started(&mut schedule, now)), "a");
}

#[test]
fn no_more_run_than_are_allowed() {
    let now = Instant::now();
    let mut schedule = Schedule::new(&job(&URLS, 4, 10), now);
    let mut running = started(&mut schedule, now);
    assert_eq!(running.len(), 4);
    let ended = running.pop().expect("there are four");
    schedule.complete(refused(ended, now));
    assert_eq!(started(&mut schedule, now).len(), 1);
}

#[test]
fn who_comes_back_later_leaves_the_place_to_others() {
    let now = Instant::now();
    let mut schedule = Schedule::new(&job(&["http://a/1", "http://a/2"], 1, 1), now);
    let first = started(&mut schedule, now).pop().expect("one begins");
    assert!(schedule.complete(hung_up(first, now)).is_none());
    let second = started(&mut schedule, now).pop().expect("there is room");
    assert_eq!(second.url().path(), "/2");
    assert!(schedule.complete(refused(second, now)).is_some());
    let Action::Wait(Some(time)) = schedule.poll(now) else { panic!("the first is to wait") };
    assert!(time <= now + Duration::from_millis(250));
    let first = started(&mut schedule, time).pop().expect("its time has come");
    let output = schedule.complete(hung_up(first, time)).expect("one retry is allowed");
    assert_eq!((output.outcome, output.elapsed), (Err(Failure::NoAnswer), time - now));
    assert!(matches!(schedule.poll(time), Action::Done));
}

#[test]
fn a_host_that_is_held_is_left_alone() {
    let now = Instant::now();
    let mut schedule = Schedule::new(&job(&["http://a/1", "http://a/2", "http://b/1"], 3, 1), now);
    let mut running = started(&mut schedule, now);
    let mut limited = running.remove(0);
    let wait = http::HeaderMap::from_iter([(http::header::RETRY_AFTER, http::HeaderValue::from_static("5"))]);
    answered(&mut limited, 429, wait);
    schedule.complete(limited.finish(now));
    let Action::Wait(Some(time)) = schedule.poll(now) else { panic!("a request to a host that must wait") };
    assert_eq!(time, now + Duration::from_secs(5));
    assert_eq!(hosts(&started(&mut schedule, time)), "a");
}

#[test]
fn what_has_not_begun_by_the_deadline_has_failed() {
    let now = Instant::now();
    let mut job = job(&URLS, 2, 2);
    job.settings.deadline = Some(Duration::from_secs(1));
    let mut schedule = Schedule::new(&job, now);
    let running = started(&mut schedule, now);
    let late = now + Duration::from_secs(1);
    assert!(matches!(schedule.poll(now), Action::Wait(Some(time)) if time == late));
    for _ in 2..URLS.len() {
        let Action::Emit(output) = schedule.poll(late) else { panic!("it is late") };
        assert_eq!(output.outcome, Err(Failure::Deadline));
    }
    assert!(matches!(schedule.poll(late), Action::Wait(None)));
    for download in running {
        assert_eq!(download.time_left(late), Duration::ZERO);
        let output = schedule.complete(hung_up(download, late)).expect("there is no other try");
        assert_eq!(output.outcome, Err(Failure::Deadline));
    }
    assert!(matches!(schedule.poll(late), Action::Done));
}

#[test]
fn what_cannot_begin_has_failed_at_once() {
    let now = Instant::now();
    let mut schedule = Schedule::new(&job(&["nonsense"], 1, 1), now);
    assert!(matches!(schedule.poll(now), Action::Emit(Output { outcome: Err(Failure::Url(_)), .. })));
    assert!(matches!(schedule.poll(now), Action::Done));
}

proptest! {
    /// For all outcomes of attempts, in any order: limits are kept, each download has one output,
    /// and the schedule ends.
    #[test]
    fn limits_are_kept_and_nothing_is_lost(
        wanted in prop::collection::vec((0u8..4, 0u8..3), 0..40),
        concurrency in 1usize..6,
        per_host in 1usize..4,
    ) {
        let urls: Vec<String> = wanted.iter().map(|(host, _)| format!("http://h{host}/")).collect();
        let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
        let mut now = Instant::now();
        let mut schedule = Schedule::new(&job(&urls, concurrency, per_host), now);
        let (mut running, mut outputs) = (Vec::<Box<Download>>::new(), Vec::new());
        loop {
            match schedule.poll(now) {
                Action::Start(download) => running.push(download),
                Action::Emit(output) => outputs.push(output),
                Action::Done => break,
                Action::Wait(until) if running.is_empty() => now = until.expect("there is something to wait for"),
                Action::Wait(_) => {
                    let download = running.swap_remove(outputs.len() % running.len());
                    let fails = wanted[download.attempt_id().index()].1;
                    let attempted = if fails == 0 { refused(download, now) } else { hung_up(download, now) };
                    outputs.extend(schedule.complete(attempted));
                }
            }
            prop_assert!(running.len() <= concurrency);
            for host in 0..4 {
                let name = format!("h{host}");
                let there = running.iter().filter(|download| **download.host() == *name);
                prop_assert!(there.count() <= per_host);
            }
        }
        let mut indices: Vec<usize> = outputs.iter().map(|output| output.index).collect();
        indices.sort_unstable();
        prop_assert_eq!(indices, (0..wanted.len()).collect::<Vec<_>>());
    }
}

/// A schedule that has only some of the hosts accepts downloads, and returns those that are
/// redirected to other hosts.
#[test]
fn what_is_led_to_a_host_of_others_is_let_go() {
    let now = Instant::now();
    let mut schedule = Schedule::new(&job(&[], 9, 9), now);
    assert!(matches!(schedule.poll(now), Action::Done));
    schedule.limit(1);
    let all = job(&["http://a/", "http://a/b"], 9, 9).downloads(now);
    all.into_iter().for_each(|download| schedule.push(download.expect("it is a URL")));
    let mut first = started(&mut schedule, now);
    assert_eq!(hosts(&first), "a");
    let mut download = first.pop().expect("there is one");
    let to = "http://b/".parse().expect("it is visible");
    let headers = [(http::header::LOCATION, to)].into_iter().collect();
    answered(&mut download, 302, headers);
    let left = schedule.complete_or_abandon(download.finish(now), |host| host == "a");
    assert_eq!(left.err().map(|download| download.url().to_string()).as_deref(), Some("http://b/"));
    let mut second = started(&mut schedule, now);
    let last =
        schedule.complete_or_abandon(refused(second.pop().expect("there is room"), now), |host| host == "a");
    assert!(last.is_ok_and(|output| output.is_some_and(|output| output.index == 1)));
    assert!(matches!(schedule.poll(now), Action::Done));
}

/// Ends an attempt after a part of the body has arrived.
fn broken(mut download: Box<Download>, now: Instant) -> Attempted {
    let headers = [(http::header::CONTENT_LENGTH, "9"), (http::header::ETAG, "\"v\"")];
    let headers = headers.map(|(name, value)| (name, http::HeaderValue::from_static(value)));
    answered(&mut download, 200, headers.into_iter().collect());
    assert!(download.on_body(b"ab").is_continue());
    hung_up(download, now)
}

/// If many bodies are interrupted, only a few keep a file open while they wait. When these have
/// continued, others may.
#[test]
fn few_bodies_that_broke_off_are_kept_while_they_wait() {
    let now = Instant::now();
    let urls: Vec<String> = (0..3 * PARKED).map(|number| format!("http://a/{number}")).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let mut schedule = Schedule::new(&job(&urls, urls.len(), urls.len()), now);
    for download in started(&mut schedule, now) {
        assert!(schedule.complete(broken(download, now)).is_none());
    }
    let later = now + Duration::from_secs(60);
    let again = started(&mut schedule, later);
    assert_eq!(again.iter().filter(|download| download.is_begun()).count(), PARKED);
    assert_eq!((again.len(), schedule.parked), (urls.len(), 0));
}
