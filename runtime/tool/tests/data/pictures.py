"""Makes the pictures beside this file with Pillow: `python3 pictures.py`.

`photo.png` is the picture that all others are made from. `photo-FILTER-WxH.png` is what Pillow's Image.resize makes of it,
which the tool must equal; `photo.jpg.png` is how Pillow decodes `photo.jpg`, which it must come close to.
"""

import math
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
WIDTH, HEIGHT = 48, 37


def photo():
    """A red disc before waves, with an edge and a few wild pixels."""
    image = Image.new("RGB", (WIDTH, HEIGHT))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            wave = 127 + 120 * math.sin(x * 0.31 + y * 0.17)
            pixel = (int(wave), 255 * x // WIDTH, 255 * y // HEIGHT)
            if math.hypot(x - 17, y - 12) < 9:
                pixel = (230, 20 + 3 * y, 30)
            if x > 40:
                pixel = (255, 255, 255) if (x + y) % 2 else (0, 0, 0)
            image.putpixel((x, y), pixel)
    return image


def main():
    image = photo()
    image.save(HERE / "photo.png", optimize=True)
    for name, filter, size in [
        ("bilinear", Image.Resampling.BILINEAR, (20, 15)),
        ("bilinear", Image.Resampling.BILINEAR, (61, 50)),
        ("bicubic", Image.Resampling.BICUBIC, (31, 9)),
        ("bicubic", Image.Resampling.BICUBIC, (7, 80)),
    ]:
        image.resize(size, filter).save(HERE / f"photo-{name}-{size[0]}x{size[1]}.png", optimize=True)
    image.convert("L").save(HERE / "photo-gray.png", optimize=True)
    image.convert("P", palette=Image.Palette.ADAPTIVE).save(HERE / "photo-palette.png", optimize=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(HERE / "photo.jpg", quality=92)
    Image.open(HERE / "photo.jpg").save(HERE / "photo.jpg.png", optimize=True)
    # Stored lying on its side, with the tag that says so.
    image.transpose(Image.Transpose.ROTATE_90).save(HERE / "photo-turned.jpg", quality=92, exif=exif)


main()
