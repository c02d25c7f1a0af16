import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from ar_jax.data import read_image, read_images
from tests.mutations import check_damaged


def one_line(error):
    return "\n" not in str(error.value)


def random_image(seed, shape):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("shape", [(5, 7, 1), (5, 7, 3)])
def test_an_image_comes_back_with_its_channels(shape, tmp_path):
    pixels = random_image(0, shape)
    Image.fromarray(pixels[..., 0] if shape[-1] == 1 else pixels).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, pixels)


def saved(path, pixels, **options):
    """An image file of `[height, width]` or `[height, width, channels]`."""
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("mode", "channels"), [("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("RGB", 3), ("RGBA", 3)]
)
def test_other_images_of_8_bits_become_grey_or_rgb(mode, channels, tmp_path):
    Image.fromarray(random_image(0, (4, 4, 3))).convert(mode).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape == (4, 4, channels)


def test_fewer_bits_become_8(tmp_path):
    (tmp_path / "a.png").write_bytes(png(2, 1, 0, 4, b"\0\xf3"))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").ravel(), [255, 3 * 17])
    (tmp_path / "a.ppm").write_bytes(b"P6\n1 1\n15\n\x0f\0\7")
    np.testing.assert_array_equal(read_image(tmp_path / "a.ppm").ravel(), [255, 0, 7 * 17])


@pytest.mark.parametrize("name", ["a.png", "a.gif"])
def test_a_palette_of_greys_is_grey_and_fits_beside_grey_images(name, tmp_path):
    grey = random_image(0, (4, 5)) // 64 * 64
    image = Image.fromarray(grey).quantize(4)
    assert image.mode == "P"
    image.save(tmp_path / name)
    np.testing.assert_array_equal(read_image(tmp_path / name)[..., 0], grey)


def png(width, height, kind, bits, rows):
    """A PNG, byte by byte: of greys (kind 0), RGB (2), greys (4) or RGB (6) with an alpha."""

    def chunk(name, content):
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def tiff(order, levels, bits):
    """An RGB TIFF of one pixel, byte by byte: order is < or >."""
    data = struct.pack(f"{order}3{'BH'[bits // 16]}", *levels)
    tags = [(256, 1), (257, 1), (258, 122), (259, 1), (262, 2), (273, 128), (277, 3), (278, 1)]
    entries = [
        struct.pack(f"{order}HHII", tag, 3, 3, value)
        if tag == 258
        else struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0)
        for tag, value in [*tags, (279, len(data))]
    ]
    start = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HIH", 42, 8, len(entries))
    content = start + b"".join(entries) + bytes(4)
    assert len(content) == 122
    return content + struct.pack(f"{order}3H", bits, bits, bits) + data


SIXTEEN = {
    "rgb.png": png(1, 1, 2, 16, b"\0" + struct.pack(">3H", 300, 511, 65535)),
    "la.png": png(1, 1, 4, 16, b"\0" + struct.pack(">2H", 300, 65535)),
    "rgba.png": png(1, 1, 6, 16, b"\0" + struct.pack(">4H", 300, 511, 1, 65535)),
    "raw.ppm": b"P6\n1 1\n65535\n" + struct.pack(">3H", 300, 511, 65535),
    "text.ppm": b"P3\n1 1\n1023\n300 511 1023\n",
    "intel.tif": tiff("<", (300, 511, 65535), 16),
    "motorola.tif": tiff(">", (300, 511, 65535), 16),
}


@pytest.mark.parametrize("name", SIXTEEN)
def test_16_bits_a_channel_in_colour_are_refused(name, tmp_path):
    (tmp_path / name).write_bytes(SIXTEEN[name])
    with pytest.raises(ValueError, match=f"{name}: expected an .*, got 16 bits a channel"):
        read_image(tmp_path / name)


