//! Input of `fetch`: a list of URLs.

use std::{collections::HashSet, path::Path, sync::Arc, time::Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use cc_workloads::fetch::{self, Download, Failure, Handover, Job, Output, Settings, Wanted};
use http::header::AUTHORIZATION;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use url::Url;

/// Maximum length of a URL that is fetched.
const LONGEST: usize = 8000;
/// Maximum number of lines of an input.
const LINES: usize = 40;
/// A password that must not be shown.
const PASSWORD: &str = "0hunter2";

/// Takes bytes as a list of URLs.
///
/// - Each line that is neither empty nor a comment is one resource, numbered in order. A byte order
///   mark at the start belongs to no line.
/// - Only http and https are fetched. A request can be made, has the URL's credentials in a header,
///   and has them nowhere else.
/// - A refused URL is shown without a password.
/// - Bodies have different file names, all in the output directory.
/// - A download that is handed over to another process stays the same.
pub fn urls(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let text: String = text.split_inclusive('\n').take(LINES).collect();
    let wanted = fetch::cli::lines(&text, Path::new("list"));
    let without_mark = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let listed = without_mark.split('\n').enumerate().filter(|(_, line)| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#')
    });
    let listed: Vec<Wanted> = listed
        .map(|(nth, line)| Wanted { url: line.trim().to_owned(), line: Some(format!("list:{}", nth + 1)) })
        .collect();
    assert_eq!(wanted, listed);

    let settings = Settings { out: Some("/kept".into()), ..Settings::default() };
    let job = Job { settings, wanted };
    let (now, mut names) = (Instant::now(), HashSet::new());
    for (nth, download) in job.downloads(now).into_iter().enumerate() {
        let wanted = &job.wanted[nth];
        match download {
            Ok(download) => {
                fetched(&download, &wanted.url);
                let handover = handed_over(&job, &download, now);
                assert!(names.insert(name(&handover).to_lowercase()), "no name is given twice");
            }
            Err(output) => refused(&output, nth, wanted),
        }
        no_password_is_shown(&wanted.url);
    }
}

fn fetched(download: &Download, text: &str) {
    let (url, request) = (download.url(), download.request());
    assert!(matches!(url.scheme(), "http" | "https") && url.as_str().len() <= LONGEST);
    assert_eq!((url.username(), url.password(), url.fragment()), ("", None, None));
    let uri = request.uri();
    let authority = uri.authority().expect("it has a host").as_str();
    assert!(uri.host().is_some_and(|host| !host.is_empty()) && !authority.contains('@'));
    let given = Url::parse(text).expect("it was found to be one");
    let decoded = |text| percent_decode_str(text).collect::<Vec<u8>>();
    let expected = (!given.username().is_empty() || given.password().is_some()).then(|| {
        let pair = [decoded(given.username()), decoded(given.password().unwrap_or_default())].join(&b':');
        format!("Basic {}", BASE64_STANDARD.encode(pair))
    });
    let said = request.headers().get(AUTHORIZATION).map(|value| value.to_str().expect("it is ASCII"));
    assert_eq!(said, expected.as_deref());
    for (name, value) in request.headers() {
        assert!(name == AUTHORIZATION || value.to_str().is_ok_and(|value| !value.contains('@')));
    }
}

/// Hands a download over as to another process, where it must be the same.
fn handed_over(job: &Job, download: &Download, now: Instant) -> Handover {
    let handover = download.hand_over(now);
    let bytes = postcard::to_allocvec(&handover).expect("plain data serializes");
    let received: Handover = postcard::from_bytes(&bytes).expect("it was serialized");
    assert_eq!(received, handover);
    let settings = Arc::new(job.settings.clone());
    let taken_over = received.take_over(&settings, now);
    assert_eq!(taken_over.hand_over(now), handover);
    assert_eq!(taken_over.request().headers(), download.request().headers());
    handover
}

/// The file name of the body, which is in the output directory.
fn name(handover: &Handover) -> String {
    let json = serde_json::to_value(handover).expect("names are UTF-8 here");
    let path = json.pointer("/keep/At").and_then(Value::as_str).expect("bodies are kept");
    let name = path.strip_prefix("/kept/").expect("it is in the folder");
    assert!(!name.is_empty() && name.len() < 255 && !name.starts_with(['.', '-', ' ']), "{name:?}");
    assert!(!name.contains(['/', '\\', ':', '\0']) && !name.contains(char::is_control), "{name:?}");
    name.to_owned()
}

fn refused(output: &Output, nth: usize, wanted: &Wanted) {
    let Err(why) = &output.outcome else { panic!("it is refused") };
    assert!(matches!(why, Failure::Url(_) | Failure::Scheme(_)), "{why:?}");
    assert_eq!(output.index, nth);
    let line = wanted.line.as_deref().expect("it comes from a list");
    let shown = output.url.strip_prefix(line).and_then(|shown| shown.strip_prefix(": "));
    if let Ok(url) = Url::parse(shown.expect("it says where it is from"))
        && url.has_host()
    {
        // Credentials that may be in the text are replaced by stars.
        assert!(matches!((url.username(), url.password()), ("" | "***", None)), "{url}");
    }
}

/// Inserts a password before the last `@` of a text that may be a URL, as a typing error does.
fn no_password_is_shown(text: &str) {
    // A scheme is shown in lower case.
    let is_there = text.to_ascii_lowercase().contains(PASSWORD);
    let Some(at) = text.rfind('@').filter(|_| !is_there) else { return };
    let text = format!("{}{PASSWORD}{}", &text[..at], &text[at..]);
    let has_host = |url: &Url| url.host_str().is_some_and(|host| !host.is_empty());
    match Url::parse(&text) {
        // Here it is a part of the path, not a password.
        Ok(url) if has_host(&url) && !is_password(&url) => return,
        _ => {}
    }
    let job = Job { wanted: vec![Wanted::new(&text)], ..Job::default() };
    let mut downloads = job.downloads(Instant::now()).into_iter();
    let shown = match downloads.next().expect("there is one") {
        Ok(download) => download.url().to_string(),
        Err(output) => format!("{} {}", output.url, output.outcome.expect_err("it is refused")),
    };
    assert!(!shown.contains(PASSWORD), "{text} is shown as {shown}");
}

fn is_password(url: &Url) -> bool {
    let credentials = [url.username(), url.password().unwrap_or_default()];
    credentials.iter().any(|text| text.ends_with(PASSWORD))
}
