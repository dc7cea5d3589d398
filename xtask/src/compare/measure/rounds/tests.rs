use std::{num::NonZeroUsize, thread};

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::{
    compare::{
        measure::fixtures::{self, Fixture},
        result::Verdict,
    },
    process::guard::exclusive,
};

use super::*;

/// Measures the entrants between a correct reference and a correct model.
fn measured(fixture: &Fixture, entrants: Vec<Entrant>, effort: &Effort) -> Measured {
    let reference = Entrant { kind: Kind::Reference, ..fixture.right("reference") };
    let all: Vec<Entrant> = [reference].into_iter().chain(entrants).chain([fixture.right("right")]).collect();
    measure(&all, &fixture.work(), effort).unwrap()
}

/// The row of this entrant, after checking that the rows of the correct programs are complete.
fn faulty_row(fixture: &Fixture, entrant: Entrant, effort: &Effort) -> Row {
    let mut measured = measured(fixture, vec![entrant], effort);
    for (at, verdict) in [(0, Verdict::Reference), (2, Verdict::Same)] {
        let row = &measured.rows[at];
        assert_eq!((&row.verdict, &row.failures), (&verdict, &Vec::new()), "{}", row.name);
        assert_eq!(row.samples.iter().filter(|sample| sample.phase == Phase::Time).count(), 2);
        assert!(row.wall_s.is_some() && row.speedup.is_some() && row.memory_bytes.is_some());
    }
    let faulty = measured.rows.swap_remove(1);
    assert!(faulty.wall_s.is_some() || faulty.letters.is_empty(), "it has letters: {}", faulty.letters);
    faulty
}

#[test]
fn a_crash_leaves_the_other_rows_intact() {
    let fixture = Fixture::new();
    let row = faulty_row(&fixture, fixture.first("crash", "kill -SEGV $$"), &fixtures::effort());
    let Verdict::Differs { what, .. } = &row.verdict else { panic!("{:?}", row.verdict) };
    assert!(what.contains("output") && row.wall_s.is_none(), "{what}");
    let row = faulty_row(&fixture, fixture.later("later", "kill -SEGV $$"), &fixtures::effort());
    assert_eq!(row.verdict, Verdict::Same);
    assert!(row.wall_s.is_none() && row.failures[0].contains("signal: 11"), "{:?}", row.failures);
}

#[test]
fn a_hang_leaves_the_other_rows_intact() {
    let effort = Effort { timeout: Duration::from_secs(2), ..fixtures::effort() };
    let fixture = Fixture::new();
    let row = faulty_row(&fixture, fixture.first("hang", "sleep 1000"), &effort);
    assert_eq!(row.verdict, Verdict::Failed);
    assert!(row.failures[0].contains("timed out after 2 s"), "{:?}", row.failures);
}

#[test]
fn wrong_output_leaves_the_other_rows_intact() {
    let fixture = Fixture::new();
    let row = faulty_row(&fixture, fixture.first("wrong", "echo more"), &fixtures::effort());
    let Verdict::Differs { what, difference, .. } = &row.verdict else { panic!("{:?}", row.verdict) };
    assert_eq!(what, "one: the output");
    assert_eq!(difference.as_ref().unwrap().found.as_deref(), Some("more"));
    let row = faulty_row(&fixture, fixture.later("later", "echo more"), &fixtures::effort());
    assert!(row.failures[0].contains("11 bytes of output, not 6"), "{:?}", row.failures);
}

#[test]
fn a_missing_program_leaves_the_other_rows_intact() {
    let fixture = Fixture::new();
    let row =
        faulty_row(&fixture, fixtures::entrant("missing", "/no/such/program", &[]), &fixtures::effort());
    assert_eq!(row.verdict, Verdict::Failed);
    assert!(row.failures[0].contains("/no/such/program"), "{:?}", row.failures);
}

#[test]
fn a_leftover_process_leaves_the_other_rows_intact() {
    let fixture = Fixture::new();
    let row = faulty_row(&fixture, fixture.first("litter", "setsid sleep 1000 &"), &fixtures::effort());
    assert_eq!(row.verdict, Verdict::Failed);
    assert!(row.failures[0].contains("left behind: sleep"), "{:?}", row.failures);
}

