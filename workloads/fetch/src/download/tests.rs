use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, LOCATION, RETRY_AFTER,
};
use xxhash_rust::xxh3::xxh3_64;

use super::{super::handover::Returned, *};

fn download(url: &str) -> Box<Download> {
    let settings = Arc::new(Settings { retries: 2, ..Settings::default() });
    let mut download = Download::new(3, &Wanted::new(url), &settings, None).map_err(|output| output.outcome);
    download.as_mut().expect("it is a URL").begin(Instant::now());
    Box::new(download.expect("it is a URL"))
}

fn headers(of: &[(HeaderName, &str)]) -> HeaderMap {
    of.iter()
        .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).expect("it is visible")))
        .collect()
}

/// The head of an answer.
pub(in super::super) fn head(status: u16, headers: HeaderMap) -> Parts {
    let mut head = http::Response::new(()).into_parts().0;
    (head.status, head.headers) = (StatusCode::from_u16(status).expect("it is one"), headers);
    head
}

fn answered(download: &mut Download, status: u16, of: &[(HeaderName, &str)]) -> ControlFlow<()> {
    download.on_head(&head(status, headers(of)), SystemTime::UNIX_EPOCH)
}

/// The next attempt after an answer without a body.
fn after(
    mut download: Box<Download>,
    status: u16,
    of: &[(HeaderName, &str)],
) -> Result<Box<Download>, Failure> {
    assert!(answered(&mut download, status, of).is_break());
    again(download)
}

fn again(download: Box<Download>) -> Result<Box<Download>, Failure> {
    match download.finish(Instant::now()).next {
        Next::Retry(mut download, _) => {
            download.begin(Instant::now());
            Ok(download)
        }
        Next::Done(output) => Err(output.outcome.expect_err("it cannot be there")),
    }
}

fn there(download: Box<Download>) -> Fetched {
    match download.finish(Instant::now()).next {
        Next::Done(output) => output.outcome.expect("it is there"),
        Next::Retry(..) => panic!("it is tried again"),
    }
}

fn asked(download: &Download, name: HeaderName) -> Option<String> {
    let value = download.request().headers().get(name)?.to_str().expect("it is visible").to_owned();
    Some(value)
}

#[test]
fn a_body_is_there_when_it_is_whole() {
    let mut download = download("http://h/a#b");
    assert_eq!(download.request().uri(), "http://h/a");
    assert!(answered(&mut download, 200, &[(CONTENT_LENGTH, "4")]).is_continue());
    assert!(download.on_body(b"ab").is_continue() && download.on_body(b"cd").is_continue());
    assert_eq!(there(download), Fetched { status: 200, bytes: 4, digest: xxh3_64(b"abcd") });
}

/// A download whose body was interrupted after `ab`.
fn broken(tag: &str) -> Box<Download> {
    let mut download = download("http://h/a");
    assert!(answered(&mut download, 200, &[(CONTENT_LENGTH, "4"), (ETAG, tag)]).is_continue());
    assert!(download.on_body(b"ab").is_continue());
    download.on_error(TransportError::Closed);
    again(download).expect("it is worth another try")
}

#[test]
fn the_rest_of_a_body_is_asked_for() {
    let mut download = broken("\"v\"");
    assert_eq!(asked(&download, RANGE).as_deref(), Some("bytes=2-"));
    assert_eq!(asked(&download, IF_RANGE).as_deref(), Some("\"v\""));
    let rest = [(CONTENT_LENGTH, "2"), (CONTENT_RANGE, "bytes 2-3/4"), (ETAG, "\"v\"")];
    assert!(answered(&mut download, 206, &rest).is_continue());
    assert!(download.on_body(b"cd").is_continue());
    assert_eq!(there(download), Fetched { status: 200, bytes: 4, digest: xxh3_64(b"abcd") });
}

#[test]
fn the_whole_of_it_is_taken_if_it_comes_instead() {
    let mut download = broken("\"v\"");
    assert!(answered(&mut download, 200, &[(CONTENT_LENGTH, "3"), (ETAG, "\"w\"")]).is_continue());
    assert!(download.on_body(b"xyz").is_continue());
    assert_eq!(there(download).digest, xxh3_64(b"xyz"));
}

