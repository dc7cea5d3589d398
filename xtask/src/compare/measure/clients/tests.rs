use crate::compare::{
    measure::{
        ask::with_free_port,
        fixtures::{self, Fixture, clients, server},
        rounds::measure,
        server::Protocol,
    },
    plan::{command::CommandTemplate, effort::Effort, entrant::Entrant},
    result::{Kind, Phase, Row, Verdict},
};

use super::*;

#[test]
fn the_mean_rate_is_that_of_all_tests_together() {
    let printed = "\"test\",\"rps\",\"avg\"\n\"SET\",\"100.00\",\"1\"\n\"GET\",\"300.00\",\"1\"\n";
    assert!((mean_rate(printed).unwrap() - 150.0).abs() < 1e-9);
    assert!(mean_rate("nothing\n").is_err());
}

#[test]
fn a_median_uses_only_runs_that_measured_the_figure() {
    let of = |per_s, p50| Served { pipelined_per_s: per_s, p50_s: p50, ..Served::default() };
    let medians = Served::medians(&[of(Some(1.0), None), of(Some(3.0), None), of(None, Some(7.0))]).unwrap();
    assert_eq!(medians, of(Some(2.0), Some(7.0)));
    assert_eq!(Served::medians(&[]), None);
}

#[test]
fn a_server_that_is_given_a_port_need_not_announce_it() {
    let call = |arg: &str| CommandTemplate { args: vec![arg.to_owned()], ..CommandTemplate::default() };
    let (called, protocol) = with_free_port(&call("--port={port}")).unwrap();
    let Protocol::AcceptsAt(port) = protocol else { panic!("{protocol:?}") };
    assert_eq!(called.args, [format!("--port={port}")]);
    assert_eq!(with_free_port(&call("--listen")).unwrap().1, Protocol::Announces);
}

/// The row of this entrant, after checking that the rows of two correct servers are complete.
/// `None`, with a message, if the programs for the fake servers are not installed.
fn faulty_row(fixture: &Fixture, entrant: Entrant, effort: &Effort) -> Option<Row> {
    if installed("python3").is_none() || installed("bash").is_none() {
        eprintln!("skipped: python3 or bash is not installed");
        return None;
    }
    let right = |name| server(fixture, name, "right\n", true, "");
    let all = [Entrant { kind: Kind::Reference, ..right("reference") }, entrant, right("right")];
    let clients = clients(fixture);
    let mut measured = measure(&all, &fixture.service(&clients), effort).unwrap();
    for (at, verdict) in [(0, Verdict::Reference), (2, Verdict::Same)] {
        let row = &measured.rows[at];
        assert_eq!((&row.verdict, &row.failures), (&verdict, &Vec::new()), "{}", row.name);
        assert_eq!(row.samples.iter().filter(|sample| sample.phase == Phase::Time).count(), 2);
        let served = row.service.unwrap();
        assert_eq!(
            (served.requests, served.single_per_s, served.p99_s),
            (Some(10.0), Some(1000.0), Some(0.2))
        );
        assert!(row.wall_s.is_some() && row.stop_s.is_some() && row.empty_s.is_some());
        assert!((row.wall_s.unwrap().median - 0.01).abs() < 1e-9, "the time is that of the load");
    }
    Some(measured.rows.swap_remove(1))
}

#[test]
fn a_wrong_reply_leaves_the_other_rows_intact() {
    let fixture = Fixture::new();
    let wrong = server(&fixture, "wrong", "wrong\n", true, "");
    let Some(row) = faulty_row(&fixture, wrong, &fixtures::effort()) else { return };
    let Verdict::Differs { what, difference, .. } = &row.verdict else { panic!("{:?}", row.verdict) };
    assert_eq!(what, "two: the output");
    assert_eq!(difference.as_ref().unwrap().found.as_deref(), Some("wrong"));
}

#[test]
fn a_crash_of_a_server_leaves_the_other_rows_intact() {
    let fixture = Fixture::new();
    // The server crashes on its first request, because the file exists from the beginning.
    let dies = fixture.path("dies").display().to_string();
    std::fs::write(&dies, "").unwrap();
    let Some(row) =
        faulty_row(&fixture, server(&fixture, "dies", "right\n", true, &dies), &fixtures::effort())
    else {
        return;
    };
    assert_eq!(row.verdict, Verdict::Failed);
    assert!(row.failures[0].contains("it ended with signal: 11"), "{:?}", row.failures);
}

#[test]
fn a_server_that_does_not_start_leaves_the_other_rows_intact() {
    let fixture = Fixture::new();
    let refuses = fixture.script("refuses", "echo no such port >&2; exit 2");
    let Some(row) = faulty_row(&fixture, refuses, &fixtures::effort()) else { return };
    assert_eq!(row.verdict, Verdict::Failed);
    let why = &row.failures[0];
    assert!(
        why.contains("exit status: 2") && why.contains("no such port") && why.contains("did not print"),
        "{why}"
    );
}

#[test]
fn a_server_that_does_not_stop_leaves_the_other_rows_intact() {
    let fixture = Fixture::new();
    let effort = Effort { timeout: Duration::from_secs(5), ..fixtures::effort() };
    let Some(row) = faulty_row(&fixture, server(&fixture, "stays", "right\n", false, ""), &effort) else {
        return;
    };
    assert_eq!(row.verdict, Verdict::Failed);
    assert!(row.failures[0].contains("after the stop signal"), "{:?}", row.failures);
}
