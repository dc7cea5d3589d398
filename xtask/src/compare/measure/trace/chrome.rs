//! The file for ui.perfetto.dev and chrome://tracing, in the Trace Event Format: complete events
//! (`X`) with times in microseconds, and metadata (`M`) with the names of processes and threads.

use serde_json::{Value, json};

use crate::compare::measure::trace::{
    record::{Process, Span},
    traced_run::Run,
};

pub(crate) fn trace(processes: &[Process], run: &Run<'_>, workload: &str) -> Value {
    let events: Vec<Value> = processes.iter().flat_map(|process| events(process, run)).collect();
    json!({
        "displayTimeUnit": "ms",
        "otherData": {"workload": workload, "model": run.name, "workers": run.workers},
        "traceEvents": events,
    })
}

fn events(process: &Process, run: &Run<'_>) -> Vec<Value> {
    let pid = process.pid;
    let name = match process.number {
        0 => run.name.to_owned(),
        number => format!("{}, worker process {number}", run.name),
    };
    let mut events = vec![
        metadata("process_name", pid, 0, json!({"name": name})),
        metadata("process_labels", pid, 0, json!({"labels": process.args.join(" ")})),
        metadata("process_sort_index", pid, 0, json!({"sort_index": process.number})),
    ];
    let thread =
        |(thread, name): (&u32, &String)| metadata("thread_name", pid, *thread, json!({"name": name}));
    events.extend(process.threads.iter().map(thread));
    events.extend(process.spans.iter().map(|span| complete(span, pid, run.started_ns)));
    events
}

fn metadata(name: &str, pid: u32, tid: u32, args: Value) -> Value {
    json!({"ph": "M", "name": name, "pid": pid, "tid": tid, "args": args})
}

/// A span as a complete event. Time zero is the start of the program.
fn complete(span: &Span, pid: u32, started_ns: u64) -> Value {
    let microseconds = |ns: u64| ns as f64 / 1e3;
    json!({
        "ph": "X",
        "name": span.name,
        "cat": span.part,
        "pid": pid,
        "tid": span.thread,
        "ts": microseconds(span.start_ns.saturating_sub(started_ns)),
        "dur": microseconds(span.end_ns - span.start_ns),
    })
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroUsize, time::Duration};

    use cc_core::trace::Part;
    use snapbox::{assert_data_eq, file};

    use super::super::record::tests::process;
    use super::super::record::tests::span;
    use super::*;

    #[test]
    fn a_trace_has_the_names_and_the_spans_of_all_processes() {
        let own = vec![span(0, "place", Part::Serial, 1400, 1500)];
        let workers = vec![span(0, "iterate", Part::Kernel, 1100, 1350)];
        let processes = [process(40, 0, &["main"], own), process(41, 1, &["main"], workers)];
        let run = Run {
            name: "procs",
            started_ns: 1_000_000,
            wall: Duration::from_micros(600),
            workers: NonZeroUsize::MIN,
        };
        let text = serde_json::to_string_pretty(&trace(&processes, &run, "mandelbrot")).unwrap();
        assert_data_eq!(text, file!["snapshots/trace.json"].raw());
    }
}
