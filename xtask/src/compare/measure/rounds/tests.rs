use std::{num::NonZeroUsize, thread};

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::{
    compare::{
        measure::fixtures::{self, Place},
        result::Verdict,
    },
    process::family::alone,
};

use super::*;

/// Measures these after a reference that is right, and with another that is, whose row must stay
/// intact.
fn measured(place: &Place, entrants: Vec<Entrant>, effort: &Effort) -> Measured {
    let reference = Entrant { kind: Kind::Reference, ..place.right("reference") };
    let all: Vec<Entrant> = [reference].into_iter().chain(entrants).chain([place.right("right")]).collect();
    measure(&all, &place.work(), effort).unwrap()
}

/// What became of this one; the others must be as they should.
fn spoilt(place: &Place, entrant: Entrant, effort: &Effort) -> Row {
    let mut measured = measured(place, vec![entrant], effort);
    for (at, verdict) in [(0, Verdict::Reference), (2, Verdict::Same)] {
        let row = &measured.rows[at];
        assert_eq!((&row.verdict, &row.failures), (&verdict, &Vec::new()), "{}", row.name);
        assert_eq!(row.samples.iter().filter(|sample| sample.phase == Phase::Time).count(), 2);
        assert!(row.wall_s.is_some() && row.speedup.is_some() && row.memory_bytes.is_some());
    }
    let spoilt = measured.rows.swap_remove(1);
    assert!(spoilt.wall_s.is_some() || spoilt.letters.is_empty(), "alike to {}", spoilt.letters);
    spoilt
}

#[test]
fn a_crash_leaves_the_other_rows_intact() {
    let place = Place::new();
    let row = spoilt(&place, place.first("crash", "kill -SEGV $$"), &fixtures::effort());
    let Verdict::Differs { what, .. } = &row.verdict else { panic!("{:?}", row.verdict) };
    assert!(what.contains("output") && row.wall_s.is_none(), "{what}");
    let row = spoilt(&place, place.later("later", "kill -SEGV $$"), &fixtures::effort());
    assert_eq!(row.verdict, Verdict::Same);
    assert!(row.wall_s.is_none() && row.failures[0].contains("signal: 11"), "{:?}", row.failures);
}

#[test]
fn a_hang_leaves_the_other_rows_intact() {
    let effort = Effort { timeout: Duration::from_secs(2), ..fixtures::effort() };
    let place = Place::new();
    let row = spoilt(&place, place.first("hang", "sleep 1000"), &effort);
    assert_eq!(row.verdict, Verdict::Failed);
    assert!(row.failures[0].contains("timed out after 2 s"), "{:?}", row.failures);
}

#[test]
fn wrong_output_leaves_the_other_rows_intact() {
    let place = Place::new();
    let row = spoilt(&place, place.first("wrong", "echo more"), &fixtures::effort());
    let Verdict::Differs { what, difference, .. } = &row.verdict else { panic!("{:?}", row.verdict) };
    assert_eq!(what, "one: the output");
    assert_eq!(difference.as_ref().unwrap().found.as_deref(), Some("more"));
    let row = spoilt(&place, place.later("later", "echo more"), &fixtures::effort());
    assert!(row.failures[0].contains("11 bytes of output, not 6"), "{:?}", row.failures);
}

#[test]
fn a_missing_program_leaves_the_other_rows_intact() {
    let place = Place::new();
    let row = spoilt(&place, fixtures::entrant("missing", "/no/such/program", &[]), &fixtures::effort());
    assert_eq!(row.verdict, Verdict::Failed);
    assert!(row.failures[0].contains("/no/such/program"), "{:?}", row.failures);
}

#[test]
fn what_is_left_behind_leaves_the_other_rows_intact() {
    let place = Place::new();
    let row = spoilt(&place, place.first("litter", "setsid sleep 1000 &"), &fixtures::effort());
    assert_eq!(row.verdict, Verdict::Failed);
    assert!(row.failures[0].contains("left behind: sleep"), "{:?}", row.failures);
}

