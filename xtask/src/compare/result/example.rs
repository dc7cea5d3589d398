//! Example results with a value in every field, for tests of the output.

use std::num::NonZeroUsize;

use crate::compare::{
    measure::memory,
    result::{
        Against, Change, Code, Comparison, Difference, Drift, Estimate, Input, Interval, Kind, Lane, Load,
        Machine, Outlier, Phase, Point, Row, SCHEMA, Sample, Scaling, Served, Share, Subject, Timeline, Usl,
        Verdict, Waiting,
    },
    show::summary::summary,
};

fn count(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).expect("the number is not zero")
}

fn about(median: f64, off: f64) -> Option<Estimate> {
    Some(Estimate { median, low: median - off, high: median + off })
}

/// A comparison of grep: the reference, three models and two tools, one of which has crashed.
pub(crate) fn comparison() -> Comparison {
    let rows = rows();
    Comparison {
        schema: SCHEMA,
        workload: "grep".to_owned(),
        command: "cargo xtask compare grep".to_owned(),
        time: "2026-01-31T12:00:00Z".to_owned(),
        commit: Some("0123456789ab".to_owned()),
        machine: machine(),
        load: Load { average: 0.1, stolen: 0.03, elsewhere: 0.01 },
        warnings: vec!["other virtual machines took 3.0 % of the cores' time (steal)".to_owned()],
        partial: false,
        summary: summary(&rows),
        input: input(),
        totals: [("files".to_owned(), 6000), ("lines".to_owned(), 12)].into(),
        query: "-rn 'a b'".to_owned(),
        checked: ["-rn 'a b'", "-rc x"].map(str::to_owned).to_vec(),
        workers: count(2),
        rounds: 15,
        rounds_to_tell: Some(34),
        scaling: vec![scaling()],
        baseline: Some(against()),
        drift: Some(Drift { change: 0.042, p: 0.01, found: true }),
        caption: "6,000 files, 12 lines".to_owned(),
        any_order: false,
        prints_at_end: false,
        tool_note: Some("without what either calls binary".to_owned()),
        asked: None,
        waiting: None,
        memory: memory::METHOD.to_owned(),
        rows,
        absent: vec!["GNU parallel: parallel is not installed".to_owned()],
    }
}

/// A comparison of kv: the reference, a model and a tool.
pub(crate) fn service() -> Comparison {
    let mut rows = vec![
        row("sequential", Kind::Reference, 500.0, 1.0, 31.0),
        row("threads", Kind::Model, 400.0, 1.25, 35.0),
        row("redis-server", Kind::Tool, 900.0, 0.56, 40.0),
    ];
    rows[0].verdict = Verdict::Reference;
    rows[2].code = None;
    rows.iter_mut().zip([1.0, 1.25, 0.56]).for_each(|(row, times)| row.service = Some(served(times)));
    Comparison {
        workload: "kv".to_owned(),
        command: "cargo xtask compare kv".to_owned(),
        summary: summary(&rows),
        query: "--pipeline 16 --requests 500000".to_owned(),
        checked: Vec::new(),
        caption: "500,000 requests on 50 connections".to_owned(),
        scaling: Vec::new(),
        baseline: None,
        prints_at_end: true,
        tool_note: None,
        asked: Some("closed and open loops".to_owned()),
        rows,
        ..comparison()
    }
}

/// Of fetch: the reference, which is not timed, a model and a tool.
pub(crate) fn waiting() -> Comparison {
    let mut rows = vec![
        row("sequential", Kind::Reference, 500.0, 1.0, 31.0),
        row("threads", Kind::Model, 412.0, 1.0, 19.0),
        row("curl", Kind::Tool, 430.0, 1.0, 12.0),
    ];
    let waiting = Waiting { ideal_s: 0.4, sequential_s: 100.0, at_once: 250 };
    for row in &mut rows {
        row.speedup = None;
        row.of_ideal = row.wall_s.map(|wall| wall.median / waiting.ideal_s);
        row.waiting_bytes = row.memory_bytes.map(|bytes| bytes as f64 / waiting.at_once as f64);
    }
    rows[0].verdict = Verdict::Reference;
    (rows[0].wall_s, rows[0].of_ideal, rows[0].letters) = (None, None, String::new());
    rows[2].code = None;
    Comparison {
        workload: "fetch".to_owned(),
        command: "cargo xtask compare fetch".to_owned(),
        summary: summary(&rows),
        query: "--concurrency 250".to_owned(),
        checked: Vec::new(),
        caption: "1,000 resources, 3 MB".to_owned(),
        scaling: Vec::new(),
        baseline: None,
        any_order: true,
        tool_note: None,
        waiting: Some(waiting),
        rows,
        ..comparison()
    }
}

