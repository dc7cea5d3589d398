//! One resource: which request to send, and what an answer means.

use std::{
    fs::File,
    ops::ControlFlow::{self, Break, Continue},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use cc_core::failpoint;
use http::{
    HeaderMap, HeaderValue, Request, StatusCode,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, IF_RANGE, RANGE, USER_AGENT},
    response::Parts,
};
use url::Url;

use super::{
    ATTEMPT, Fetched, MAX_REDIRECTS, MAX_WAIT, Output, Settings, Wanted,
    address::{credentials, fetchable, host, parsed, shown, strip},
    attempt::{AttemptId, Attempted, Next},
    backoff,
    body::Body,
    destination::{Arriving, Keep},
    failure::{Failure, TransportError},
    handover::{self, Handover},
    headers::{self, Encoding, Framing},
    request,
};
/// One resource, until it is fetched or has failed. It can be moved between attempts, but not
/// copied.
pub struct Download {
    id: AttemptId,
    url: Url,
    credentials: Option<HeaderValue>,
    /// Whether a redirect has led to another origin.
    is_away: bool,
    /// The URLs of the redirects that led to `url`.
    seen: Vec<Url>,
    failures: u32,
    keep: Keep,
    body: Option<Body>,
    /// The status code of the answer with which the body began.
    status: StatusCode,
    settings: Arc<Settings>,
    deadline: Option<Instant>,
    /// The state of the attempt in flight.
    attempt: Attempt,
}

/// The state of an attempt.
#[derive(Default)]
enum Attempt {
    #[default]
    Requested,
    /// The body is arriving; the framing tells where it ends.
    Answered(Framing),
    /// The answer was a redirect to this URL.
    Redirected(Url),
    /// The attempt has failed. The server may have sent a Retry-After.
    Failed(Failure, Option<Duration>),
}

impl Download {
    pub(super) fn new(
        index: usize,
        wanted: &Wanted,
        settings: &Arc<Settings>,
        deadline: Option<Instant>,
    ) -> Result<Self, Output> {
        let shown = || {
            let url = shown(&wanted.url);
            wanted.line.as_ref().map_or(url.clone(), |line| format!("{line}: {url}"))
        };
        let mut url = parsed(&wanted.url).and_then(fetchable).map_err(|why| {
            let elapsed = Duration::ZERO;
            Output { index, url: shown(), elapsed, outcome: Err(why) }
        })?;
        let credentials = credentials(&url);
        strip(&mut url);
        let id = AttemptId { index, shown: url.to_string(), host: host(&url), began: None };
        Ok(Self {
            id,
            url,
            credentials,
            is_away: false,
            seen: Vec::new(),
            failures: 0,
            keep: Keep::Nowhere,
            body: None,
            status: StatusCode::OK,
            settings: settings.clone(),
            deadline,
            attempt: Attempt::Requested,
        })
    }

    /// The download as plain data, without the part of the body that has arrived.
    #[must_use]
    pub fn hand_over(&self, now: Instant) -> Handover {
        Handover {
            index: self.id.index,
            shown: self.id.shown.clone(),
            url: self.url.clone(),
            credentials: self.credentials.as_ref().map(|value| value.as_bytes().to_vec()),
            is_away: self.is_away,
            seen: self.seen.clone(),
            failures: self.failures,
            keep: self.keep.clone(),
            age: self.id.began.map(|began| now.saturating_duration_since(began)),
            left: self.deadline.map(|deadline| deadline.saturating_duration_since(now)),
        }
    }

    pub(super) fn from_handover(of: Handover, settings: &Arc<Settings>, now: Instant) -> Self {
        let began = of.age.and_then(|age| now.checked_sub(age));
        Self {
            id: AttemptId { index: of.index, shown: of.shown, host: host(&of.url), began },
            url: of.url,
            credentials: of.credentials.as_deref().and_then(handover::header),
            is_away: of.is_away,
            seen: of.seen,
            failures: of.failures,
            keep: of.keep,
            body: None,
            status: StatusCode::OK,
            settings: settings.clone(),
            deadline: of.left.and_then(|left| now.checked_add(left)),
            attempt: Attempt::Requested,
        }
    }

