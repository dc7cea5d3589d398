//! The mutants of this workload: each must be rejected by the cases that look for its mistake.

use std::{fs, mem};

use cc_conformance::{
    mutant::{self, edited},
    workload::{Rejected, Run},
};
use cc_workloads::{
    Ctx, Result, Sink,
    resize::{Job, Made, Output, Resizer, sequential},
};

use super::Resize;

/// The mutants of every workload, and those of this one.
pub(super) fn all() -> Vec<(&'static str, Run<Resize>)> {
    let own: [(_, Run<Resize>); 7] = [
        ("lets_panics_through", lets_panics_through),
        ("hides_failures", hides_failures),
        ("swaps_two", swaps_two),
        ("alters_a_byte", alters_a_byte),
        ("forgets_the_folders", forgets_the_folders),
        ("leaves_half_a_file", leaves_half_a_file),
        ("keeps_every_image", keeps_every_image),
    ];
    mutant::all::<Resize>().into_iter().chain(own).collect()
}

/// Each mutant, the cases that must reject it, and a part of the message with which they do.
pub(super) const REJECTED: &[Rejected] = &[
    ("drops_one", &["good_images", "into_a_folder"], "the images differ"),
    ("repeats_one", &["good_images", "into_a_folder"], "the images differ"),
    ("stops_early", &["good_images", "bad_images", "two_thousand_of_one_pixel"], "the images differ"),
    ("does_nothing", &["good_images", "bad_images"], "the images differ"),
    ("hoards", &["break_ends_the_work"], "images were begun"),
    ("hoards", &["memory_for_many_images"], "MB for 200"),
    ("keeps_every_image", &["memory_for_many_images"], "MB with 2 workers"),
    ("ignores_the_stop", &["stop_midway", "stop_before_the_start"], ""),
    ("ignores_the_stop", &["stop_by_its_own_sink"], "pushed after the request"),
    ("ignores_the_stop", &["break_after_some"], "not asked to stop"),
    ("pushes_after_break", &["break_after_some", "break_ends_the_work"], "pushed after Break"),
    ("pushes_after_break", &["no_room_in_the_folder"], "pushed after the folder was full"),
    ("lets_panics_through", &["panic_before_an_image", "panic_within_an_image"], "planned"),
    ("hides_failures", &["bad_images", "troublesome_operands"], "the images differ"),
    ("swaps_two", &["good_images"], ""),
    ("alters_a_byte", &["good_images"], ""),
    ("alters_a_byte", &["into_a_folder"], ""),
    ("forgets_the_folders", &["into_a_folder"], "instead of"),
    ("leaves_half_a_file", &["into_a_folder"], "the folder's files differ"),
    ("leaves_half_a_file", &["stop_midway"], ""),
    ("starts_a_thread", &["no_threads_but_the_models"], "threads instead of"),
    ("leaves_a_thread", &["good_images", "stop_midway"], "left behind"),
    ("leaves_a_process", &["good_images"], "left behind"),
    ("leaves_a_descriptor", &["good_images"], "left behind"),
    ("leaves_a_file", &["good_images"], "left behind"),
    ("prints", &["good_images"], "where the output belongs"),
    ("hangs", &["good_images"], "resize::hangs::good_images hung"),
];

fn lets_panics_through(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let mut resizer = Resizer::new(&job.settings);
    let _ = job.tasks(&ctx.stop).try_for_each(|task| ctx.emit(resizer.task(&task), out));
    Ok(())
}

fn hides_failures(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    edited::<Resize>(job, ctx, out, |_, output| match output.made {
        Made::Failed(_) => vec![],
        Made::Thumbnail { .. } => vec![output],
    })
}

/// Exchanges the thumbnails of two images.
fn swaps_two(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let mut held = vec![];
    edited::<Resize>(job, ctx, out, |nth, mut output| match nth {
        5 => {
            held.push(output);
            vec![]
        }
        6 => {
            let mut other = held.remove(0);
            mem::swap(&mut other.made, &mut output.made);
            vec![output, other]
        }
        _ => vec![output],
    })
}

fn alters_a_byte(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    edited::<Resize>(job, ctx, out, |nth, mut output| {
        if let (3, Made::Thumbnail { bytes, .. }) = (nth, &mut output.made) {
            *bytes.last_mut().expect("it has bytes") ^= 1;
        }
        vec![output]
    })
}

/// Writes all thumbnails into one folder.
fn forgets_the_folders(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    edited::<Resize>(job, ctx, out, |_, mut output| {
        let name = output.target.rsplit(|byte| *byte == b'/').next().map(<[u8]>::to_vec);
        output.target = name.unwrap_or_default().into();
        vec![output]
    })
}

/// Writes the target itself and not a temporary file, and not to its end.
fn leaves_half_a_file(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    if let Some(folder) = &job.out {
        fs::write(folder.join(".half"), "half").expect("it can be written");
    }
    sequential::run(job, ctx, out)
}

/// Keeps the buffers of each image until the end.
fn keeps_every_image(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let mut resizers = vec![];
    let _ = job.tasks(&ctx.stop).try_for_each(|task| {
        let mut resizer = Resizer::new(&job.settings);
        let output = resizer.task(&task);
        resizers.push(resizer);
        ctx.emit(output, out)
    });
    Ok(())
}