/// By how many times the reference's rate.
fn served(times: f64) -> Served {
    Served {
        requests: Some(500_000.0),
        pipelined_per_s: Some(1e6 * times),
        pipelined_cpu_s: Some(0.9e-6 / times),
        single_per_s: Some(81e3 * times),
        single_cpu_s: Some(7e-6 / times),
        rate_per_s: Some(5000.0),
        p50_s: Some(61e-6),
        p99_s: Some(420e-6),
        p999_s: Some(1.9e-3),
        late_p99_s: Some(if times > 1.0 { 1.3e-3 } else { 80e-6 }),
        idle_connections: Some(1000.0),
        idle_bytes: Some(1480.0),
        client_pipelined_per_s: Some(602e3 * times),
        client_single_per_s: Some(60e3 * times),
    }
}

fn scaling() -> Scaling {
    let point = |workers, speedup, over_cores| Point {
        workers: count(workers),
        speedup: about(speedup, 0.02),
        efficiency: Some(speedup / workers as f64),
        over_cores,
    };
    let law = Some(Usl { rate: 10.0, contention: 0.031, coherency: 0.0004, error: 0.012 });
    let points = vec![point(1, 1.0, false), point(2, 1.93, false), point(4, 1.9, true)];
    Scaling { name: "threads".to_owned(), points, law }
}

fn against() -> Against {
    let change = |name: &str, differs, p, ratio: f64| Change {
        name: name.to_owned(),
        label: name.to_owned(),
        workers: count(2),
        differs,
        p,
        ratio,
        low: ratio - 0.02,
        high: ratio + 0.02,
    };
    Against {
        file: "before.json".to_owned(),
        time: "2026-01-30T12:00:00Z".to_owned(),
        commit: Some("ba9876543210+".to_owned()),
        unlike: vec!["the kernel was 6.0, now 6.1".to_owned()],
        rows: vec![
            change("sequential", false, 0.71, 1.002),
            change("threads", true, 0.0001, 1.082),
            change("rayon", true, 0.004, 0.93),
        ],
    }
}

fn machine() -> Machine {
    Machine {
        cores: count(2),
        cpu: "Example CPU".to_owned(),
        kernel: "6.1".to_owned(),
        memory_bytes: 8_000_000_000,
        governor: Some("performance".to_owned()),
        turbo: Some(false),
    }
}

fn input() -> Input {
    let at = |path: &str| Subject { path: Some(path.into()), ..Subject::default() };
    let empty = Subject { args: vec!["--none".to_owned()], is_empty: true, ..Subject::default() };
    Input { name: "small".to_owned(), measured: at("in/small"), checked: at("in/smoke"), empty, output: None }
}

fn rows() -> Vec<Row> {
    let mut rows = vec![
        row("sequential", Kind::Reference, 100.0, 1.0, 2.1),
        row("threads", Kind::Model, 51.8, 1.93, 5.3),
        row("rayon", Kind::Model, 51.3, 1.95, 5.1),
        row("distributed", Kind::Model, 63.2, 1.58, 60.0),
        row("ripgrep", Kind::Tool, 24.0, 4.17, 9.9),
        row("broken", Kind::Tool, 0.0, 0.0, 0.0),
    ];
    rows[0].verdict = Verdict::Reference;
    rows[0].workers = count(1);
    rows[0].service = Some(served(1.0));
    rows[0].samples[0].service = Some(served(1.0));
    rows[0].timeline = Some(timeline("sequential", 0.994, 0.1, &[("main", &[(0.0003, 0.0997)])]));
    rows[1].letters = "a".to_owned();
    let lanes: [(&str, &[(f64, f64)]); 2] =
        [("worker-0", &[(0.0011, 0.0306)]), ("worker-1", &[(0.0012, 0.0203), (0.0203, 0.0511)])];
    rows[1].timeline = Some(timeline("threads", 0.766, 0.0212, &lanes));
    rows[2].letters = "a".to_owned();
    rows[2].outliers = vec![Outlier { round: 3, wall_s: 0.0871, far: true }];
    rows[3].label = "distributed (2 processes, loopback)".to_owned();
    rows[4].code = None;
    rows[4].any_order = true;
    rows[4].verdict = differs();
    rows[5] = failed();
    rows
}

