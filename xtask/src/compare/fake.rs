//! Small programs for the tests: shell scripts that do right, or wrong, or nothing at all.

use std::{fs, num::NonZeroUsize, path::PathBuf, time::Duration};

use tempfile::TempDir;

use super::{
    call::Call,
    cancel::Cancel,
    check::Order,
    input::{Input, Subject},
    json::Kind,
    measure::{Effort, Entrant, Work},
    query::{Dialect, Query},
};

/// Prints what is right, and says so.
const RIGHT: &str = r#"echo right
echo '{"workload":"w","model":"m","workers":1,"totals":{"lines":1}}' > /proc/self/fd/$CC_REPORT_FD"#;

/// Where they live.
pub(crate) struct Place {
    folder: TempDir,
    queries: Vec<Query>,
    input: Input,
    pub cancel: Cancel,
}

impl Place {
    pub(crate) fn new() -> Self {
        let empty = Subject { is_empty: true, ..Subject::default() };
        let input = Input {
            name: "fake".to_owned(),
            measured: Subject::default(),
            checked: Subject::default(),
            empty,
            output: None,
        };
        let queries = vec![Query::new(Dialect::Plain, "one", &[]).unwrap()];
        Self { folder: tempfile::tempdir().unwrap(), queries, input, cancel: Cancel::new().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn work(&self) -> Work<'_> {
        Work {
            queries: &self.queries,
            input: &self.input,
            own_totals: &[],
            prints_at_end: false,
            kept: self.folder.path(),
            traces: None,
            clients: None,
            cancel: Some(&self.cancel),
        }
    }

    /// Does what it should.
    pub(crate) fn right(&self, name: &str) -> Entrant {
        self.first(name, "")
    }

    /// Does this before it does what it should.
    pub(crate) fn first(&self, name: &str, script: &str) -> Entrant {
        self.script(name, &format!("{script}\n{RIGHT}"))
    }

    /// Does this from its second run on, the first being the one that is checked.
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

/// A model that is this program.
pub(crate) fn entrant(name: &str, program: &str, args: &[String]) -> Entrant {
    Entrant {
        name: name.to_owned(),
        label: name.to_owned(),
        mechanism: String::new(),
        kind: Kind::Model,
        call: Call { program: program.into(), args: args.to_vec(), ..Call::default() },
        order: Order::Same,
        code: None,
        workers: NonZeroUsize::MIN,
        oversubscribed: false,
        slow: false,
    }
}

/// Two rounds, and one of each other kind.
pub(crate) fn effort() -> Effort {
    Effort {
        rounds: NonZeroUsize::new(2),
        budget: Duration::from_secs(1),
        memory_rounds: 1,
        stop_rounds: 1,
        empty_rounds: 1,
        service_rounds: 1,
        timeout: Duration::from_secs(30),
    }
}
