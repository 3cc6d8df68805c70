"""Opening the pictures of a dataset: a file beside the data, or one that the row holds, within limits.

    size = size_of(named, base)      (height, width) in pixels as they are shown; only the file's head is read
    picture = opened(named, base)    a Pillow image in RGB, decoded whole

Files come from strangers: of known formats only, no larger than LARGEST_FILE_BYTES, and no more pixels than
LARGEST_PIXELS, which the head of a file says before anything is unpacked. Nothing is fetched from the network.
"""

from __future__ import annotations

import base64
import binascii
import io
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from trainers.errors import EnvironmentLacking
from trainers.examples.example import RowError
from trainers.examples.pictures import is_address, is_held
from trainers.language import tr

if TYPE_CHECKING:
    from PIL.Image import Image

    from trainers.examples.source import Source

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""As Pillow calls them: the raster formats that datasets hold. Formats that run programs of their own are none."""
LARGEST_FILE_BYTES = 64 << 20
LARGEST_PIXELS = 100_000_000
"""Ten times a phone's photograph; 300 MB once unpacked."""
LONGEST_SIDE_RATIO = 200
"""Longest side over the shortest: Qwen's processors refuse more (transformers, smart_resize)."""
_TURNED = 274
"""EXIF's tag for how a camera was held; from 5 on height and width change places."""


class Size(NamedTuple):
    """Pixels of a picture as it is shown."""

    height: int
    width: int


def opened(named: str, base: Path) -> Image:
    """The picture in RGB, turned as its camera says. Raises RowError for one that is missing, broken or too large."""
    with _file(named, base) as file:
        picture = _head(file, named)
        from PIL import ImageOps

        try:
            return ImageOps.exif_transpose(picture).convert("RGB")
        except Exception as error:
            raise _broken(named, error) from error


def size_of(named: str, base: Path) -> Size:
    """Its size, from the head of its file. Raises RowError for one that is missing, no picture, or too large."""
    with _file(named, base) as file:
        picture = _head(file, named)
        try:
            turned = picture.getexif().get(_TURNED, 1) in range(5, 9)
        except Exception as error:
            raise _broken(named, error) from error
        width, height = picture.size
        return Size(width, height) if turned else Size(height, width)


def require_pillow() -> None:
    """Raise EnvironmentLacking where the library that opens pictures is not installed."""
    try:
        import PIL.Image as _  # noqa: F401
    except ImportError as error:
        raise EnvironmentLacking(
            tr("the data brings pictures, and Pillow, which opens them, is not installed"),
            fix=tr("pip install 'sft-advisor[vision]'"),
        ) from error


def shown_name(named: str) -> str:
    """What a picture is called in a sentence."""
    return tr("a picture in the row itself") if is_held(named) else named[:200]


def path_of(named: str, base: Path) -> Path | None:
    """The file that a picture's name stands for, relative to the data's folder; None for one that the row holds."""
    return None if is_held(named) else base / named.removeprefix("file://")


def folder_of(source: Source) -> Path:
    """The folder that the names of a dataset's pictures are relative to: that of its file, or of all its files."""
    folders = {file.parent for file in source.files}
    return folders.pop() if len(folders) == 1 else source.base


def _file(named: str, base: Path) -> Any:
    """The bytes of a picture, open for reading."""
    if is_address(named):
        raise RowError(
            tr("the picture {named:.200} is an address, and nothing is fetched from the network", named=named)
        )
    path = path_of(named, base)
    if path is None:
        return io.BytesIO(held_bytes(named))
    try:
        file = path.open("rb")
        size = os.fstat(file.fileno()).st_size
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise RowError(tr("the picture {named:.200} cannot be read: {reason}", named=named, reason=reason)) from error
    if size > LARGEST_FILE_BYTES:
        file.close()
        raise _too_large(named)
    return file


def held_bytes(named: str) -> bytes:
    """The file of a picture that the row holds itself. Raises RowError for one that is broken or too large."""
    held = named.partition(",")[2]
    if len(held) > LARGEST_FILE_BYTES * 4 // 3:
        raise _too_large(named)
    try:
        return base64.b64decode("".join(held.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _broken(named, error) from error


def _head(file: Any, named: str) -> Image:
    """The picture with its size known and nothing unpacked."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a size that is judged here
            picture = Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large(named) from error
    except Exception as error:
        raise _broken(named, error) from error
    width, height = picture.size
    if width * height > LARGEST_PIXELS:
        raise _too_large(named)
    if max(width, height) > LONGEST_SIDE_RATIO * min(width, height):
        raise RowError(
            tr(
                "the picture {named} is {width} x {height} pixels, too long for its width",
                named=shown_name(named),
                width=width,
                height=height,
            )
        )
    return picture


def _too_large(named: str) -> RowError:
    return RowError(
        tr(
            "the picture {named} is larger than {pixels:,} pixels or {mib} MiB",
            named=shown_name(named),
            pixels=LARGEST_PIXELS,
            mib=LARGEST_FILE_BYTES >> 20,
        )
    )


def _broken(named: str, error: Exception) -> RowError:
    return RowError(
        tr(
            "the picture {named} cannot be opened ({kind})",
            named=shown_name(named),
            kind=type(error).__name__,
        )
    )
