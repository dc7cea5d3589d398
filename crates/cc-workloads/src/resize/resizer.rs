//! The kernel.

use std::{io::Cursor, path::PathBuf};

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, imageops::FilterType};
use serde_bytes::ByteBuf;

use super::{Content, Fit, Format, Made, Output, Settings, Task, read::read};

/// One worker's resizer. It starts no threads, and a panic leaves it usable. It holds what one image takes.
#[derive(Clone, Debug)]
pub struct Resizer {
    settings: Settings,
    base: PathBuf,
    /// The file in hand.
    file: Vec<u8>,
}

impl Resizer {
    /// Gets ready for a job with these settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self { settings: settings.clone(), base: settings.base().to_owned(), file: Vec::new() }
    }

    /// Does a task.
    #[must_use]
    pub fn task(&mut self, task: &Task) -> Output {
        #[cfg(feature = "faults")]
        self.settings.faults.strike(&task.source, 0);
        match self.thumbnail(task) {
            Ok(made) => Output { source: task.source.clone(), target: task.target.clone(), made },
            Err(why) => task.failed(&why),
        }
    }

    fn thumbnail(&mut self, task: &Task) -> Result<Made, String> {
        let bytes = match &task.content {
            Content::File => {
                read(task, &self.base, &mut self.file)?;
                &self.file
            }
            Content::Bytes(bytes) => &**bytes,
            Content::Missing(why) => return Err(why.clone()),
        };
        let say = |error: image::ImageError| error.to_string();
        let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
        let kind = reader.format();
        let mut decoder = reader.into_decoder().map_err(say)?;
        let orientation = decoder.orientation().map_err(say)?;
        let mut image = DynamicImage::from_decoder(decoder).map_err(say)?;
        let pixels = u64::from(image.width()) * u64::from(image.height());
        image.apply_orientation(orientation);
        #[cfg(feature = "faults")]
        self.settings.faults.strike(&task.source, 1);
        let (width, height) = (self.settings.width, self.settings.height);
        let image = match self.settings.fit {
            Fit::Contain => image.resize(width, height.unwrap_or(u32::MAX), FilterType::Lanczos3),
            Fit::Cover => image.resize_to_fill(width, height.unwrap_or(width), FilterType::Lanczos3),
            Fit::Exact => image.resize_exact(width, height.unwrap_or(width), FilterType::Lanczos3),
        };
        let kind = match self.settings.format {
            None => kind.unwrap_or(ImageFormat::Jpeg),
            Some(Format::Jpeg) => ImageFormat::Jpeg,
            Some(Format::Png) => ImageFormat::Png,
            Some(Format::Webp) => ImageFormat::WebP,
        };
        let mut bytes = Vec::new();
        let image = DynamicImage::from(image.into_rgb8());
        image.write_to(&mut Cursor::new(&mut bytes), kind).map_err(say)?;
        Ok(Made::Thumbnail {
            bytes: ByteBuf::from(bytes),
            width: image.width(),
            height: image.height(),
            pixels,
        })
    }
}
