"""Images from files."""

import re
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ar_jax.data.files import existing, existing_file, one_line, visible
from ar_jax.data.sources import Arrays, stacked

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")  # others may start programs
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
COLOURS = {1: "grey", 3: "RGB"}
OTHER_SUFFIXES = {".avif", ".heic", ".heif", ".jp2", ".jxl", ".svg"}


def read_image(path: Path | str, ground: int | None = None) -> np.ndarray:
    """An image of 8 bits a channel, turned as viewers show it: uint8 `[height, width, channels]`.

    It is grey (1 channel) or RGB (3), as it is stored; a palette of greys is grey. Fewer bits
    become 8. The format is that of the content (PNG, JPEG, BMP, GIF, WebP, TIFF, PPM), whatever the
    name says. Of a JPEG that holds further pictures (as those of phones do) it is the main one.

    Args:
      path: of the file.
      ground: level 0 ... 255, of all channels, that lies behind an image with transparent pixels;
        None refuses such an image.

    Raises:
      FileNotFoundError: when there is no such file.
      ValueError: when it is no such image: of more bits, of other colours (CMYK, ...), with
        transparent pixels, several pages or pictures, damaged or cut off, or of more pixels than
        `PIL.Image.MAX_IMAGE_PIXELS`.
    """
    path = existing_file(path)
    try:
        with warnings.catch_warnings():
            for doubt in (UserWarning, Image.DecompressionBombWarning):
                warnings.simplefilter("error", doubt)
            with Image.open(path, formats=FORMATS) as image:
                pixels = np.asarray(_flat(_checked(image), ground))
    except Exception as error:  # Pillow raises many kinds of them
        raise ValueError(
            f"{path}: expected an opaque 8-bit image, got {one_line(error)}"
        ) from error
    return pixels.reshape(*pixels.shape[:2], -1)


def read_images(folder: Path | str, ground: int | None = None) -> tuple[Arrays, list[str]]:
    """The images of a folder, all of one size, in the order of their names.

    What systems hide (`.*`, `__MACOSX`) and files that are no images, by their suffix, are left
    out.

    Args:
      folder: of images, or of one sub-folder of images for each class.
      ground: level 0 ... 255 that lies behind transparent pixels; None refuses them.

    Returns:
      Events uint8 `[images, height, width, channels]` with, where there are sub-folders, labels
      int32 `[images]`; and the names of the classes, sorted.

    Raises:
      FileNotFoundError: when there is no such folder, or no image in it.
      ValueError: when an image cannot be read, differs from the first, or lies elsewhere.
    """
    folder = existing(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder, got a file")
    folders = [path for path in visible(folder) if path.is_dir()]
    by_class = {path.name: found for path in folders if (found := _images(path))}
    for each in folders:
        deeper = [image for path in visible(each) if path.is_dir() for image in _images(path)]
        if deeper:
            raise ValueError(
                f"{deeper[0]}: expected images in {folder} or in its sub-folders, which are "
                f"classes, got one that lies two folders deep; read {each}, or move it"
            )
    paths, classes = _images(folder), list(by_class)
    if classes and paths:
        raise ValueError(f"{paths[0]}: expected images in sub-folders only, as the others")
    paths = paths or [path for found in by_class.values() for path in found]
    if not paths:
        raise FileNotFoundError(f"{folder}: expected images, such as .png or .jpg, got none")
    images = [read_image(path, ground) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image.shape[-1] != images[0].shape[-1]:
            first, other = (COLOURS[each.shape[-1]] for each in (images[0], image))
            raise ValueError(
                f"{path}: expected {first}, as {paths[0]}, got {other}; convert one of them"
            )
    x = stacked(images, [str(path) for path in paths])
    if not classes:
        return Arrays(x), classes
    labels = [classes.index(path.parent.name) for path in paths]
    return Arrays(x, np.array(labels, np.int32)), classes


def _images(folder: Path) -> list[Path]:
    """The images right in a folder."""
    files = [path for path in visible(folder) if not path.is_dir()]
    for path in files:
        if path.suffix.lower() in OTHER_SUFFIXES:
            raise ValueError(f"{path}: expected images such as .png or .jpg; convert or remove it")
    return [path for path in files if path.suffix.lower() in SUFFIXES]


def _checked(image: Image.Image) -> Image.Image:
    """The image, unless it says more than 8 bits of grey or RGB can."""
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise ValueError("several pages or pictures; save one of them")
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
        raise ValueError(f"mode {image.mode}; convert it to grey or RGB of 8 bits")
    for tile in getattr(image, "tile", ()):
        raw, *others = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        wide_ppm = image.format == "PPM" and others and others[-1] > 255
        if wide_ppm or re.search(";16[BLN]", str(raw)):  # the mode is that of 8 bits all the same
            raise ValueError("16 bits a channel; convert it to 8")
    return image


def _flat(image: Image.Image, ground: int | None) -> Image.Image:
    """An image turned upright, grey or RGB, on its ground."""
    palette = np.reshape(image.getpalette("RGB") or [], (-1, 3)) if image.mode[0] == "P" else None
    grey = image.mode in ("1", "L", "LA") if palette is None else np.ptp(palette, axis=1).max() == 0
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            if ground is None:
                raise ValueError("transparent pixels; give a `ground` for them, or flatten it")
            behind = Image.new("RGBA", image.size, (ground, ground, ground, 255))
            image = Image.alpha_composite(behind, image)
    rgb = image.convert("RGB")
    return rgb.getchannel("G") if grey else rgb