fn timeline(name: &str, busy: f64, tail_s: f64, lanes: &[(&str, &[(f64, f64)])]) -> Timeline {
    let lane = |(thread, times): &(&str, &[(f64, f64)])| Lane {
        process: 0,
        thread: (*thread).to_owned(),
        works: true,
        busy_s: times.iter().map(|(start, end)| ((end - start) * 1e6).round() / 1e6).sum(),
        intervals: times.iter().copied().map(interval).collect(),
    };
    Timeline {
        file: format!("target/compare/trace/grep-{name}.json"),
        wall_s: if name == "threads" { 0.0518 } else { 0.1 },
        busy,
        tail_s,
        lanes: lanes.iter().map(lane).collect(),
    }
}

fn interval((start_s, end_s): (f64, f64)) -> Interval {
    let busy_s = ((end_s - start_s) * 1e6).round() / 1e6;
    Interval { start_s, end_s, parts: vec![Share { name: "search".to_owned(), kernel: true, busy_s }] }
}

fn row(name: &str, kind: Kind, wall: f64, speedup: f64, memory: f64) -> Row {
    let speedup = about(speedup, 0.02);
    Row {
        name: name.to_owned(),
        label: name.to_owned(),
        mechanism: format!("as {name} does it"),
        kind,
        workers: count(2),
        command: vec![name.to_owned(), "-rn".to_owned(), "a b".to_owned()],
        verdict: Verdict::Same,
        any_order: false,
        wall_s: about(wall / 1e3, wall / 1e5),
        speedup,
        letters: String::new(),
        cpu_s: Some(0.1025),
        cores: Some(1.98),
        memory_bytes: Some((memory * 1e6) as u64),
        memory_is_max_rss: false,
        first_s: Some(0.0042),
        stop_s: Some(0.0031),
        empty_s: Some(0.0021),
        voluntary_switches: Some(1204.0),
        involuntary_switches: Some(35.5),
        threads: Some(5),
        processes: Some(1),
        code: Some(Code { workload: 106, mechanism: 58 }),
        service: None,
        of_ideal: None,
        waiting_bytes: None,
        oversubscribed: false,
        runs: 25,
        failures: Vec::new(),
        outliers: Vec::new(),
        timeline: None,
        samples: vec![sample(wall)],
    }
}

fn sample(wall: f64) -> Sample {
    Sample {
        at: 7,
        start_s: 1.5,
        phase: Phase::Time,
        wall_s: wall / 1e3,
        cpu_s: 0.1,
        status: "exit status: 0".to_owned(),
        ..Sample::default()
    }
}

fn differs() -> Verdict {
    let difference =
        Difference { line: 7, expected: Some("a: a b".to_owned()), found: Some("a: a, \"b\"".to_owned()) };
    let kept = ["kept/sequential.out", "kept/ripgrep.out"].map(str::to_owned).to_vec();
    Verdict::Differs { what: "words: the output".to_owned(), difference: Some(difference), kept }
}

fn failed() -> Row {
    let why = "timed out after 120 s".to_owned();
    Row {
        verdict: Verdict::Failed,
        wall_s: None,
        speedup: None,
        cpu_s: None,
        cores: None,
        memory_bytes: None,
        memory_is_max_rss: true,
        first_s: None,
        stop_s: None,
        empty_s: None,
        voluntary_switches: None,
        involuntary_switches: None,
        threads: None,
        processes: None,
        code: None,
        runs: 1,
        failures: vec![format!("Check round 1: {why}")],
        samples: vec![Sample { failure: Some(why), ..Sample::default() }],
        ..row("broken", Kind::Tool, 0.0, 0.0, 0.0)
    }
}
