//! Decodes the first frame of a GIF.

use std::io::Cursor;

use super::{
    Format,
    decode::{check, check_memory, pixels},
    image::{Color, Image, Meta, Orientation},
};

/// Maximum pixels that a byte of data can stand for: a code of twelve bits is one of 4096 strings,
/// the longest of which has as many pixels.
const MAX_RATIO: u64 = 4096 * 8 / 12 + 1;

/// Decodes the first frame on a transparent screen. A screen that is smaller than the frame is
/// enlarged.
pub(super) fn decode(file: &[u8], image: &mut Image, memory: u64) -> Result<Meta, String> {
    let describe = |error: gif::DecodingError| format!("damaged GIF: {error}");
    let mut decoder = gif::DecodeOptions::new().read_info(Cursor::new(file)).map_err(describe)?;
    let screen = (decoder.width(), decoder.height());
    let frame = decoder.next_frame_info().map_err(describe)?;
    let frame = frame.ok_or_else(|| "damaged GIF: it has no frame".to_owned())?;
    let (place, part, transparent) =
        ((frame.left, frame.top), (frame.width, frame.height), frame.transparent);
    let end = |start: u16, side: u16, screen: u16| (u32::from(start) + u32::from(side)).max(screen.into());
    let size = (end(place.0, part.0, screen.0), end(place.1, part.1, screen.1));
    let part = (u32::from(part.0), u32::from(part.1));
    check(size)?;
    check(part)?;
    if pixels(size) > MAX_RATIO * file.len() as u64 {
        let (width, height) = size;
        return Err(format!("damaged GIF: {} bytes are too few for {width}x{height} pixels", file.len()));
    }
    let color = if part == size && transparent.is_none() { Color::Rgb } else { Color::Rgba };
    check_memory(size, pixels(size) * color.memory() + pixels(part), memory)?;
    let palette = palette(decoder.palette().map_err(describe)?, transparent);
    let mut indices = vec![0; decoder.buffer_size()];
    decoder.read_into_buffer(&mut indices).map_err(describe)?;
    image.reset(size, color);
    draw(&indices, part, &palette, (place.0.into(), place.1.into()), image);
    let profile = decoder.icc_profile().map(<[u8]>::to_vec);
    Ok(Meta { format: Format::Png, size, scale: 1.0, orientation: Orientation::UPRIGHT, profile })
}

/// The colours of all indices, with alpha. Colours that the palette lacks are black.
fn palette(colors: &[u8], transparent: Option<u8>) -> [[u8; 4]; 256] {
    let mut palette = [[0, 0, 0, 255]; 256];
    for (entry, color) in palette.iter_mut().zip(colors.chunks_exact(3)) {
        entry[..3].copy_from_slice(color);
    }
    if let Some(index) = transparent {
        palette[usize::from(index)] = [0; 4];
    }
    palette
}

