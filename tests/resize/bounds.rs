//! Bounds: memory, however many images there are and however slow the reader is.

use std::ops::ControlFlow;

use cc_conformance::{case::Case, subject::Subject, tree};
use cc_workloads::{
    Sink,
    resize::{Format, Made, Output, Settings},
};

use super::{Resize, corpus, observe::Asked};

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("memory_for_many_images", memory_for_many_images)]
}

/// What a worker may need beside the image in its hands: buffers, stacks, and itself, if it is a process.
const WORKER: u64 = 4 << 20;

/// What may be in flight in one run and happen not to be in another, and what there is before a run.
const SLACK: u64 = 16 << 20;

/// Waits before it takes an output until everybody else has nothing more to do, and measures.
#[derive(Default)]
struct Slow {
    pushes: usize,
    peak: u64,
}

impl Sink<Output> for Slow {
    fn push(&mut self, output: Output) -> ControlFlow<()> {
        assert!(matches!(output.made, Made::Thumbnail { .. }), "no thumbnail of a good image");
        self.pushes += 1;
        if self.pushes < 8 || self.pushes.is_multiple_of(10) {
            tree::wait_until_quiet();
            self.peak = self.peak.max(tree::memory());
        }
        ControlFlow::Continue(())
    }
}

/// Each worker holds an image, and some thumbnails wait for the reader; that is all, after ten
/// images or two hundred.
fn memory_for_many_images(subject: &Subject) {
    let image = u64::from(corpus::LARGE.0) * u64::from(corpus::LARGE.1) * 3;
    for workers in [2, 4] {
        let peak = peak(subject, workers, "large.jpg", 16);
        // Twice, since it is a file before it is an image and the allocator rounds up.
        let most = workers as u64 * (2 * image + WORKER) + SLACK;
        assert!(peak <= most, "{} MB with {workers} workers, not {}", peak / 1_000_000, most / 1_000_000);
    }
    let (few, many) = (peak(subject, 2, corpus::MIDDLE, 10), peak(subject, 2, corpus::MIDDLE, 200));
    let (few_mb, many_mb) = (few / 1_000_000, many / 1_000_000);
    assert!(many <= few * 13 / 10 + SLACK / 2, "{few_mb} MB for 10 images, {many_mb} MB for 200");
}

/// The most memory that the family of processes has while the reader is waited for.
fn peak(subject: &Subject, workers: usize, image: &str, images: usize) -> u64 {
    let mut asked = Asked::new();
    asked.sources = vec![corpus::path(image); images];
    // Large thumbnails, so that those that pile up are seen.
    asked.settings = Settings { width: 320, format: Some(Format::Png), ..asked.settings };
    let mut slow = Slow::default();
    subject.run::<Resize>(&asked.job(), &subject.ctx_with_window(workers, 4), &mut slow);
    assert_eq!(slow.pushes, images);
    slow.peak
}