#[test]
fn runs_are_numbered_in_the_order_of_execution() {
    let fixture = Fixture::new();
    let measured = measured(&fixture, Vec::new(), &fixtures::effort());
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

/// The reference would wait for one request after the other. The others are compared with the ideal
/// time instead.
#[test]
fn if_all_programs_wait_the_reference_is_checked_but_not_timed() {
    let fixture = Fixture::new();
    let origin = {
        let _exclusive = exclusive();
        fixtures::origin(&fixture, "echo \"$line\"")
    };
    let work = Work { origin: Some(&origin), ..fixture.work() };
    let all = [Entrant { kind: Kind::Reference, ..fixture.right("reference") }, fixture.right("right")];
    let measured = measure(&all, &work, &fixtures::effort()).unwrap();
    let [reference, right] = &measured.rows[..] else { panic!("two rows") };
    let phases = |row: &Row| row.samples.iter().map(|sample| sample.phase).collect::<Vec<_>>();
    assert_eq!(phases(reference), [Phase::Check, Phase::Empty]);
    assert_eq!(phases(right), [Phase::Check, Phase::Time, Phase::Time, Phase::Memory, Phase::Empty]);
    assert_eq!(
        (&right.verdict, &right.failures),
        (&Verdict::Same, &Vec::new()),
        "the origin must not count as its process"
    );
    let ideal = right.wall_s.unwrap().median / 0.06;
    assert!((right.of_ideal.unwrap() - ideal).abs() < 1e-9 && reference.of_ideal.is_none());
    assert!(right.speedup.is_none());
}

#[test]
fn an_interruption_returns_what_has_been_measured() {
    let fixture = Fixture::new();
    let pipe = fixture.path("pipe");
    mkfifoat(CWD, &pipe, Mode::RWXU).unwrap();
    let request = thread::spawn({
        let (cancel, pipe) = (fixture.cancel.clone(), pipe.clone());
        move || {
            fs::read(pipe).unwrap(); // waits for a writer
            cancel.request();
        }
    });
    // The run of the check and the first timed run end; the second timed run is interrupted.
    let script = format!(
        "n=$(cat {0} 2> /dev/null); echo \"x$n\" > {0}; if [ \"$n\" = xx ]; then echo > {1}; sleep 1000; fi",
        fixture.path("count").display(),
        pipe.display()
    );
    let effort = Effort { rounds: NonZeroUsize::new(5), ..fixtures::effort() };
    let measured = measured(&fixture, vec![fixture.first("slow", &script)], &effort);
    request.join().unwrap();
    assert!(measured.partial);
    assert_eq!(measured.rounds, 2);
    let timed = |row: &Row| row.samples.iter().filter(|sample| sample.phase == Phase::Time).count();
    assert_eq!(measured.rows.iter().map(timed).collect::<Vec<_>>(), [1, 1, 2]);
    assert!(measured.rows.iter().all(|row| row.failures.is_empty() && row.memory_bytes.is_none()));
}

#[test]
fn the_number_of_timed_rounds_leaves_time_for_later_phases() {
    let effort = Effort { rounds: None, limit: Duration::from_secs(45), ..fixtures::effort() };
    assert_eq!(effort.timed_rounds(7.0, 8.0, 9.0), 4);
    assert_eq!(effort.timed_rounds(1.0, 8.0, 9.0), effort.at_most);
    assert_eq!(effort.timed_rounds(40.0, 80.0, 90.0), effort.at_least);
    assert_eq!(Effort { rounds: NonZeroUsize::new(9), ..effort }.timed_rounds(40.0, 80.0, 90.0), 9);
}

#[test]
fn after_the_time_limit_each_phase_still_has_its_minimum_of_rounds() {
    let effort = Effort { rounds: None, limit: Duration::ZERO, memory_rounds: 3, ..fixtures::effort() };
    let fixture = Fixture::new();
    let measured = measured(&fixture, Vec::new(), &effort);
    let rounds = |phase: Phase| {
        let samples = measured.rows[1].samples.iter();
        samples.filter(|sample| sample.phase == phase).count()
    };
    assert_eq!((rounds(Phase::Time), rounds(Phase::Memory)), (effort.at_least, 1));
}
