//! Pictures of all shapes, cut in all ways: every tile comes once, and every count is the reference's.

use std::{ops::ControlFlow, process};

use cc_conformance::{
    case::{Case, Needs},
    subject::Subject,
    tree,
};
use cc_workloads::{
    Sink,
    mandelbrot::{Job, Output, Region, View, escape_time},
};

use super::{
    Mandelbrot,
    observe::{Observed, conforms, conforms_in, tiled, tiles, view},
};

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
        Case::new("one_worker", |subject| with_workers(subject, 1, None)),
        Case::new("three_workers", |subject| with_workers(subject, 3, None)),
        Case::new("sixty_four_workers", |subject| with_workers(subject, 64, None)),
        Case::new("window_of_one", |subject| with_workers(subject, 2, Some(1))),
        Case::new("one_worker_window_of_one", |subject| with_workers(subject, 1, Some(1))),
        Case::new("no_threads_but_the_models", no_threads_but_the_models).needs(Needs::Reference),
    ]
}

/// Not only as the reference has them.
fn counts_are_as_defined(subject: &Subject) {
    let view = tiled(view(75, 50), 9, 20);
    let observed = Observed::of(subject, &view, &subject.ctx(2));
    let Region { x0, y0, x1, y1 } = view.region;
    let mut counts = observed.counts.iter();
    for row in 0..50 {
        for column in 0..75 {
            let x = x0 + (f64::from(column) + 0.5) * ((x1 - x0) / 75.0);
            let y = y1 + (f64::from(row) + 0.5) * ((y0 - y1) / 50.0);
            let defined = escape_time(x, y, view.max_iter);
            assert_eq!(counts.next(), Some(&defined), "row {row}, column {column}");
        }
    }
    assert!(observed.counts.contains(&view.max_iter), "some of it is in the set");
}

/// As many as the job asks for, however many the model would have chosen.
fn tiles_a_task(subject: &Subject) {
    let view = tiled(view(60, 40), 4, 4);
    for each in [1, 7, 1000] {
        let observed = Observed::in_tasks_of(each, subject, &view, &subject.ctx(2));
        observed.assert_same(&Observed::reference(&view), &view);
        let tasks = tiles(&view).div_ceil(each.into());
        assert_eq!(observed.tasks, tasks, "tasks are not of {each}");
    }
}

fn max_iter(subject: &Subject) {
    for max_iter in [0, 1, 2, 70_000] {
        conforms(subject, &View { max_iter, ..view(40, 30) });
    }
}

/// All inside, all outside, far in, upside down, and nothing at all.
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

fn with_workers(subject: &Subject, workers: usize, window: Option<usize>) {
    let ctx = || match window {
        Some(window) => subject.ctx_with_window(workers, window),
        None => subject.ctx(workers),
    };
    conforms_in(subject, &view(300, 200), &ctx());
    conforms_in(subject, &tiled(view(30, 20), 1, 1), &ctx());
    conforms_in(subject, &view(1, 1), &ctx());
}

/// The kernel starts no threads of its own.
fn no_threads_but_the_models(subject: &Subject) {
    struct Count(usize);
    impl Sink<Output> for Count {
        fn push(&mut self, _: Output) -> ControlFlow<()> {
            self.0 = self.0.max(tree::threads(process::id()).len());
            ControlFlow::Continue(())
        }
    }
    let mut count = Count(0);
    subject.run::<Mandelbrot>(&Job::new(view(300, 200)), &subject.ctx(2), &mut count);
    assert_eq!(count.0, 1, "{} threads instead of 1", count.0);
}
