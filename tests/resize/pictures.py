"""Compares thumbnails with those of Pillow, and of libvips if pyvips is there.

    pictures.py make DIR           makes a few hundred images of all kinds, good and bad
    pictures.py compare DIR OUT    compares the thumbnails in OUT, which are PNG, with its own

The name of a file begins with the name of its group. Groups whose names begin with "un" hold what
is documented as unsupported, and "damaged" what has no whole image: there must be no thumbnail.
"""

import io
import os
import struct
import sys

import numpy as np
from PIL import GifImagePlugin, Image, ImageFile, ImageOps

ImageFile.LOAD_TRUNCATED_IMAGES = True  # a file without its end marker has a whole image
WIDTH = 48
MOST = 2.0  # the mean difference of the samples, of 255
ZIGZAG = sorted(range(64), key=lambda at: (at // 8 + at % 8, (at // 8 if (at // 8 + at % 8) % 2 else at % 8)))
SAMPLINGS = {
    "444": [(1, 1)] * 3,
    "422": [(2, 1), (1, 1), (1, 1)],
    "420": [(2, 2), (1, 1), (1, 1)],
    "440": [(1, 2), (1, 1), (1, 1)],
    "411": [(4, 1), (1, 1), (1, 1)],
    "410": [(4, 2), (1, 1), (1, 1)],
    "441": [(1, 4), (1, 1), (1, 1)],
    "mixed": [(2, 2), (2, 1), (1, 2)],
    "one-half": [(2, 2), (1, 1), (2, 2)],
    "doubled": [(2, 1)] * 3,
}


def scene(width, height, samples=3):
    """A picture that differs in every direction."""
    y, x = np.mgrid[0:height, 0:width]
    right, down = x * 255 // max(width, 1), y * 255 // max(height, 1)
    disc = np.where((right - 160) ** 2 + (down - 90) ** 2 < 2500, 90, 0)
    all_samples = [right, np.minimum(down // 2 + disc, 255), np.where(right > down, 200, 40), 255 - down // 2]
    return np.stack(all_samples, -1)[..., :samples].astype(np.uint8)


def segment(marker, content):
    return bytes([255, marker]) + struct.pack(">H", len(content) + 2) + content


def adobe(transform):
    return segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))


JFIF = segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")


class Bits:
    """The bits of a scan. All codes have eight bits: a symbol is its own code."""

    def __init__(self):
        self.bytes, self.pending, self.count = bytearray(), 0, 0

    def put(self, bits, count):
        self.pending = self.pending << count | bits & ((1 << count) - 1)
        self.count += count
        while self.count >= 8:
            byte = self.pending >> (self.count - 8) & 255
            self.bytes += bytes([byte, 0]) if byte == 255 else bytes([byte])
            self.count -= 8
        self.pending &= (1 << self.count) - 1

    def number(self, zeros, value):
        size = int(abs(value)).bit_length()
        self.put(zeros << 4 | size, 8)
        self.put(int(value) if value >= 0 else int(value) + (1 << size) - 1, size)

    def align(self):
        if self.count:
            self.put(0xFF, 8 - self.count)


WAVES = np.array([[np.cos((2 * x + 1) * u * np.pi / 16) * (0.5 if u else 8**-0.5) for x in range(8)] for u in range(8)])
TABLES = b"\0" + bytes([0] * 7 + [12] + [0] * 8) + bytes(range(12)) + b"\x10" + bytes([0] * 7 + [254, 2] + [0] * 7) + bytes(range(256))


def jpeg(samples, sampling, scans, restart=0, progressive=False, head=JFIF, end=True, step=4):
    """A JPEG with these samples in its components, and these scans: components, first and last coefficient."""
    height, width, _ = samples.shape
    most = [max(factors[axis] for factors in sampling) for axis in (0, 1)]
    units = [-(-width // (8 * most[0])), -(-height // (8 * most[1]))]
    planes, used = [], []
    for nth, (h, v) in enumerate(sampling):
        high, wide = units[1] * v * 8, units[0] * h * 8
        rows = np.minimum(np.arange(high * most[1] // v), height - 1)
        columns = np.minimum(np.arange(wide * most[0] // h), width - 1)
        plane = samples[np.ix_(rows, columns)][..., nth].astype(float)
        plane = plane.reshape(high, most[1] // v, wide, most[0] // h).mean((1, 3)) - 128
        blocks = plane.reshape(high // 8, 8, wide // 8, 8).transpose(0, 2, 1, 3)
        blocks = np.round(np.einsum("ux,abyx,vy->abvu", WAVES, blocks, WAVES) / step).astype(int)
        planes.append(blocks.reshape(high // 8, wide // 8, 64)[..., ZIGZAG])
        used.append((-(-width * h // (8 * most[0])), -(-height * v // (8 * most[1]))))
    frame = struct.pack(">BHHB", 8, height, width, len(sampling))
    frame += b"".join(bytes([nth + 1, h << 4 | v, 0]) for nth, (h, v) in enumerate(sampling))
    file = b"\xff\xd8" + head + segment(0xDB, b"\0" + bytes([step] * 64))
    file += segment(0xC2 if progressive else 0xC1, frame) + segment(0xC4, TABLES)
    file += segment(0xDD, struct.pack(">H", restart)) if restart else b""
    for components, first, last in scans:
        header = bytes([len(components)]) + b"".join(bytes([nth + 1, 0]) for nth in components)
        file += segment(0xDA, header + bytes([first, last, 0]))
        file += scan(planes, used, units, sampling, components, first, last, restart)
    return file + (b"\xff\xd9" if end else b"")


def scan_units(used, units, sampling, components):
    if len(components) == 1:
        nth = components[0]
        return [[(nth, y, x)] for y in range(used[nth][1]) for x in range(used[nth][0])]
    return [
        [
            (nth, row * sampling[nth][1] + y, column * sampling[nth][0] + x)
            for nth in components
            for y in range(sampling[nth][1])
            for x in range(sampling[nth][0])
        ]
        for row in range(units[1])
        for column in range(units[0])
    ]


def scan(planes, used, units, sampling, components, first, last, restart):
    bits, means = Bits(), [0] * len(planes)
    for count, unit in enumerate(scan_units(used, units, sampling, components)):
        if restart and count and count % restart == 0:
            bits.align()
            bits.bytes += bytes([255, 0xD0 + (count // restart - 1) % 8])
            means = [0] * len(planes)
        for nth, y, x in unit:
            block = planes[nth][y, x]
            if first == 0:
                bits.number(0, block[0] - means[nth])
                means[nth] = block[0]
            zeros = 0
            for value in block[max(first, 1) : last + 1]:
                if value == 0:
                    zeros += 1
                    continue
                for _ in range(zeros // 16):
                    bits.put(0xF0, 8)
                bits.number(zeros % 16, value)
                zeros = 0
            if zeros and last:
                bits.put(0, 8)
    bits.align()
    return bytes(bits.bytes)


def ycbcr(samples):
    return np.asarray(Image.fromarray(samples).convert("YCbCr"))


def whole(*scans):
    return [(list(components), 0, 63) for components in scans]


def progressive(count):
    return [(list(range(count)), 0, 0)] + [([nth], *part) for nth in range(count) for part in ((1, 5), (6, 63))]


def jpeg_structures():
    for size in [(96, 72), (61, 43), (130, 7)]:
        samples = ycbcr(scene(*size))
        for name, sampling in SAMPLINGS.items():
            for restart in (0, 3):
                end = f"{name}-{size[0]}-{restart}.jpg"
                yield "shared-" + end, jpeg(samples, sampling, whole([0, 1, 2]), restart)
                yield "separate-" + end, jpeg(samples, sampling, whole([0], [1], [2]), restart)
                yield "separate-other-order-" + end, jpeg(samples, sampling, whole([2], [0], [1]), restart)
                yield "progressive-" + end, jpeg(samples, sampling, progressive(3), restart, True)
    samples, inks = ycbcr(scene(96, 72)), scene(96, 72, 4)
    groups, half = whole([0], [1, 2]), SAMPLINGS["420"]
    yield "unsupported-groups.jpg", jpeg(samples, half, groups)
    yield "unsupported-first-is-smaller.jpg", jpeg(samples, [(1, 1), (2, 2), (2, 2)], whole([0, 1, 2]))
    yield "separate-first-is-smaller.jpg", jpeg(samples, [(1, 1), (2, 2), (2, 2)], whole([0], [1], [2]))
    for transform in (0, 2):
        for name, scans in [("shared", whole(range(4))), ("separate", whole([0], [1], [2], [3]))]:
            yield f"inks-{name}-{transform}.jpg", jpeg(inks, [(1, 1)] * 4, scans, head=adobe(transform))
    colors = scene(96, 72)
    yield "rgb-adobe.jpg", jpeg(colors, SAMPLINGS["444"], whole([0, 1, 2]), head=adobe(0))
    yield "rgb-adobe-separate.jpg", jpeg(colors, SAMPLINGS["444"], whole([0], [1], [2]), head=adobe(0))
    yield "jfif-and-adobe.jpg", jpeg(samples, SAMPLINGS["444"], whole([0, 1, 2]), head=JFIF + adobe(0))
    for name, scans, is_progressive in [
        ("shared", whole([0, 1, 2]), False),
        ("separate", whole([0], [1], [2]), False),
        ("progressive", progressive(3), True),
    ]:
        file = jpeg(samples, half, scans, progressive=is_progressive, end=False)
        yield f"no-end-{name}.jpg", file
        for part in (1, 2, 3, 4, 6):
            yield f"damaged-{name}-{part}.jpg", file[: len(file) * part // 7]
    yield "damaged-missing.jpg", jpeg(samples, half, whole([0], [1]))


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def jpegs_of_libjpeg():
    for mode in ("L", "RGB", "CMYK"):
        for size in [(200, 150), (131, 77)]:
            image = Image.fromarray(scene(*size)).convert(mode)
            for sampling in (0, 1, 2):
                for is_progressive in (False, True):
                    for blocks in (0, 5):
                        name = f"libjpeg-{mode}-{size[0]}-{sampling}-{is_progressive}-{blocks}.jpg"
                        options = {"subsampling": sampling} if mode != "L" else {}
                        yield name, saved(
                            image, "JPEG", quality=90, progressive=is_progressive, restart_marker_blocks=blocks, **options
                        )


def orientations():
    image = Image.fromarray(scene(96, 72))
    for number in range(1, 9):
        for order in "<>":
            tiff = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, 1)
            tiff += struct.pack(order + "HHIHHI", 0x112, 3, 1, number, 0, 0)
            name = f"{number}-{'little' if order == '<' else 'big'}"
            yield f"turned-jpeg-{name}.jpg", saved(image, "JPEG", quality=95, exif=b"Exif\0\0" + tiff)
            yield f"turned-png-{name}.png", saved(image, "PNG", exif=tiff)
            yield f"turned-webp-{name}.webp", saved(image, "WEBP", exif=tiff, lossless=True)


def other_formats():
    color, alpha = Image.fromarray(scene(96, 72)), Image.fromarray(scene(96, 72, 4))
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        image = (alpha if "A" in mode else color).convert("L" if mode == "I;16" else mode, dither=0)
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257) if mode == "I;16" else image
        yield f"png-{mode.replace(';', '-')}.png", saved(image, "PNG")
    for bits in (1, 2, 4):
        yield f"png-palette-{bits}.png", saved(color.quantize(1 << bits), "PNG", bits=bits)
    yield "png-palette-transparent.png", saved(color.quantize(16), "PNG", transparency=bytes(range(0, 256, 16)))
    yield "png-transparent-colour.png", saved(color, "PNG", transparency=tuple(int(part) for part in scene(96, 72)[3, 5]))
    for name, image in [("colour", color), ("alpha", alpha)]:
        yield f"webp-{name}.webp", saved(image, "WEBP", lossless=True)
        for quality in (20, 90):
            yield f"webp-{name}-{quality}.webp", saved(image, "WEBP", quality=quality)
    yield "webp-frames.webp", saved(color, "WEBP", save_all=True, append_images=[color.rotate(180)], lossless=True)
    for colors in (2, 16, 256):
        image = color.quantize(colors)
        yield f"gif-{colors}.gif", saved(image, "GIF", interlace=0)
        yield f"gif-{colors}-interlaced.gif", saved(image, "GIF", interlace=1)
        yield f"gif-{colors}-transparent.gif", saved(image, "GIF", transparency=1)
    yield "gif-frames.gif", saved(color.quantize(16), "GIF", save_all=True, append_images=[color.rotate(180).quantize(16)])
    for kind, ending in [("PNG", "png"), ("WEBP", "webp"), ("GIF", "gif")]:
        file = saved(color, kind)
        for part in (1, 2, 3, 4, 5):
            yield f"damaged-{ending}-{part}.{ending}", file[: len(file) * part // 6]


def make(folder):
    os.makedirs(folder, exist_ok=True)
    for files in (jpeg_structures(), jpegs_of_libjpeg(), orientations(), other_formats()):
        for name, file in files:
            with open(os.path.join(folder, name), "wb") as out:
                out.write(file)


def on_white(image):
    image = image.convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")).astype(int)


def of_pillow(path, size):
    image = ImageOps.exif_transpose(Image.open(path))
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).astype(int) >> 8).astype(np.uint8))
    image = image.convert("RGBA" if "A" in image.mode or "transparency" in image.info else "RGB")
    height = max(1, int(image.height * WIDTH / image.width + 0.5))
    if size != (WIDTH, height):
        raise ValueError(f"the size is {size}, not {(WIDTH, height)}")
    return on_white(image.resize(size, Image.Resampling.LANCZOS))


def of_vips(path, size):
    image = pyvips.Image.new_from_file(path).autorot()
    image = image.icc_transform("srgb") if image.interpretation == "cmyk" else image.colourspace("srgb")
    image = (image >> 8).cast("uchar") if image.format == "ushort" else image
    image = image.flatten(background=255) if image.hasalpha() else image
    image = image.resize(size[0] / image.width, vscale=size[1] / image.height, kernel="lanczos3").cast("uchar")
    found = image.numpy().astype(int)
    found = found.reshape(found.shape[0], found.shape[1], -1)
    return np.repeat(found, 3, 2) if found.shape[2] == 1 else found[..., :3]


try:
    import pyvips
except Exception:  # the library itself may be missing, too
    pyvips = None


def judged(folder, out, name, others):
    """What is wrong with a thumbnail, and the difference from each other program's."""
    ours, source = os.path.join(out, os.path.splitext(name)[0] + ".png"), os.path.join(folder, name)
    if name.startswith(("un", "damaged")):
        return ("there is a thumbnail", {}) if os.path.exists(ours) else (None, {})
    if not os.path.exists(ours):
        return "there is no thumbnail", {}
    image = Image.open(ours)
    differences = {}
    for other, thumbnail in others.items():
        # libvips converts inks with a profile of its own.
        if other == "libvips" and ("CMYK" in name or name.startswith("inks")):
            continue
        try:
            differences[other] = float(np.abs(on_white(image) - thumbnail(source, image.size)).mean())
        except Exception as error:
            return f"{other}: {error}", differences
    wrong = [f"{other}: {found:.1f}" for other, found in differences.items() if found > MOST]
    return ", ".join(wrong) or None, differences


def compare(folder, out):
    others = {"Pillow": of_pillow} | ({"libvips": of_vips} if pyvips else {})
    groups, wrong = {}, []
    for name in sorted(os.listdir(folder)):
        why, differences = judged(folder, out, name, others)
        groups.setdefault(name.split("-")[0], []).append(differences)
        if why:
            wrong.append(f"{name}: {why}")
    print(f"{'group':14}{'files':>6}" + "".join(f"{other + ' mean':>15}{'most':>7}" for other in others))
    for group, all_differences in groups.items():
        line = f"{group:14}{len(all_differences):6}"
        for other in others:
            found = [differences[other] for differences in all_differences if other in differences]
            line += f"{np.mean(found):15.2f}{max(found):7.2f}" if found else f"{'-':>15}{'-':>7}"
        print(line)
    print("\n".join(wrong))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    GifImagePlugin.LOADING_STRATEGY = GifImagePlugin.LoadingStrategy.RGB_AFTER_FIRST
    make(sys.argv[2]) if sys.argv[1] == "make" else compare(sys.argv[2], sys.argv[3])
