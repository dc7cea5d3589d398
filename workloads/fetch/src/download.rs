//! One resource's way: what to ask, and what an answer means.

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
    ATTEMPT, Fetched, LONGEST_WAIT, MAX_REDIRECTS, Output, Settings, Wanted,
    address::{credentials, fetchable, host, shown, strip},
    attempt::{Attempted, Next, Ticket},
    backoff,
    body::Body,
    failure::{Failure, Trouble},
    handover::{self, Handover},
    headers::{self, Framing},
    place::{Arriving, Keep},
};
/// One resource, from when it is wanted until it is there or has failed. It may be moved between attempts, not copied.
pub struct Download {
    ticket: Ticket,
    url: Url,
    credentials: Option<HeaderValue>,
    /// The addresses of the redirects that led here.
    seen: Vec<Url>,
    failures: u32,
    keep: Keep,
    body: Option<Body>,
    /// That of the answer with which the body began.
    status: StatusCode,
    settings: Arc<Settings>,
    deadline: Option<Instant>,
    /// What came of the attempt that is under way.
    attempt: Attempt,
}

/// What is known of an attempt.
#[derive(Default)]
enum Attempt {
    #[default]
    Asked,
    /// With a body that is being taken, whose end is known in this way.
    Answered(Framing),
    /// The answer leads elsewhere.
    Moved(Url),
    /// There is no more to it, and perhaps the server has said when to come back.
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
        let url = Url::parse(&wanted.url).map_err(|error| Failure::Url(error.to_string()));
        let mut url = url.and_then(fetchable).map_err(|why| {
            let elapsed = Duration::ZERO;
            Output { index, url: shown(), elapsed, outcome: Err(why) }
        })?;
        let credentials = credentials(&url);
        strip(&mut url);
        let ticket = Ticket { index, shown: url.to_string(), host: host(&url), began: None };
        Ok(Self {
            ticket,
            url,
            credentials,
            seen: Vec::new(),
            failures: 0,
            keep: Keep::Nowhere,
            body: None,
            status: StatusCode::OK,
            settings: settings.clone(),
            deadline,
            attempt: Attempt::Asked,
        })
    }

    /// All of it but what has come of its body, as plain data.
    #[must_use]
    pub fn hand_over(&self, now: Instant) -> Handover {
        Handover {
            index: self.ticket.index,
            shown: self.ticket.shown.clone(),
            url: self.url.clone(),
            credentials: self.credentials.as_ref().map(|value| value.as_bytes().to_vec()),
            seen: self.seen.clone(),
            failures: self.failures,
            keep: self.keep.clone(),
            age: self.ticket.began.map(|began| now.saturating_duration_since(began)),
            left: self.deadline.map(|deadline| deadline.saturating_duration_since(now)),
        }
    }

    pub(super) fn from_handover(of: Handover, settings: &Arc<Settings>, now: Instant) -> Self {
        let began = of.age.and_then(|age| now.checked_sub(age));
        Self {
            ticket: Ticket { index: of.index, shown: of.shown, host: host(&of.url), began },
            url: of.url,
            credentials: of.credentials.as_deref().and_then(handover::header),
            seen: of.seen,
            failures: of.failures,
            keep: of.keep,
            body: None,
            status: StatusCode::OK,
            settings: settings.clone(),
            deadline: of.left.and_then(|left| now.checked_add(left)),
            attempt: Attempt::Asked,
        }
    }

    /// Whether the body is to be kept, and where.
    pub(super) fn keep(&self) -> &Keep {
        &self.keep
    }

    /// Whether the body is to be kept.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.keep != Keep::Nowhere
    }

    /// A place for the body that somebody else has taken, who was handed this over.
    pub fn arriving(&self) -> Result<Arriving, Failure> {
        Arriving::new(&self.keep)
    }

    pub(super) fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Whether it has a part of its body.
    pub(super) fn is_begun(&self) -> bool {
        self.body.is_some()
    }

    /// Forgets what has come of the body.
    pub(super) fn start_over(&mut self) {
        self.body = None;
    }

    pub(super) fn keep_at(&mut self, path: PathBuf) {
        self.keep = Keep::At(path);
    }

    /// The host that the next request goes to.
    pub(super) fn host(&self) -> &Arc<str> {
        &self.ticket.host
    }

    /// The address that the next request goes to.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Where a connection for the next request leads: those of one origin can be used again.
    #[must_use]
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Whose this is.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        self.ticket.clone()
    }

    pub(super) fn begin(&mut self, now: Instant) {
        self.attempt = Attempt::Asked;
        self.ticket.began.get_or_insert(now);
    }

    /// How long this attempt may take in all.
    #[must_use]
    pub fn patience(&self, now: Instant) -> Duration {
        let most = self.settings.timeout().saturating_mul(ATTEMPT).min(LONGEST_WAIT);
        self.deadline.map_or(most, |deadline| most.min(deadline.saturating_duration_since(now)))
    }

    /// What to ask: all headers but those that the client adds for the connection.
    ///
    /// # Panics
    ///
    /// If a URL that was found fetchable is none for the `http` crate.
    #[must_use]
    pub fn request(&self) -> Request<()> {
        failpoint::hit(self.url.as_str().as_bytes(), 0);
        let mut request = Request::get(self.url.as_str()).body(()).expect("what is fetchable is a URI");
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("cc-fetch/", env!("CARGO_PKG_VERSION"))));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        headers.extend(self.credentials.clone().map(|credentials| (AUTHORIZATION, credentials)));
        if let Some((first, tag)) = self.resumable() {
            headers
                .insert(RANGE, HeaderValue::try_from(format!("bytes={first}-")).expect("digits are visible"));
            headers.insert(IF_RANGE, tag.clone());
        }
        request
    }

    /// From where on the rest of the body can be asked for, and of which version.
    fn resumable(&self) -> Option<(u64, &HeaderValue)> {
        let body = self.body.as_ref().filter(|body| body.received() > 0)?;
        Some((body.received(), body.tag.as_ref()?))
    }

    /// Takes the head of an answer. `Break` means that its body is of no interest.
    pub fn answered(&mut self, head: &Parts, now: SystemTime) -> ControlFlow<()> {
        self.attempt = self
            .meaning(head)
            .unwrap_or_else(|why| Attempt::Failed(why, headers::retry_after(&head.headers, now)));
        if matches!(self.attempt, Attempt::Answered(_)) { Continue(()) } else { Break(()) }
    }

    fn meaning(&mut self, head: &Parts) -> Result<Attempt, Failure> {
        let framing = headers::framing(head)?;
        match head.status.as_u16() {
            206 => self.resume(&head.headers, framing)?,
            200..=299 => self.start(head, framing)?,
            301 | 302 | 303 | 307 | 308 => return self.redirect(&head.headers).map(Attempt::Moved),
            416 if self.resumable().is_some() => return Err(Failure::WrongPart),
            code => return Err(Failure::Status(code)),
        }
        Ok(Attempt::Answered(framing))
    }

    /// The body, from its first byte, whatever there was before.
    fn start(&mut self, head: &Parts, framing: Framing) -> Result<(), Failure> {
        // First the old one goes, then the new one comes: two would be twice the descriptors.
        self.body = None;
        let encoding = headers::encoding(&head.headers);
        let mut body = Body::begin(encoding.as_deref(), &self.keep, self.settings.max_inflated)?;
        body.length = framing.length();
        body.tag = headers::strong_tag(&head.headers);
        (self.body, self.status) = (Some(body), head.status);
        Ok(())
    }

    /// The rest of the body, if it is all of the rest.
    fn resume(&mut self, headers: &HeaderMap, framing: Framing) -> Result<(), Failure> {
        let asked = self.resumable().map(|(first, tag)| (first, tag.clone()));
        let (Some((first, tag)), Some(body)) = (asked, &mut self.body) else {
            return Err(Failure::WrongPart);
        };
        let range = headers::content_range(headers).ok_or(Failure::WrongPart)?;
        let is_same = headers::strong_tag(headers).is_none_or(|other| other == tag);
        let is_framed = framing.length().is_none_or(|length| length == range.length());
        // The end has to be known: a part whose total is `*` may be followed by others.
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

    /// Takes more of the body. `Break` means that no more of it is wanted.
    pub fn received(&mut self, bytes: &[u8]) -> ControlFlow<()> {
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

    /// The connection failed, in this way.
    pub fn broke(&mut self, how: Trouble) {
        if how == Trouble::Eof && matches!(self.attempt, Attempt::Answered(Framing::UntilClose)) {
            return;
        }
        let has_head = matches!(self.attempt, Attempt::Answered(_));
        let received = self.body.as_ref().map_or(0, Body::received);
        let why = match how {
            Trouble::Unreachable(why) => Failure::Unreachable(why),
            Trouble::Tls(why) => Failure::Tls(why),
            Trouble::TimedOut => Failure::TimedOut,
            Trouble::Malformed => Failure::Malformed,
            Trouble::Eof | Trouble::Closed if has_head => Failure::Short { received },
            Trouble::Eof | Trouble::Closed => Failure::NoAnswer,
        };
        self.attempt = Attempt::Failed(why, None);
    }

    /// The attempt is over: what it came to.
    #[must_use]
    pub fn finish(mut self: Box<Self>, now: Instant) -> Attempted {
        let (host, mut file) = (self.host().clone(), None);
        let (held, next) = match std::mem::take(&mut self.attempt) {
            Attempt::Moved(url) => (None, Next::Again(self.moved(url), now)),
            Attempt::Answered(_) => (None, self.ended(now, &mut file)),
            Attempt::Failed(why, wait) => {
                // Too many requests are the host's concern, and not that of one resource.
                let held = wait.filter(|_| why == Failure::Status(429)).map(|wait| now + wait);
                (held, self.failed(why, wait, now))
            }
            Attempt::Asked => (None, self.failed(Failure::NoAnswer, None, now)),
        };
        Attempted { host, held, next, file }
    }

    /// Goes there next. Credentials do not come along to another origin, nor come back from there.
    fn moved(mut self: Box<Self>, url: Url) -> Box<Self> {
        if url.origin() != self.url.origin() {
            self.credentials = None;
        }
        self.ticket.host = host(&url);
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
        Next::Done(self.ticket.output(outcome, now))
    }

    /// Another try, unless it is hopeless, or there were enough.
    fn failed(mut self: Box<Self>, why: Failure, wait: Option<Duration>, now: Instant) -> Next {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return Next::Done(self.ticket.output(Err(Failure::Deadline), now));
        }
        if !why.is_transient() || self.failures >= self.settings.retries {
            return Next::Done(self.ticket.output(Err(why), now));
        }
        if self.resumable().is_none() || why == Failure::WrongPart {
            self.body = None;
        }
        self.failures += 1;
        let wait =
            wait.unwrap_or_else(|| backoff::wait(self.settings.seed, self.ticket.index, self.failures));
        Next::Again(self, now + wait)
    }

    /// Has failed without another attempt.
    pub(super) fn give_up(self: Box<Self>, why: Failure, now: Instant) -> Output {
        self.ticket.output(Err(why), now)
    }
}

#[cfg(test)]
pub(super) mod tests;