#[test]
fn another_part_is_not_taken_and_not_asked_for_again() {
    let tag = (ETAG, "\"v\"");
    let parts = [
        vec![(CONTENT_RANGE, "bytes 1-3/4"), tag.clone()],
        vec![(CONTENT_RANGE, "bytes 2-4/5"), tag.clone()],
        vec![(CONTENT_RANGE, "bytes 2-3/4"), (ETAG, "\"w\"")],
        vec![tag],
    ];
    for part in parts {
        let next = after(broken("\"v\""), 206, &part).expect("from the start, perhaps");
        assert_eq!(asked(&next, RANGE), None);
    }
    let next = after(broken("\"v\""), 416, &[]).expect("from the start, perhaps");
    assert_eq!(asked(&next, RANGE), None);
}

#[test]
fn without_a_strong_tag_it_begins_again() {
    assert_eq!(asked(&broken("W/\"v\""), RANGE), None);
}

#[test]
fn a_part_that_nobody_asked_for_is_none() {
    let range = [(CONTENT_RANGE, "bytes 1-3/4")];
    let mut failed = after(download("http://h/"), 206, &range);
    for _ in 0..2 {
        failed = failed.and_then(|next| after(next, 206, &range));
    }
    assert_eq!(failed.err(), Some(Failure::WrongPart));
}

#[test]
fn a_part_that_is_all_of_it_is_taken_though_none_was_asked_for() {
    let mut download = download("http://h/");
    assert!(answered(&mut download, 206, &[(CONTENT_RANGE, "bytes 0-3/4")]).is_continue());
    assert!(download.on_body(b"abcd").is_continue());
    assert_eq!(there(download), Fetched { status: 206, bytes: 4, digest: xxh3_64(b"abcd") });
}

#[test]
fn a_gzip_file_is_not_unpacked_and_not_packed_twice() {
    for (url, is_kept) in [("http://h/a.tar.gz", true), ("http://h/A.TGZ?x", true), ("http://h/a", false)] {
        let mut download = download(url);
        let accepted = if is_kept { "identity" } else { "gzip" };
        assert_eq!(asked(&download, ACCEPT_ENCODING).as_deref(), Some(accepted));
        assert!(answered(&mut download, 200, &[(CONTENT_ENCODING, "x-gzip")]).is_continue());
        assert_eq!(download.on_body(b"not unpacked").is_continue(), is_kept);
    }
    let mut typed = download("http://h/a");
    let kind = [(CONTENT_ENCODING, "gzip"), (CONTENT_TYPE, "application/x-gzip")];
    assert!(answered(&mut typed, 200, &kind).is_continue() && typed.on_body(b"not unpacked").is_continue());
    let away = after(download("http://h/a.gz"), 302, &[(LOCATION, "/1234")]).expect("it goes on");
    assert_eq!(asked(&away, ACCEPT_ENCODING).as_deref(), Some("identity"));
}

#[test]
fn redirects_are_followed_without_credentials_and_never_back_with_them() {
    let first = download("http://user:p%40ss@a/1");
    assert_eq!(asked(&first, AUTHORIZATION).as_deref(), Some("Basic dXNlcjpwQHNz"));
    let same = after(first, 302, &[(LOCATION, "/2")]).expect("it goes on");
    assert!(asked(&same, AUTHORIZATION).is_some());
    let other = after(same, 307, &[(LOCATION, "http://x:y@a:81/3")]).expect("it goes on");
    assert_eq!((other.url().as_str(), asked(&other, AUTHORIZATION)), ("http://a:81/3", None));
    let back = after(other, 301, &[(LOCATION, "http://a/4")]).expect("it goes on");
    assert_eq!(asked(&back, AUTHORIZATION), None);
}

#[test]
fn redirects_have_an_end() {
    let to = |location| after(download("http://a/1"), 302, &[(LOCATION, location)]).err();
    assert_eq!(to("/1"), Some(Failure::RedirectLoop));
    assert_eq!(to("gopher://a/"), Some(Failure::Scheme("gopher".to_owned())));
    assert_eq!(to("http://"), Some(Failure::NoLocation));
    assert_eq!(after(download("http://a/1"), 302, &[]).err(), Some(Failure::NoLocation));
    let mut next = Ok(download("http://a/0"));
    for hop in 1..=MAX_REDIRECTS {
        next = next.and_then(|from| after(from, 303, &[(LOCATION, &format!("/{hop}"))]));
    }
    let end = next.and_then(|from| after(from, 303, &[(LOCATION, "/end")]));
    assert_eq!(end.err(), Some(Failure::TooManyRedirects));
}