#[test]
fn runs_have_their_place_in_the_order_of_execution() {
    let place = Place::new();
    let measured = measured(&place, Vec::new(), &fixtures::effort());
    let mut samples: Vec<(&str, &Sample)> = measured
        .rows
        .iter()
        .flat_map(|row| row.samples.iter().map(|sample| (row.name.as_str(), sample)))
        .collect();
    samples.sort_by_key(|(_, sample)| sample.at);
    assert!(samples.iter().enumerate().all(|(nth, (_, sample))| sample.at == nth));
    assert!(samples.is_sorted_by_key(|(_, sample)| sample.start_s));
    let timed = samples.iter().filter(|(_, sample)| sample.phase == Phase::Time);
    let timed: Vec<&str> = timed.map(|(name, _)| *name).collect();
    assert_eq!(timed, ["reference", "right", "right", "reference"]);
}

/// It would wait for one request after the other. The others' time is compared with what is known
/// beforehand.
#[test]
fn where_all_wait_the_reference_is_checked_and_not_timed() {
    let place = Place::new();
    let origin = {
        let _alone = alone();
        fixtures::origin(&place, "echo \"$line\"")
    };
    let work = Work { origin: Some(&origin), ..place.work() };
    let all = [Entrant { kind: Kind::Reference, ..place.right("reference") }, place.right("right")];
    let measured = measure(&all, &work, &fixtures::effort()).unwrap();
    let [reference, right] = &measured.rows[..] else { panic!("two rows") };
    let phases = |row: &Row| row.samples.iter().map(|sample| sample.phase).collect::<Vec<_>>();
    assert_eq!(phases(reference), [Phase::Check, Phase::Empty]);
    assert_eq!(phases(right), [Phase::Check, Phase::Time, Phase::Time, Phase::Memory, Phase::Empty]);
    assert_eq!((&right.verdict, &right.failures), (&Verdict::Same, &Vec::new()), "the origin is none of its");
    let ideal = right.wall_s.unwrap().median / 0.06;
    assert!((right.of_ideal.unwrap() - ideal).abs() < 1e-9 && reference.of_ideal.is_none());
    assert!(right.speedup.is_none());
}

#[test]
fn what_was_measured_before_an_interruption_is_handed_over() {
    let place = Place::new();
    let pipe = place.path("pipe");
    mkfifoat(CWD, &pipe, Mode::RWXU).unwrap();
    let request = thread::spawn({
        let (cancel, pipe) = (place.cancel.clone(), pipe.clone());
        move || {
            fs::read(pipe).unwrap(); // waits for a writer
            cancel.request();
        }
    });
    // Checked, once timed, and in its second round it is not waited for.
    let script = format!(
        "n=$(cat {0} 2> /dev/null); echo \"x$n\" > {0}; if [ \"$n\" = xx ]; then echo > {1}; sleep 1000; fi",
        place.path("count").display(),
        pipe.display()
    );
    let effort = Effort { rounds: NonZeroUsize::new(5), ..fixtures::effort() };
    let measured = measured(&place, vec![place.first("slow", &script)], &effort);
    request.join().unwrap();
    assert!(measured.partial);
    assert_eq!(measured.rounds, 2);
    let timed = |row: &Row| row.samples.iter().filter(|sample| sample.phase == Phase::Time).count();
    assert_eq!(measured.rows.iter().map(timed).collect::<Vec<_>>(), [1, 1, 2]);
    assert!(measured.rows.iter().all(|row| row.failures.is_empty() && row.memory_bytes.is_none()));
}

#[test]
fn as_many_rounds_are_timed_as_fit_with_what_comes_later() {
    let effort = Effort { rounds: None, limit: Duration::from_secs(45), ..fixtures::effort() };
    assert_eq!(effort.timed_rounds(7.0, 8.0, 9.0), 4);
    assert_eq!(effort.timed_rounds(1.0, 8.0, 9.0), effort.at_most);
    assert_eq!(effort.timed_rounds(40.0, 80.0, 90.0), effort.at_least);
    assert_eq!(Effort { rounds: NonZeroUsize::new(9), ..effort }.timed_rounds(40.0, 80.0, 90.0), 9);
}

#[test]
fn when_the_time_is_up_each_phase_has_one_round_more() {
    let effort = Effort { rounds: None, limit: Duration::ZERO, memory_rounds: 3, ..fixtures::effort() };
    let place = Place::new();
    let measured = measured(&place, Vec::new(), &effort);
    let rounds = |phase: Phase| {
        let samples = measured.rows[1].samples.iter();
        samples.filter(|sample| sample.phase == phase).count()
    };
    assert_eq!((rounds(Phase::Time), rounds(Phase::Memory)), (effort.at_least, 1));
}
