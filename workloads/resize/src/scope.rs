//! Checks that an output belongs to its task.
//!
//! A worker on another machine is a separate program, which may be faulty or malicious. Its outputs
//! are checked against the tasks that it was sent before any of them is used: the name of a
//! thumbnail, for example, becomes the name of a file on this machine.

use serde_bytes::ByteBuf;

use super::{Content, MAX_PIXELS, MAX_SIDE, Made, Output, Settings, Task};

/// Maximum bytes of a thumbnail besides its pixels: headers, and the colour profile of its image.
const MAX_OVERHEAD: u64 = 32 << 20;

/// Maximum bytes of a thumbnail per pixel: more than any format needs for the noisiest image.
const MAX_BYTES_PER_PIXEL: u64 = 16;

/// What a valid output of a task may contain. It does not hold the image. See [`Task::scope`].
#[derive(Clone, Debug)]
pub struct Scope {
    source: ByteBuf,
    target: ByteBuf,
    is_missing: bool,
    width: u32,
    height: Option<u32>,
}

impl Task {
    /// What a valid output of this task may contain.
    #[must_use]
    pub fn scope(&self, settings: &Settings) -> Scope {
        let is_missing = matches!(self.content, Content::Missing(_));
        let (source, target) = (self.source.clone(), self.target.clone());
        Scope { source, target, is_missing, width: settings.width, height: settings.height }
    }
}

impl Scope {
    /// Checks that the output is a valid one of this task.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the output. The text quotes nothing of the output itself.
    pub fn accepts(&self, output: &Output) -> Result<(), String> {
        if (&output.source, &output.target) != (&self.source, &self.target) {
            return Err("its names are not those of the task".to_owned());
        }
        let Made::Thumbnail { bytes, width, height, pixels } = &output.made else { return Ok(()) };
        if self.is_missing {
            return Err("it is a thumbnail of an image that was not sent".to_owned());
        }
        let sides = 1..=MAX_SIDE;
        let fits = *width <= self.width && self.height.is_none_or(|max_height| *height <= max_height);
        let area = u64::from(*width).saturating_mul(u64::from(*height));
        let max_bytes = area.saturating_mul(MAX_BYTES_PER_PIXEL).saturating_add(MAX_OVERHEAD);
        if !sides.contains(width)
            || !sides.contains(height)
            || !fits
            || !(1..=MAX_PIXELS).contains(pixels)
            || bytes.is_empty()
            || bytes.len() as u64 > max_bytes
        {
            return Err("its size is impossible for a thumbnail of the task".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Fit, Format, Resizer,
        encode::encode,
        image::{Color, Meta},
        resizer::tests::picture,
    };

    fn task(size: (u32, u32), format: Format) -> Task {
        let image = picture(size.0, size.1, Color::Rgb);
        let file = encode(&image, &Meta::NONE, format, 90).unwrap();
        let (source, target) = (ByteBuf::from("a/photo"), ByteBuf::from("photo"));
        Task { source, target, content: Content::Bytes(ByteBuf::from(file)) }
    }

    #[test]
    fn true_outputs_are_accepted() {
        for (fit, format) in [Fit::Contain, Fit::Cover, Fit::Exact]
            .into_iter()
            .flat_map(|fit| [Format::Jpeg, Format::Png, Format::Webp].map(|format| (fit, format)))
        {
            for (size, enlarge) in [((90, 40), false), ((40, 90), true), ((3, 2), true), ((1, 1), false)] {
                let settings = Settings { fit, enlarge, width: 33, height: Some(20), ..Settings::default() };
                let task = task(size, format);
                let output = Resizer::new(&settings).task(&task);
                assert!(matches!(output.made, Made::Thumbnail { .. }), "{output:?}");
                assert_eq!(task.scope(&settings).accepts(&output), Ok(()), "{fit:?} {format:?} {size:?}");
                assert_eq!(task.scope(&settings).accepts(&task.failed("why")), Ok(()));
            }
        }
    }

    #[test]
    fn a_thumbnail_has_the_names_of_its_task_and_a_size_that_it_can_have() {
        let (settings, task) = (Settings { width: 33, ..Settings::default() }, task((90, 40), Format::Png));
        let (scope, truth) = (task.scope(&settings), Resizer::new(&settings).task(&task));
        for name in ["", "other", "../photo", "/photo", "photo/", "photo\0", "link/photo"] {
            let name = ByteBuf::from(name);
            for lie in [
                Output { target: name.clone(), ..truth.clone() },
                Output { source: name.clone(), ..truth.clone() },
                Output { target: name.clone(), ..task.failed("why") },
            ] {
                assert!(scope.accepts(&lie).is_err(), "{lie:?}");
            }
        }
        let Made::Thumbnail { bytes, width, height, pixels } = truth.made.clone() else {
            panic!("{truth:?}")
        };
        for (bytes, width, height, pixels) in [
            (ByteBuf::new(), width, height, pixels),
            (bytes.clone(), 0, height, pixels),
            (bytes.clone(), 34, height, pixels),
            (bytes.clone(), u32::MAX, u32::MAX, pixels),
            (bytes.clone(), width, 0, pixels),
            (bytes.clone(), width, MAX_SIDE + 1, pixels),
            (bytes.clone(), width, height, 0),
            (bytes.clone(), width, height, u64::MAX),
        ] {
            let made = Made::Thumbnail { bytes, width, height, pixels };
            assert!(scope.accepts(&Output { made, ..truth.clone() }).is_err());
        }
        let missing = Task { content: Content::Missing("gone".to_owned()), ..task };
        assert!(missing.scope(&settings).accepts(&truth).is_err());
    }
}