@pytest.mark.parametrize("order", "<>")
def test_the_same_tiff_of_8_bits_is_read(order, tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(order, (1, 2, 255), 8))
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").ravel(), [1, 2, 255])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp", "a.jpg"])
def test_an_image_is_turned_as_its_exif_says(name, orientation, tmp_path):
    pixels = random_image(0, (5, 7, 3))
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if name == "a.webp" else {}
    saved(tmp_path / name, pixels, exif=exif, **lossless)
    if name == "a.jpg":  # with loss
        with Image.open(tmp_path / name) as image:
            pixels = np.asarray(image)
    turned = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.swapaxes(0, 1),
        6: np.rot90(pixels, -1),
        7: pixels[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(pixels),
    }
    np.testing.assert_array_equal(read_image(tmp_path / name), turned[orientation])


def transparent_files(folder):
    """One dark, half transparent pixel among opaque ones, as each format says it."""
    grey, colour = random_image(0, (3, 3)) | 1, random_image(1, (3, 3, 3)) | 1
    alpha = np.full((3, 3), 255, np.uint8)
    alpha[1, 1] = 0
    grey[1, 1], colour[1, 1] = 0, 0
    palette = Image.fromarray(colour).quantize(16)
    hidden = palette.getpixel((1, 1))
    palette.save(folder / "p.png", transparency=hidden)
    palette.save(folder / "p.gif", transparency=hidden)
    saved(folder / "la.png", np.stack([grey, alpha], -1))
    saved(folder / "rgba.png", np.dstack([colour, alpha]))
    saved(folder / "rgba.webp", np.dstack([colour, alpha]), lossless=True)
    saved(folder / "l.png", grey, transparency=0)
    saved(folder / "rgb.png", colour, transparency=(0, 0, 0))
    return {"la.png", "l.png"}, {"p.png", "p.gif", "rgba.png", "rgba.webp", "rgb.png"}


def test_transparent_pixels_are_refused_unless_a_ground_is_given(tmp_path):
    greys, colours = transparent_files(tmp_path)
    for name in greys | colours:
        with pytest.raises(ValueError, match=f"{name}: expected an opaque .*give a `ground`"):
            read_image(tmp_path / name)
        for ground in (0, 77, 255):
            pixels = read_image(tmp_path / name, ground)
            assert pixels.shape[-1] == (1 if name in greys else 3)
            assert (pixels[1, 1] == ground).all()
            opaque = np.delete(pixels.reshape(9, -1), 4, axis=0)
            np.testing.assert_array_equal(
                opaque, np.delete(read_image(tmp_path / name, 1).reshape(9, -1), 4, axis=0)
            )


def test_a_half_transparent_pixel_is_the_mean_of_itself_and_the_ground(tmp_path):
    saved(tmp_path / "a.png", np.array([[[200, 100, 0, 51]]], np.uint8))  # 51 / 255 = 0.2
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", 50).ravel(), [80, 60, 40])


def test_an_alpha_that_hides_nothing_is_left_out(tmp_path):
    colour = random_image(0, (3, 3, 3))
    opaque = np.full((3, 3, 1), 255, np.uint8)
    saved(tmp_path / "a.png", np.concatenate([colour, opaque], -1))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), colour)


@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.tif", "a.webp"])
def test_several_pictures_in_a_file_are_refused(name, tmp_path):
    first, second = (Image.fromarray(random_image(seed, (3, 3, 3))) for seed in (0, 1))
    first.save(tmp_path / name, save_all=True, append_images=[second])
    with pytest.raises(ValueError, match=f"{name}: expected .*, got several pages or pictures"):
        read_image(tmp_path / name)


def test_of_a_photograph_with_further_pictures_the_main_one_is_read(tmp_path):
    first, second = (Image.fromarray(random_image(seed, (8, 8, 3))) for seed in (0, 1))
    first.save(tmp_path / "alone.jpg")
    first.save(tmp_path / "several.jpg", "MPO", save_all=True, append_images=[second])
    alone, several = (read_image(tmp_path / f"{name}.jpg") for name in ("alone", "several"))
    np.testing.assert_array_equal(several, alone)