/// Draws a frame on a transparent image, which has room for it at this place.
fn draw(
    indices: &[u8],
    (width, _): (u32, u32),
    palette: &[[u8; 4]; 256],
    (left, top): (usize, usize),
    image: &mut Image,
) {
    let (samples, line) = (image.color.samples(), image.width as usize * image.color.samples());
    if image.color.has_alpha() {
        image.samples_mut().fill(0);
    }
    let rows = image.samples_mut().chunks_exact_mut(line).skip(top);
    for (row, indices) in rows.zip(indices.chunks_exact(width as usize)) {
        for (pixel, index) in row[left * samples..].chunks_exact_mut(samples).zip(indices) {
            pixel.copy_from_slice(&palette[usize::from(*index)][..samples]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Settings,
        resizer::tests::{decoded, made},
    };

    const PALETTE: [u8; 12] = [0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255];

    /// A file with frames of one colour each.
    fn file(screen: (u16, u16), frames: &[gif::Frame]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = gif::Encoder::new(&mut bytes, screen.0, screen.1, &PALETTE).unwrap();
        frames.iter().for_each(|frame| encoder.write_frame(frame).unwrap());
        drop(encoder);
        bytes
    }

    fn frame((left, top): (u16, u16), (width, height): (u16, u16), index: u8) -> gif::Frame<'static> {
        let buffer = vec![index; usize::from(width) * usize::from(height)].into();
        gif::Frame { left, top, width, height, buffer, ..gif::Frame::default() }
    }

    #[test]
    fn the_first_frame_is_the_image() {
        let (image, meta) = decoded(&file((8, 6), &[frame((0, 0), (8, 6), 1), frame((0, 0), (8, 6), 2)]));
        assert_eq!((image.size(), image.color, meta.format), ((8, 6), Color::Rgb, Format::Png));
        assert!(image.samples().chunks(3).all(|pixel| pixel == [255, 0, 0]));
    }

    #[test]
    fn an_interlaced_frame_has_its_rows_in_order() {
        let rows = |nth: u16| (0..8).map(move |_| (nth % 4) as u8);
        let plain = gif::Frame { buffer: (0..10).flat_map(rows).collect(), ..frame((0, 0), (8, 10), 0) };
        let order = [0, 8, 4, 2, 6, 1, 3, 5, 7, 9];
        let passes = order.into_iter().flat_map(rows).collect();
        let interlaced = gif::Frame { interlaced: true, buffer: passes, ..plain.clone() };
        assert_eq!(decoded(&file((8, 10), &[interlaced])).0, decoded(&file((8, 10), &[plain])).0);
    }

    #[test]
    fn what_no_frame_covers_is_transparent() {
        for (screen, place, size) in
            [((8, 6), (2, 3), (8, 6)), ((3, 3), (2, 3), (5, 4)), ((0, 0), (0, 0), (3, 1))]
        {
            let (image, _) = decoded(&file(screen, &[frame(place, (3, 1), 2)]));
            let size = if screen == (8, 6) { (8, 6) } else { size };
            assert_eq!(image.size(), size);
            for (at, pixel) in image.samples().chunks(image.color.samples()).enumerate() {
                let (x, y) = (at as u32 % size.0, at as u32 / size.0);
                let is_inside =
                    (place.0.into()..u32::from(place.0) + 3).contains(&x) && y == u32::from(place.1);
                let expected = if is_inside { [0, 255, 0, 255] } else { [0; 4] };
                assert_eq!(pixel, &expected[..pixel.len()], "{x} {y}");
            }
        }
    }

    #[test]
    fn a_transparent_colour_is_transparent() {
        let frame = gif::Frame { transparent: Some(1), ..frame((0, 0), (8, 6), 1) };
        let (image, _) = decoded(&file((8, 6), &[frame]));
        assert_eq!((image.color, image.samples().iter().max()), (Color::Rgba, Some(&0)));
    }

    #[test]
    fn a_damaged_file_says_so() {
        let whole = file((64, 48), &[frame((0, 0), (64, 48), 1)]);
        for part in [6, 10, 20, 30, whole.len() / 2, whole.len() - 6] {
            let why = made(&Settings::default(), whole[..part].to_vec()).unwrap_err();
            assert!(why.starts_with("damaged GIF: "), "{part}: {why}");
        }
        // Only the end marker is missing.
        assert_eq!(decoded(&whole[..whole.len() - 1]), decoded(&whole));
    }

    #[test]
    fn a_few_bytes_do_not_take_much_memory() {
        let claiming = |at: usize| {
            let mut file = file((64, 48), &[frame((0, 0), (64, 48), 1)]);
            file[at..at + 4].copy_from_slice(&[0xb0, 0x36, 0xb0, 0x36]); // 14,000 for each
            made(&Settings::default(), file).unwrap_err()
        };
        // The screen's size follows the signature; the frame's its palette, a marker and its place.
        let frame = 6 + 7 + PALETTE.len() + 8 + 5;
        for at in [6, frame] {
            let why = claiming(at);
            assert!(why.contains("bytes are too few for 14000x14000 pixels"), "{why}");
        }
    }
}
