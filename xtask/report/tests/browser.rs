//! Uses the page in a headless browser, and checks that it loads nothing else. Without a browser
//! the test is skipped with a message.
//!
//! The test talks to the browser by the DevTools protocol over two pipes. Messages are JSON and end
//! with a zero byte, which needs less code than a crate for the protocol.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, Command, ExitCode, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::Duration,
};

use libtest_mimic::{Arguments, Completion, Trial};
use serde_json::{Value, json};

/// Possible names of the browser's program.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// Time limit for one message of the browser. A busy machine takes many seconds to start a browser.
const TIMEOUT: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let trial = Trial::ignorable_test("the_page_in_a_browser", || {
        let Some(program) = find() else {
            let why = format!("no browser found: none of {} is on the PATH", NAMES.join(", "));
            eprintln!("skipped: {why}");
            return Ok(Completion::ignored_with(why));
        };
        use_the_page(program);
        Ok(Completion::Completed)
    });
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit_code()
}

fn find() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    NAMES
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|path| path.is_file())
}

/// Opens the page and uses it as a reader would.
fn use_the_page(program: PathBuf) {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("report.html");
    fs::write(&file, common::page()).unwrap();
    let mut browser = Browser::start(program, scratch.path().join("profile"));
    browser.open(&format!("file://{}", file.display()));

    assert_eq!(
        browser.ask("document.querySelector('#table tbody tr:nth-child(2) th').textContent"),
        "threads"
    );
    assert_eq!(browser.ask("document.getElementById('grep-threads-wall').textContent"), "296");
    panes(&mut browser);
    theme(&mut browser);
    filter(&mut browser);
    listing(&mut browser);
    for width in [360, 1600] {
        browser.resize(width);
        assert_eq!(
            browser.ask("document.documentElement.scrollWidth"),
            width,
            "the page is wider than the window"
        );
    }
    timeline(&mut browser);
    browser.assert_quiet();
}

/// Lanes are as long as the time they represent, and scroll if the window is too narrow.
fn timeline(browser: &mut Browser) {
    let scrolls = "(box => box.scrollWidth > box.clientWidth)(document.querySelector('.timeline .scroll'))";
    let length = |nth: usize| {
        format!("document.querySelectorAll('.timeline .lanes .idle')[{nth}].getBoundingClientRect().width")
    };
    let lengths = [0, 1].map(|nth| browser.ask(&length(nth)).as_f64().unwrap());
    assert!((lengths[1] / lengths[0] - 0.28 / 0.52).abs() < 0.01, "{lengths:?}");
    assert_eq!(browser.ask(scrolls), false);
    browser.resize(360);
    assert_eq!(browser.ask(scrolls), true);
}

/// Two files are shown side by side, and another one after it has been chosen.
fn panes(browser: &mut Browser) {
    let first = "document.querySelector('[data-panes=grep]')";
    let head = format!("{first}.querySelector('.head').innerText.replace(/\\s+/g, ' ')");
    assert_eq!(browser.ask(&head), "− threads + async");
    let shared = format!("{first}.querySelectorAll('.same .one .l').length");
    let in_both = browser.ask(&shared).as_u64().unwrap();
    assert!(browser.ask(&format!("{first}.querySelectorAll('.changed').length")).as_u64().unwrap() > 0);
    browser.ask(&format!(
        "{{ const select = {first}.querySelectorAll('select')[1]; select.value = 3; select.dispatchEvent(new Event('change')); }}"
    ));
    assert_eq!(browser.ask(&head), "− threads + procs");
    assert!(browser.ask(&shared).as_u64().unwrap() > in_both, "the files are identical");
    assert_eq!(browser.ask(&format!("{first}.querySelectorAll('.changed').length")), 0);
}

fn theme(browser: &mut Browser) {
    let background = "getComputedStyle(document.body).backgroundColor";
    let before = browser.ask(background);
    browser.ask("document.getElementById('theme').click()");
    assert_ne!(browser.ask(background), before);
    browser.ask("document.getElementById('theme').click()");
    assert_eq!(browser.ask(background), before);
}

fn filter(browser: &mut Browser) {
    let shown = "[...document.querySelectorAll('#table article')].filter(one => one.offsetHeight > 0).length";
    assert_eq!(browser.ask(shown), 4);
    browser.ask("document.getElementById('only-grep').click()");
    assert_eq!(browser.ask(shown), 1);
    browser.ask("document.getElementById('only-all').click()");
}

/// A link to a file opens it.
fn listing(browser: &mut Browser) {
    let is_open = "document.getElementById('code-grep-threads').open";
    assert_eq!(browser.ask(is_open), false);
    browser.ask(
        "new Promise(done => { addEventListener('hashchange', done); document.querySelector('#table a[href=\"#code-grep-threads\"]').click(); }).then(() => true)",
    );
    assert_eq!(browser.ask(is_open), true);
}

/// A browser with one page.
struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: Option<String>,
    last: u64,
    events: Vec<Value>,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Browser {
    fn start(program: PathBuf, profile: PathBuf) -> Self {
        // The browser reads the protocol from descriptor 3 and writes it to descriptor 4.
        let script = "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(program).arg(format!("--user-data-dir={}", profile.display()));
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--remote-debugging-pipe",
        ]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let to = child.stdin.take().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (send, from) = sync_channel(1000);
        thread::spawn(move || {
            let messages = out.split(0).map_while(Result::ok);
            messages
                .map(|text| serde_json::from_slice(&text).unwrap())
                .all(|message| send.send(message).is_ok())
        });
        let mut browser = Self { child, to, from, session: None, last: 0, events: Vec::new() };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.call("Target.attachToTarget", attach)["sessionId"].as_str().unwrap().to_owned();
        browser.session = Some(session);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    fn next(&mut self) -> Value {
        self.from.recv_timeout(TIMEOUT).expect("the browser answers")
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let mut answer = self.next();
            if answer["id"] == self.last {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].take();
            }
            self.events.push(answer);
        }
    }

    fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({"url": url}));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.next();
            self.events.push(event);
        }
    }

    /// Evaluates a JavaScript expression on the page.
    fn ask(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut answer = self.call("Runtime.evaluate", params);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    fn resize(&mut self, width: u32) {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// Checks that there were no errors or console messages, and no network requests.
    fn assert_quiet(&self) {
        for event in &self.events {
            let method = event["method"].as_str().unwrap_or_default();
            assert!(
                !["Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"].contains(&method),
                "{event}"
            );
            if method == "Network.requestWillBeSent" {
                let url = event["params"]["request"]["url"].as_str().unwrap();
                assert!(url.starts_with("file:") || url.starts_with("data:"), "{url} was requested");
            }
        }
    }
}
