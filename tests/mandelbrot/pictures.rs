//! Pictures of all shapes, divided in all ways: every tile comes once, and every count is the
//! reference's.

use cc_conformance::{case::Case, subject::Subject};
use cc_workloads::mandelbrot::{Region, View, escape_time};

use super::run_result::{RunResult, conforms, tiled, tiles, view};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("picture", |subject| conforms(subject, &view(300, 200))),
        Case::new("counts_are_as_defined", counts_are_as_defined),
        Case::new("one_pixel", |subject| conforms(subject, &view(1, 1))),
        Case::new("one_row", |subject| conforms(subject, &view(500, 1))),
        Case::new("one_column", |subject| conforms(subject, &view(1, 500))),
        Case::new("tiles_that_do_not_fit", |subject| conforms(subject, &tiled(view(101, 67), 7, 13))),
        Case::new("tiles_of_one_pixel", |subject| conforms(subject, &tiled(view(64, 48), 1, 1))),
        Case::new("tile_larger_than_the_picture", |subject| {
            conforms(subject, &tiled(view(50, 40), 999, 999));
        }),
        Case::new("rows", |subject| conforms(subject, &tiled(view(300, 200), 1, 300))),
        Case::new("columns", |subject| conforms(subject, &tiled(view(300, 200), 200, 1))),
        Case::new("tiles_a_task", tiles_a_task),
        Case::new("max_iter", max_iter),
        Case::new("other_regions", other_regions),
    ]
}

/// Compares with the definition, and not only with the reference.
fn counts_are_as_defined(subject: &Subject) {
    let view = tiled(view(75, 50), 9, 20);
    let run_result = RunResult::of(subject, &view, &subject.ctx(2));
    let Region { x0, y0, x1, y1 } = view.region;
    let mut counts = run_result.counts.iter();
    for row in 0..50 {
        for column in 0..75 {
            let x = x0 + (f64::from(column) + 0.5) * ((x1 - x0) / 75.0);
            let y = y1 + (f64::from(row) + 0.5) * ((y0 - y1) / 50.0);
            let defined = escape_time(x, y, view.max_iter);
            assert_eq!(counts.next(), Some(&defined), "row {row}, column {column}");
        }
    }
    assert!(run_result.counts.contains(&view.max_iter), "some of it is in the set");
}

/// Tasks have the number of tiles that the job asks for, independent of what the model would
/// choose.
fn tiles_a_task(subject: &Subject) {
    let view = tiled(view(60, 40), 4, 4);
    for each in [1, 7, 1000] {
        let run_result = RunResult::in_tasks_of(each, subject, &view, &subject.ctx(2));
        run_result.assert_same(&RunResult::reference(&view), &view);
        let tasks = tiles(&view).div_ceil(each.into());
        assert_eq!(run_result.tasks, tasks, "tasks are not of {each}");
    }
}

fn max_iter(subject: &Subject) {
    for max_iter in [0, 1, 2, 70_000] {
        conforms(subject, &View { max_iter, ..view(40, 30) });
    }
}

/// Regions inside and outside of the set, deep zooms, upside down, and of no extent.
fn other_regions(subject: &Subject) {
    for (x0, y0, x1, y1) in [
        (-0.1, -0.1, 0.1, 0.1),
        (2.0, 2.0, 3.0, 3.0),
        (-0.743_643_9, 0.131_825_3, -0.743_643_8, 0.131_825_4),
        (0.5, 1.0, -2.0, -1.0),
        (0.0, 0.0, 0.0, 0.0),
    ] {
        conforms(subject, &View { region: Region { x0, y0, x1, y1 }, ..view(90, 70) });
    }
}