#[test]
fn too_many_requests_hold_the_host_and_a_busy_resource_itself() {
    for (status, held) in [(429, true), (503, false)] {
        let (mut download, now) = (download("http://a/1"), Instant::now());
        let _ = answered(&mut download, status, &[(RETRY_AFTER, "7")]);
        let attempted = download.finish(now);
        assert_eq!(attempted.held.is_some(), held);
        let Next::Retry(_, time) = attempted.next else { panic!("it is worth another try") };
        assert_eq!(time, now + Duration::from_secs(7));
    }
}

#[test]
fn what_is_hopeless_is_not_tried_again() {
    for status in [304, 400, 404, 501] {
        assert_eq!(after(download("http://a/1"), status, &[]).err(), Some(Failure::Status(status)));
    }
}

#[test]
fn a_url_has_to_be_one() {
    let settings = Arc::default();
    let failed = |url: &str| {
        let wanted = Wanted { url: url.to_owned(), line: Some("list:7".to_owned()) };
        Download::new(0, &wanted, &settings, None).err().map(|output| (output.url, output.outcome))
    };
    let (shown, why) = failed("mailto:a@b").expect("it is none");
    assert_eq!((&*shown, why), ("list:7: ***@b", Err(Failure::Scheme("mailto".to_owned()))));
    assert!(matches!(failed("//h/"), Some((_, Err(Failure::Url(_))))));
}

/// The next attempt can be made elsewhere. The part of the body stays where it arrived.
#[test]
fn handed_over_it_is_the_same_but_for_its_body() {
    let now = Instant::now();
    let mut first = download("http://user:secret@h/a");
    assert!(answered(&mut first, 200, &[(CONTENT_LENGTH, "4"), (ETAG, "\"v\"")]).is_continue());
    assert!(first.on_body(b"ab").is_continue());
    first.on_error(TransportError::Closed);
    let (returned, kept) = first.finish(now).give_back(now);
    let told = postcard::to_stdvec(&returned).expect("it is plain data");
    let returned: Returned = postcard::from_bytes(&told).expect("it is what was told");
    assert!(!format!("{returned:?}").contains("secret"), "a password is shown");
    let kept = kept.filter(|_| returned.is_begun()).expect("there is to be another attempt");
    let Next::Retry(elsewhere, time) = returned.take_back(&kept, now).next else { panic!("it is over") };
    assert!(time > now);
    assert_eq!(asked(&kept, RANGE).as_deref(), Some("bytes=2-"));
    assert_eq!(asked(&elsewhere, RANGE), None);
    assert_eq!(asked(&elsewhere, AUTHORIZATION), asked(&kept, AUTHORIZATION));
    assert_eq!((elsewhere.hand_over(now), elsewhere.failures), (kept.hand_over(now), 1));
}

/// The worker that makes the attempt saves the body under a temporary name.
#[test]
fn a_body_that_a_worker_has_saved_gets_its_name() {
    let (scratch, now) = (tempfile::tempdir().expect("a temporary directory"), Instant::now());
    let path = scratch.path().join("a");
    let mut mine = download("http://h/a");
    mine.keep_at(path.clone());
    let dir = scratch.path().join("elsewhere");
    std::fs::create_dir(&dir).expect("there is none");
    let attempt = || {
        let handover = mine.hand_over(now).into_folder(&dir);
        let mut theirs = handover.take_over(mine.settings(), now);
        assert!(answered(&mut theirs, 200, &[(CONTENT_LENGTH, "2")]).is_continue());
        assert!(theirs.on_body(b"ab").is_continue());
        theirs.finish(now).give_back(now).0
    };
    let returned = attempt();
    assert!(!path.exists());
    let Next::Done(output) = returned.keep(&mine, &dir).take_back(&mine, now).next else { panic!() };
    assert!(output.outcome.is_ok_and(|fetched| fetched.bytes == 2));
    assert_eq!(std::fs::read(&path).expect("it is kept"), b"ab");
    let lost = attempt();
    std::fs::remove_dir_all(&dir).expect("it is there");
    let Next::Done(output) = lost.keep(&mine, &dir).take_back(&mine, now).next else { panic!() };
    assert_eq!(output.outcome, Err(Failure::Keep("No such file or directory".to_owned())));
}

#[test]
fn an_address_has_an_end() {
    let too_long = format!("http://h/{}", "a".repeat(8000));
    let to = [(LOCATION, too_long.as_str())];
    let why = Failure::Url("longer than 8000 bytes".to_owned());
    assert_eq!(after(download("http://h/"), 302, &to).err(), Some(why.clone()));
    let settings = Arc::new(Settings::default());
    let refused = Download::new(0, &Wanted::new(&too_long), &settings, None);
    assert_eq!(refused.err().map(|output| output.outcome), Some(Err(why)));
}
