//! Whether an output belongs to a task.
//!
//! A worker on another machine is another program, perhaps another's. What it answers is checked
//! against the task that it was sent before any of it is used: the name of a thumbnail is the name
//! of a file that is written here.

use serde_bytes::ByteBuf;

use super::{Content, MAX_PIXELS, MAX_SIDE, Made, Output, Settings, Task};

/// What a thumbnail takes beside its pixels: headers, and the colour profile of its image.
const BESIDE: u64 = 32 << 20;

/// Bytes that no format needs for a pixel, however noisy it is.
const PIXEL: u64 = 16;

/// What a task covers, without the image. See [`Task::scope`].
#[derive(Clone, Debug)]
pub struct Scope {
    source: ByteBuf,
    target: ByteBuf,
    is_missing: bool,
    width: u32,
    height: Option<u32>,
}

impl Task {
    /// What an output of this task may speak of.
    #[must_use]
    pub fn scope(&self, settings: &Settings) -> Scope {
        let is_missing = matches!(self.content, Content::Missing(_));
        let (source, target) = (self.source.clone(), self.target.clone());
        Scope { source, target, is_missing, width: settings.width, height: settings.height }
    }
}

impl Scope {
    /// Checks that the output is one of this task.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words that quote no text from outside.
    pub fn accepts(&self, output: &Output) -> Result<(), String> {
        if (&output.source, &output.target) != (&self.source, &self.target) {
            return Err("it has another name than the task".to_owned());
        }
        let Made::Thumbnail { bytes, width, height, pixels } = &output.made else { return Ok(()) };
        if self.is_missing {
            return Err("it is a thumbnail of an image that was not sent".to_owned());
        }
        let sides = 1..=MAX_SIDE;
        let is_inside = *width <= self.width && self.height.is_none_or(|most| *height <= most);
        let area = u64::from(*width).saturating_mul(u64::from(*height));
        let most = area.saturating_mul(PIXEL).saturating_add(BESIDE);
        if !sides.contains(width)
            || !sides.contains(height)
            || !is_inside
            || !(1..=MAX_PIXELS).contains(pixels)
            || bytes.is_empty()
            || bytes.len() as u64 > most
        {
            return Err("no thumbnail of the task has such a size".to_owned());
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
        let file = encode(image, &Meta::NONE, format, 90).unwrap();
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
