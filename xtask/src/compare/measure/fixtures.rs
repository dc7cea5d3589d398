//! Small programs for the tests: scripts that behave correctly, or fail in some way.

use std::{
    fs::{self, Permissions},
    num::NonZeroUsize,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    compare::{
        measure::{clients::Clients, origin::Origin, work::Work},
        plan::{
            command::CommandTemplate, effort::Effort, entrant::Entrant, order::Order, query::Query,
            resources::Resources, service::Service,
        },
        result::{Input, Kind, Subject},
    },
    process::cancel::Cancel,
};

/// A script that prints the right output, and a report.
const RIGHT: &str = r#"echo right
echo '{"workload":"w","model":"m","workers":1,"totals":{"lines":1}}' > /proc/self/fd/$CC_REPORT_FD"#;

/// A temporary folder for the programs, and the work that they do.
pub(crate) struct Fixture {
    folder: TempDir,
    queries: Vec<Query>,
    input: Input,
    pub cancel: Cancel,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let empty = Subject { is_empty: true, ..Subject::default() };
        let input = Input {
            name: "fake".to_owned(),
            measured: Subject::default(),
            checked: Subject::default(),
            empty,
            output: None,
        };
        let queries = ["one", "two"].map(|name| Query::new(name, &[])).to_vec();
        Self { folder: tempfile::tempdir().unwrap(), queries, input, cancel: Cancel::new().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn work(&self) -> Work<'_> {
        Work {
            queries: &self.queries[..1],
            input: &self.input,
            own_totals: &[],
            prints_at_end: false,
            output_dir: self.folder.path(),
            traces: None,
            clients: None,
            origin: None,
            cancel: Some(&self.cancel),
        }
    }

    /// The work of a service: a load, and a conversation.
    pub(crate) fn service<'a>(&'a self, clients: &'a Clients) -> Work<'a> {
        Work { queries: &self.queries, clients: Some(clients), ..self.work() }
    }

    /// A correct program.
    pub(crate) fn right(&self, name: &str) -> Entrant {
        self.first(name, "")
    }

    /// A correct program that runs `script` first.
    pub(crate) fn first(&self, name: &str, script: &str) -> Entrant {
        self.script(name, &format!("{script}\n{RIGHT}"))
    }

    /// A correct program that runs `script` first, but not in its first run, which is the check.
    pub(crate) fn later(&self, name: &str, script: &str) -> Entrant {
        let ran = self.path(&format!("{name}.ran"));
        let ran = ran.display();
        self.first(name, &format!("if [ -e '{ran}' ]; then {script}; fi; : > '{ran}'"))
    }

    pub(crate) fn script(&self, name: &str, script: &str) -> Entrant {
        let path = self.path(&format!("{name}.sh"));
        fs::write(&path, script).unwrap();
        entrant(name, "sh", &[path.display().to_string()])
    }
}

/// A model that runs this program.
pub(crate) fn entrant(name: &str, program: &str, args: &[String]) -> Entrant {
    Entrant {
        name: name.to_owned(),
        label: name.to_owned(),
        mechanism: String::new(),
        kind: Kind::Model,
        call: CommandTemplate { program: program.into(), args: args.to_vec(), ..CommandTemplate::default() },
        order: Order::Same,
        code: None,
        workers: NonZeroUsize::MIN,
        oversubscribed: false,
        slow: false,
    }
}

/// Two timed rounds, and one round of each other phase.
pub(crate) fn effort() -> Effort {
    Effort {
        rounds: NonZeroUsize::new(2),
        at_least: 3,
        at_most: 5,
        limit: Duration::from_secs(1),
        memory_rounds: 1,
        stop_rounds: 1,
        empty_rounds: 1,
        service_rounds: 1,
        timeout: Duration::from_secs(30),
    }
}

/// A fake origin: its list has its arguments, and it runs the script `on_line` for each line of
/// input.
pub(crate) fn origin(fixture: &Fixture, on_line: &str) -> Origin {
    let program = fixture.path("origin");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *--urls*) echo \"$*\"; exit;; esac\n\
         echo listening at 127.0.0.1:7\nwhile read -r line; do {on_line}; done\n"
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    Origin::start(&program, Resources::FEW, &fixture.path("list")).unwrap()
}

/// A fake `cc-peers`: its clients read what the server sends.
const CLIENT: &str = r#"#!/bin/sh
port=${3##*:}
case $1 in
talk) exec bash -c "exec 3<>/dev/tcp/127.0.0.1/$port; cat <&3" ;;
idle) echo "holding 1 of 1 connections"; exec cat ;;
load) exec bash -c "exec 3<>/dev/tcp/127.0.0.1/$port; read -r said <&3; [ -n \"\$said\" ] || { echo it hung up >&2; exit 1; }
    echo '{\"requests\":10,\"wall_s\":0.01,\"requests_per_s\":1000,\"latency_s\":{\"p50\":0.1,\"p99\":0.2,\"p999\":0.3},\"late_s\":null}'" ;;
esac
"#;

/// A server that sends a text to each client, until it is stopped.
const SERVER: &str = r#"
import signal, socket, sys, os
server = socket.create_server(("127.0.0.1", 0))
def stop(*_):
    if STOPS:
        os.write(int(os.environ["CC_REPORT_FD"]),
                 b'{"workload":"w","model":"m","workers":1,"totals":{"lines":1}}')
        os._exit(0)
signal.signal(signal.SIGINT, stop)
print("listening at 127.0.0.1:%d" % server.getsockname()[1], flush=True)
while True:
    client = server.accept()[0]
    if os.path.exists(DIES): os.kill(os.getpid(), 11)
    client.sendall(SAYS)
    client.close()
"#;

/// Fake clients for the fake servers.
pub(crate) fn clients(fixture: &Fixture) -> Clients {
    let path = fixture.path("client");
    fs::write(&path, CLIENT).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    let service: Service = toml::from_str(
        "load = []\ntalk = []\n[asked]\nfake = { single = 10, rate = 10, seconds = 0.1, idle = 1 }",
    )
    .unwrap();
    Clients::of(&service, path, &fixture.input)
}

/// A server that sends the text `says`, ends on SIGINT if `stops` is true, and crashes on a
/// connection if the file `dies` exists.
pub(crate) fn server(fixture: &Fixture, name: &str, says: &str, stops: bool, dies: &str) -> Entrant {
    let stops = if stops { "True" } else { "False" };
    let head = format!("SAYS = {says:?}.encode()\nSTOPS = {stops}\nDIES = {dies:?}\n");
    let path = fixture.path(&format!("{name}.py"));
    fs::write(&path, head + SERVER).unwrap();
    entrant(name, "python3", &[path.display().to_string()])
}