@pytest.mark.parametrize(("mode", "name"), [("CMYK", "a.jpg"), ("LAB", "a.tif"), ("F", "a.tif")])
def test_other_colours_are_refused(mode, name, tmp_path):
    Image.new(mode, (3, 3)).save(tmp_path / name)
    with pytest.raises(ValueError, match=f"{name}: .*, got mode {mode}; convert it to grey or RGB"):
        read_image(tmp_path / name)


def test_what_pillow_would_start_a_program_for_is_no_image(tmp_path):
    saved(tmp_path / "a.eps", random_image(0, (3, 3, 3))).rename(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a.png: .*, got cannot identify image file"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("side", [10_000, 100_000])
def test_an_image_that_claims_too_many_pixels_is_refused_unread(side, tmp_path):
    (tmp_path / "a.png").write_bytes(png(side, side, 0, 8, bytes(1000)))
    with pytest.raises(ValueError, match=rf"a.png: .* \({side * side} pixels\) exceeds limit"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.bmp", "a.tif", "a.webp", "a.ppm"])
def test_a_damaged_file_gives_an_image_or_a_value_error(name, tmp_path):
    def right(pixels):
        return pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] in (1, 3)

    path = saved(tmp_path / name, random_image(0, (9, 8, 3)))
    original = read_image(path)
    check_damaged(read_image, path, right, count=80)
    if name == "a.png":  # has checksums: what is read is what was written
        check_damaged(read_image, path, lambda pixels: np.array_equal(pixels, original))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif", "a.webp", "a.ppm"])
def test_an_image_that_is_cut_off_is_refused(name, tmp_path):
    content = saved(tmp_path / name, random_image(0, (40, 40, 3))).read_bytes()
    for kept in (0, 10, len(content) // 2, len(content) - 200):
        (tmp_path / name).write_bytes(content[:kept])
        with pytest.raises(ValueError, match=f"{name}: expected an opaque 8-bit image, got"):
            read_image(tmp_path / name)


def test_an_image_of_16_bits_is_refused(tmp_path):
    Image.fromarray(np.arange(16, dtype=np.uint16).reshape(4, 4)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a.png: expected an opaque 8-bit image, got mode I;16"):
        read_image(tmp_path / "a.png")


def images_in(folder, count, seed):
    folder.mkdir(exist_ok=True)
    images = [random_image(seed + i, (3, 4, 3)) for i in range(count)]
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i}.png")
    return images


def test_a_folder_of_images_is_read_in_the_order_of_names(tmp_path):
    images = images_in(tmp_path, 3, seed=0)
    (tmp_path / "notes.txt").write_text("not an image", encoding="utf-8")
    arrays, classes = read_images(tmp_path)
    np.testing.assert_array_equal(arrays.x, images)
    assert arrays.y is None
    assert classes == []


def test_sub_folders_are_classes(tmp_path):
    zebras, ants = images_in(tmp_path / "zebra", 2, 0), images_in(tmp_path / "ant", 3, 5)
    arrays, classes = read_images(tmp_path)
    assert classes == ["ant", "zebra"]
    np.testing.assert_array_equal(arrays.x, [*ants, *zebras])
    np.testing.assert_array_equal(arrays.y, np.array([0, 0, 0, 1, 1], np.int32))


def test_an_unreadable_image_is_named(tmp_path):
    images_in(tmp_path, 3, seed=0)
    content = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"1.png: expected an opaque 8-bit image, got") as error:
        read_images(tmp_path)
    assert one_line(error)
    (tmp_path / "1.png").write_bytes(b"not an image")
    with pytest.raises(ValueError, match=r"1.png: expected an opaque 8-bit image, got"):
        read_images(tmp_path)


def test_an_image_of_another_shape_is_named(tmp_path):
    images_in(tmp_path, 3, seed=0)
    Image.new("RGB", (9, 9)).save(tmp_path / "2.png")
    message = r"2.png: expected shape \[3, 4, 3\], as .*0.png, got \[9, 9, 3\]"
    with pytest.raises(ValueError, match=message) as error:
        read_images(tmp_path)
    assert one_line(error)


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected images, such as .png or .jpg"):
        read_images(tmp_path)


def test_images_beside_sub_folders_of_images_are_refused(tmp_path):
    images_in(tmp_path / "ant", 1, 0)
    images_in(tmp_path, 1, 0)
    with pytest.raises(ValueError, match=r"0.png: expected images in sub-folders only"):
        read_images(tmp_path)


def test_a_file_in_place_of_a_folder_of_images_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("text", encoding="utf-8")
    with pytest.raises(ValueError, match=r"a.txt: expected a folder, got a file"):
        read_images(tmp_path / "a.txt")


def test_what_systems_leave_behind_is_no_image_and_no_class(tmp_path):
    images_in(tmp_path / "cat", 1, 0)
    for stray in ("cat/._0.png", "cat/.hidden.png", "__MACOSX/cat.png", ".trash/1.png"):
        (tmp_path / stray).parent.mkdir(exist_ok=True)
        (tmp_path / stray).write_bytes(b"\0\5\x16\7")
    for stray in ("cat/Thumbs.db", "cat/desktop.ini", "cat/.DS_Store", "notes.txt"):
        (tmp_path / stray).touch()
    (tmp_path / "empty").mkdir()
    arrays, classes = read_images(tmp_path)
    assert classes == ["cat"]
    assert len(arrays) == 1


def test_a_folder_without_images_makes_no_classes(tmp_path):
    images_in(tmp_path, 2, 0)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").touch()
    arrays, classes = read_images(tmp_path)
    assert (len(arrays), classes, arrays.y) == (2, [], None)


def test_suffixes_are_read_in_any_case(tmp_path):
    images_in(tmp_path, 1, 0)
    (tmp_path / "0.png").rename(tmp_path / "0.PNG")
    saved(tmp_path / "0.png", random_image(9, (3, 4, 3)))
    assert len(read_images(tmp_path)[0]) == 2


def test_grey_images_beside_colour_ones_are_named_so(tmp_path):
    saved(tmp_path / "0.png", random_image(0, (2, 2)))
    saved(tmp_path / "1.png", random_image(0, (2, 2, 3)))
    with pytest.raises(ValueError, match=r"1.png: expected grey, as .*0.png, got RGB; convert"):
        read_images(tmp_path)


@pytest.mark.parametrize("beside", [False, True])
def test_images_two_folders_deep_are_named(beside, tmp_path):
    (tmp_path / "train").mkdir()
    images_in(tmp_path / "train" / "cat", 1, 0)
    if beside:
        images_in(tmp_path / "train", 1, 5)
    message = r"train/cat/0.png: .* got one that lies two folders deep; read .*/train, or move it"
    with pytest.raises(ValueError, match=message):
        read_images(tmp_path)


def test_links_in_a_circle_end(tmp_path):
    images_in(tmp_path / "cat", 1, 0)
    (tmp_path / "loop").symlink_to("loop")
    assert read_images(tmp_path)[1] == ["cat"]
    (tmp_path / "cat" / "again").symlink_to(tmp_path / "cat")
    with pytest.raises(ValueError, match=r"cat/again/0.png: .* lies two folders deep"):
        read_images(tmp_path)


def test_a_link_to_nothing_is_named(tmp_path):
    (tmp_path / "0.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(FileNotFoundError, match=r"0.png: expected a file or folder, got none"):
        read_images(tmp_path)


def test_images_of_formats_that_are_not_read_are_not_left_out_in_silence(tmp_path):
    images_in(tmp_path, 1, 0)
    (tmp_path / "1.HEIC").touch()
    with pytest.raises(ValueError, match=r"1.HEIC: expected images such as .png or .jpg; convert"):
        read_images(tmp_path)
