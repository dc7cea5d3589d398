//! Bounds: memory with many images and with a slow reader.

use std::ops::ControlFlow;

use cc_conformance::{case::Case, subject::Subject, tree};
use cc_workloads::{
    Sink,
    resize::{Format, Made, Output, Settings},
};

use super::{Resize, corpus, run_result::Invocation};

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("memory_for_many_images", memory_for_many_images)]
}

/// Memory of a worker besides its image: buffers, stacks, and the process itself in models with
/// worker processes.
const WORKER: u64 = 4 << 20;

/// Allowed difference between two runs: the number of images in flight varies, and so does the
/// memory before a run.
const SLACK: u64 = 16 << 20;

/// A slow reader: before it takes an output, it waits until all other threads sleep, and measures
/// memory.
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

/// Memory is that of one image per worker and of some thumbnails that wait for the reader. It is
/// the same for ten images and for two hundred.
fn memory_for_many_images(subject: &Subject) {
    let image = u64::from(corpus::LARGE.0) * u64::from(corpus::LARGE.1) * 3;
    for workers in [2, 4] {
        let peak = peak(subject, workers, "large.jpg", 16);
        // Twice an image: the file is in memory before the image is, and the allocator rounds up.
        let most = workers as u64 * (2 * image + WORKER) + SLACK;
        assert!(peak <= most, "{} MB with {workers} workers, not {}", peak / 1_000_000, most / 1_000_000);
    }
    let (few, many) = (peak(subject, 2, corpus::MIDDLE, 10), peak(subject, 2, corpus::MIDDLE, 200));
    let (few_mb, many_mb) = (few / 1_000_000, many / 1_000_000);
    assert!(many <= few * 13 / 10 + SLACK / 2, "{few_mb} MB for 10 images, {many_mb} MB for 200");
}

/// The peak memory of the processes while they wait for the reader.
fn peak(subject: &Subject, workers: usize, image: &str, images: usize) -> u64 {
    let mut invocation = Invocation::new();
    invocation.sources = vec![corpus::path(image); images];
    // Large thumbnails, so that memory shows if they pile up.
    invocation.settings = Settings { width: 320, format: Some(Format::Png), ..invocation.settings };
    let mut slow = Slow::default();
    subject.run::<Resize>(&invocation.job(), &subject.ctx_with_window(workers, 4), &mut slow);
    assert_eq!(slow.pushes, images);
    slow.peak
}