    /// Where the body is saved.
    pub(super) fn keep(&self) -> &Keep {
        &self.keep
    }

    /// Whether the body is saved.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.keep != Keep::Nowhere
    }

    /// A destination for the body, if another process downloads it and sends the bytes here.
    pub fn arriving(&self) -> Result<Arriving, Failure> {
        Arriving::new(&self.keep)
    }

    pub(super) fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Whether a part of the body has arrived.
    pub(super) fn is_begun(&self) -> bool {
        self.body.is_some()
    }

    /// Discards the part of the body that has arrived.
    pub(super) fn start_over(&mut self) {
        self.body = None;
    }

    pub(super) fn keep_at(&mut self, path: PathBuf) {
        self.keep = Keep::At(path);
    }

    /// The host of the next request.
    pub(super) fn host(&self) -> &Arc<str> {
        &self.id.host
    }

    /// The URL of the next request.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The origin of the next request. A connection to it can be used for other requests with the
    /// same origin.
    #[must_use]
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Identifies the download after it was moved away.
    #[must_use]
    pub fn attempt_id(&self) -> AttemptId {
        self.id.clone()
    }

    pub(super) fn begin(&mut self, now: Instant) {
        self.attempt = Attempt::Requested;
        self.id.began.get_or_insert(now);
    }

    /// How long this attempt may take in total.
    #[must_use]
    pub fn time_left(&self, now: Instant) -> Duration {
        let max = self.settings.timeout().saturating_mul(ATTEMPT).min(MAX_WAIT);
        self.deadline.map_or(max, |deadline| max.min(deadline.saturating_duration_since(now)))
    }

    /// The request, with all headers except those that the client adds for the connection.
    ///
    /// # Panics
    ///
    /// If the `http` crate rejects a URL that `fetchable` has accepted.
    #[must_use]
    pub fn request(&self) -> Request<()> {
        failpoint::hit(self.url.as_str().as_bytes(), 0);
        let mut request = Request::get(self.url.as_str()).body(()).expect("a fetchable URL is a valid URI");
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("cc-fetch/", env!("CARGO_PKG_VERSION"))));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        let wants_gzip = self.settings.gzip && !self.is_gzip_name();
        let coding = if wants_gzip { "gzip" } else { "identity" };
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(coding));
        headers.extend(self.credentials.clone().map(|credentials| (AUTHORIZATION, credentials)));
        request::apply(&self.settings.headers, self.is_away, headers);
        if let Some((first, tag)) = self.resumable() {
            headers.insert(
                RANGE,
                HeaderValue::try_from(format!("bytes={first}-")).expect("digits are valid in a header"),
            );
            headers.insert(IF_RANGE, tag.clone());
        }
        request
    }

    /// Whether the resource is named like a gzip file. Its bytes are then gzip, and a server that
    /// calls this their encoding does not mean that they should be unpacked.
    fn is_gzip_name(&self) -> bool {
        let is_gzip = |url: &Url| {
            let path = url.path().to_ascii_lowercase();
            [".gz", ".tgz"].iter().any(|ending| path.ends_with(ending))
        };
        is_gzip(&self.url) || self.seen.first().is_some_and(is_gzip)
    }

    /// The offset from which the body can be resumed, and the version that it must have.
    fn resumable(&self) -> Option<(u64, &HeaderValue)> {
        let body = self.body.as_ref().filter(|body| body.received() > 0)?;
        Some((body.received(), body.tag.as_ref()?))
    }

    /// Takes the head of an answer. `Break` means that the body is not needed.
    pub fn on_head(&mut self, head: &Parts, now: SystemTime) -> ControlFlow<()> {
        self.attempt = self
            .interpret(head)
            .unwrap_or_else(|why| Attempt::Failed(why, headers::retry_after(&head.headers, now)));
        if matches!(self.attempt, Attempt::Answered(_)) { Continue(()) } else { Break(()) }
    }

    fn interpret(&mut self, head: &Parts) -> Result<Attempt, Failure> {
        let framing = headers::framing(head)?;
        match head.status.as_u16() {
            206 if self.resumable().is_some() => self.resume(&head.headers, framing)?,
            206 => self.start_range(head, framing)?,
            200..=299 => self.start(head, framing)?,
            301 | 302 | 303 | 307 | 308 => return self.redirect(&head.headers).map(Attempt::Redirected),
            416 if self.resumable().is_some() => return Err(Failure::WrongPart),
            code => return Err(Failure::Status(code)),
        }
        Ok(Attempt::Answered(framing))
    }

    /// Begins the body from its first byte.
    fn start(&mut self, head: &Parts, framing: Framing) -> Result<(), Failure> {
        // Drop the old body first: otherwise two files would be open.
        self.body = None;
        if let Some(max) = self.settings.max_size
            && framing.length().is_some_and(|length| length > max)
        {
            return Err(Failure::TooLarge { max });
        }
        let is_kept = !self.settings.gzip || self.is_gzip_name() || headers::is_gzip_file(&head.headers);
        let encoding = match headers::encoding(&head.headers) {
            Ok(Encoding::Gzip) if is_kept => Encoding::Identity,
            Err(_) if !self.settings.gzip => Encoding::Identity,
            encoding => encoding?,
        };
        let mut body = Body::begin(encoding, &self.keep, self.settings.max_inflated)?;
        body.limit(self.settings.max_size);
        body.length = framing.length();
        body.tag = headers::strong_tag(&head.headers);
        (self.body, self.status) = (Some(body), head.status);
        Ok(())
    }

    /// Begins a body that comes as a range, though none was requested. It must be all of the body.
    fn start_range(&mut self, head: &Parts, framing: Framing) -> Result<(), Failure> {
        let range = headers::content_range(&head.headers).ok_or(Failure::WrongPart)?;
        let is_framed = framing.length().is_none_or(|length| length == range.length());
        if range.first != 0 || range.total != Some(range.end()) || !is_framed {
            return Err(Failure::WrongPart);
        }
        self.start(head, Framing::Length(range.end()))
    }

    /// Continues the body, if the answer contains exactly the rest of it.
    fn resume(&mut self, headers: &HeaderMap, framing: Framing) -> Result<(), Failure> {
        let asked = self.resumable().map(|(first, tag)| (first, tag.clone()));
        let (Some((first, tag)), Some(body)) = (asked, &mut self.body) else {
            return Err(Failure::WrongPart);
        };
        let range = headers::content_range(headers).ok_or(Failure::WrongPart)?;
        let is_same = headers::strong_tag(headers).is_none_or(|other| other == tag);
        let is_framed = framing.length().is_none_or(|length| length == range.length());
        // The total must be known: with `*`, more parts could follow.
        let (end, known) = (range.end(), body.length.or(range.total));
        let is_all = known == Some(end) && range.total.is_none_or(|total| total == end);
        if range.first != first || !is_same || !is_framed || !is_all {
            return Err(Failure::WrongPart);
        }
        body.length = Some(end);
        Ok(())
    }

    fn redirect(&self, headers: &HeaderMap) -> Result<Url, Failure> {
        let url = headers::location(headers, &self.url).ok_or(Failure::NoLocation)?;
        let url = fetchable(url)?;
        if url == self.url || self.seen.contains(&url) {
            return Err(Failure::RedirectLoop);
        }
        if self.seen.len() >= MAX_REDIRECTS { Err(Failure::TooManyRedirects) } else { Ok(url) }
    }

    /// Takes more bytes of the body. `Break` means that no more of them are needed.
    pub fn on_body(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        let Some(body) = &mut self.body else { return Break(()) };
        failpoint::hit(self.url.as_str().as_bytes(), body.received() + bytes.len() as u64);
        match body.take(bytes) {
            Ok(()) => Continue(()),
            Err(why) => {
                self.attempt = Attempt::Failed(why, None);
                Break(())
            }
        }
    }

    /// Takes an error of the connection.
    pub fn on_error(&mut self, how: TransportError) {
        if how == TransportError::Eof && matches!(self.attempt, Attempt::Answered(Framing::UntilClose)) {
            return;
        }
        let has_head = matches!(self.attempt, Attempt::Answered(_));
        let received = self.body.as_ref().map_or(0, Body::received);
        let why = match how {
            TransportError::Unreachable(why) => Failure::Unreachable(why),
            TransportError::Tls(why) => Failure::Tls(why),
            TransportError::TimedOut => Failure::TimedOut,
            TransportError::Malformed => Failure::Malformed,
            TransportError::Eof | TransportError::Closed if has_head => Failure::Short { received },
            TransportError::Eof | TransportError::Closed => Failure::NoAnswer,
        };
        self.attempt = Attempt::Failed(why, None);
    }

    /// Ends the attempt and returns its result.
    #[must_use]
    pub fn finish(mut self: Box<Self>, now: Instant) -> Attempted {
        let (host, mut file) = (self.host().clone(), None);
        let (held, next) = match std::mem::take(&mut self.attempt) {
            Attempt::Redirected(url) => (None, Next::Retry(self.redirected(url), now)),
            Attempt::Answered(_) => (None, self.ended(now, &mut file)),
            Attempt::Failed(why, wait) => {
                // 429, too many requests: all requests to this host must wait, not only this one.
                let held = wait.filter(|_| why == Failure::Status(429)).map(|wait| now + wait);
                (held, self.failed(why, wait, now))
            }
            Attempt::Requested => (None, self.failed(Failure::NoAnswer, None, now)),
        };
        Attempted { host, held, next, file }
    }

    /// Follows a redirect. Credentials, in the URL or in a header, are not sent to another origin,
    /// nor after a redirect back from it.
    fn redirected(mut self: Box<Self>, url: Url) -> Box<Self> {
        if url.origin() != self.url.origin() {
            self.credentials = None;
            self.is_away = true;
        }
        self.id.host = host(&url);
        self.body = None;
        let from = std::mem::replace(&mut self.url, url);
        self.seen.push(from);
        self
    }

    fn ended(mut self: Box<Self>, now: Instant, file: &mut Option<File>) -> Next {
        let Some(body) = self.body.take_if(|body| body.is_whole()) else {
            let received = self.body.as_ref().map_or(0, Body::received);
            return self.failed(Failure::Short { received }, None, now);
        };
        let outcome = body.finish().map(|(bytes, digest, unnamed)| {
            *file = unnamed;
            Fetched { status: self.status.as_u16(), bytes, digest }
        });
        Next::Done(self.id.output(outcome, now))
    }

    /// Schedules a retry, unless the failure is permanent or there were enough retries.
    fn failed(mut self: Box<Self>, why: Failure, wait: Option<Duration>, now: Instant) -> Next {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return Next::Done(self.id.output(Err(Failure::Deadline), now));
        }
        if !why.is_transient() || self.failures >= self.settings.retries {
            return Next::Done(self.id.output(Err(why), now));
        }
        if self.resumable().is_none() || why == Failure::WrongPart {
            self.body = None;
        }
        self.failures += 1;
        let wait = wait.unwrap_or_else(|| backoff::wait(self.settings.seed, self.id.index, self.failures));
        Next::Retry(self, now + wait)
    }

    /// Fails without another attempt.
    pub(super) fn give_up(self: Box<Self>, why: Failure, now: Instant) -> Output {
        self.id.output(Err(why), now)
    }
}

#[cfg(test)]
pub(super) mod tests;
