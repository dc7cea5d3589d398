use crate::compare::{
    measure::{
        ask::with_free_port,
        fixtures::{self, Place, clients, server},
        rounds::measure,
        server::Manner,
    },
    plan::{command::CommandTemplate, effort::Effort, entrant::Entrant},
    result::{Kind, Phase, Row, Verdict},
};

use super::*;

#[test]
fn as_many_requests_of_each_kind_have_a_mean_rate() {
    let printed = "\"test\",\"rps\",\"avg\"\n\"SET\",\"100.00\",\"1\"\n\"GET\",\"300.00\",\"1\"\n";
    assert!((mean_rate(printed).unwrap() - 150.0).abs() < 1e-9);
    assert!(mean_rate("nothing\n").is_err());
}

#[test]
fn medians_are_of_those_that_measured_it() {
    let of = |per_s, p50| Served { pipelined_per_s: per_s, p50_s: p50, ..Served::default() };
    let medians = Served::medians(&[of(Some(1.0), None), of(Some(3.0), None), of(None, Some(7.0))]).unwrap();
    assert_eq!(medians, of(Some(2.0), Some(7.0)));
    assert_eq!(Served::medians(&[]), None);
}

#[test]
fn who_is_given_a_port_is_not_waited_for_to_name_it() {
    let call = |arg: &str| CommandTemplate { args: vec![arg.to_owned()], ..CommandTemplate::default() };
    let (called, manner) = with_free_port(&call("--port={port}")).unwrap();
    let Manner::Accepts(port) = manner else { panic!("{manner:?}") };
    assert_eq!(called.args, [format!("--port={port}")]);
    assert_eq!(with_free_port(&call("--listen")).unwrap().1, Manner::Says);
}

/// What became of this one; the others must be as they should. None, said aloud, where there is
/// nothing to make a server with.
fn spoilt(place: &Place, entrant: Entrant, effort: &Effort) -> Option<Row> {
    if installed("python3").is_none() || installed("bash").is_none() {
        eprintln!("skipped: there is no python3 or no bash");
        return None;
    }
    let right = |name| server(place, name, "right\n", true, "");
    let all = [Entrant { kind: Kind::Reference, ..right("reference") }, entrant, right("right")];
    let clients = clients(place);
    let mut measured = measure(&all, &place.service(&clients), effort).unwrap();
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
        assert!((row.wall_s.unwrap().median - 0.01).abs() < 1e-9, "the time is the load's");
    }
    Some(measured.rows.swap_remove(1))
}

#[test]
fn who_answers_otherwise_leaves_the_other_rows_intact() {
    let place = Place::new();
    let wrong = server(&place, "wrong", "wrong\n", true, "");
    let Some(row) = spoilt(&place, wrong, &fixtures::effort()) else { return };
    let Verdict::Differs { what, difference, .. } = &row.verdict else { panic!("{:?}", row.verdict) };
    assert_eq!(what, "two: the output");
    assert_eq!(difference.as_ref().unwrap().found.as_deref(), Some("wrong"));
}

#[test]
fn who_dies_in_the_middle_leaves_the_other_rows_intact() {
    let place = Place::new();
    // The first run is that of the check; the second client finds the file.
    let dies = place.path("dies").display().to_string();
    std::fs::write(&dies, "").unwrap();
    let Some(row) = spoilt(&place, server(&place, "dies", "right\n", true, &dies), &fixtures::effort())
    else {
        return;
    };
    assert_eq!(row.verdict, Verdict::Failed);
    assert!(row.failures[0].contains("it ended with signal: 11"), "{:?}", row.failures);
}

#[test]
fn who_does_not_listen_leaves_the_other_rows_intact() {
    let place = Place::new();
    let refuses = place.script("refuses", "echo no such port >&2; exit 2");
    let Some(row) = spoilt(&place, refuses, &fixtures::effort()) else { return };
    assert_eq!(row.verdict, Verdict::Failed);
    let why = &row.failures[0];
    assert!(
        why.contains("exit status: 2") && why.contains("no such port") && why.contains("does not say"),
        "{why}"
    );
}

#[test]
fn who_does_not_stop_leaves_the_other_rows_intact() {
    let place = Place::new();
    let effort = Effort { timeout: Duration::from_secs(5), ..fixtures::effort() };
    let Some(row) = spoilt(&place, server(&place, "stays", "right\n", false, ""), &effort) else { return };
    assert_eq!(row.verdict, Verdict::Failed);
    assert!(row.failures[0].contains("after it was told to stop"), "{:?}", row.failures);
}
