"""The file: a mark, then frames, each with its length and checksum.

The first frame is a `Header`, the last an `End`, and those between are `Block`s, each of
which decodes by itself. A frame's length is no more than the file has left, so nothing is
allocated that is not there.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated

import msgspec

from pipeline.detector.manifest_parts import NetworkPart
from pipeline.errors import InputError
from trainer.compress.coding import Series
from trainer.compress.columns import Column

MAGIC = b"readings\x01"
MAX_COLUMNS = 2**16
MAX_BLOCK_ROWS = 2**16
MAX_BLOCK_VALUES = 2**22
"""Rows x columns of one block."""
_LENGTH_BYTES, _CHECKSUM_BYTES = 8, 4
Checksum = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
Positive = Annotated[float, msgspec.Meta(gt=0)]


class Tensor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A parameter of the decoder."""

    shape: Annotated[
        list[Annotated[int, msgspec.Meta(ge=1, le=2**24)]], msgspec.Meta(max_length=4)
    ]
    content: bytes
    """16-bit floats, little-endian."""


class DecoderPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The network that reconstructs windows from latent codes."""

    network: NetworkPart
    sensors: Annotated[list[str], msgspec.Meta(min_length=1)]
    """Which of the columns it reconstructs, in its order."""
    latent_step: Positive
    tensors: dict[str, Tensor]
    mean: bytes
    """32-bit floats: of each line of the scaling, each sensor's."""
    scale: bytes
    line_of_unit: Series | None
    """None: the first for all."""


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="header"):
    """What blocks are decoded by."""

    max_error: Positive
    columns: Annotated[list[str], msgspec.Meta(min_length=2, max_length=MAX_COLUMNS)]
    """All of the table, in its order: `time`, `unit`, `label` and sensors."""
    minimum: list[float]
    """Of each sensor in the file; 0 without a value."""
    maximum: list[float]
    units: list[str]
    """Named by their positions."""
    decoder: DecoderPart | None


class Block(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="block"):
    """Consecutive rows."""

    n_rows: Annotated[int, msgspec.Meta(ge=1, le=MAX_BLOCK_ROWS)]
    units: Series
    """Of each row. All else stands in the order of these, rows of a unit together."""
    times: Series
    """Microseconds since 1970."""
    labels: Series | None
    latents: Series | None
    columns: list[Column]
    checksum: Checksum
    """Of the values as they came back when they were written."""


class End(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="end"):
    """The last frame."""

    n_rows: Annotated[int, msgspec.Meta(ge=1)]


_DECODER = msgspec.msgpack.Decoder(Header | Block | End)


def framed(frame: Header | Block | End) -> bytes:
    """A frame's length, checksum and content."""
    content = msgspec.msgpack.encode(frame)
    length = len(content).to_bytes(_LENGTH_BYTES, "little")
    return length + zlib.crc32(content).to_bytes(_CHECKSUM_BYTES, "little") + content


def frames(path: Path, file: IO[bytes]) -> Iterator[Header | Block | End]:
    """The frames of a file up to its end; the first is its header, and no other is.

    Raises:
        InputError: it is not such a file, or cut short, or damaged.
    """
    n_left = path.stat().st_size - len(MAGIC)
    if file.read(len(MAGIC)) != MAGIC:
        raise InputError(f"{path}: expected a file that `trainer compress` wrote")
    is_first = True
    while True:
        n_head = _LENGTH_BYTES + _CHECKSUM_BYTES
        head = file.read(n_head)
        length = int.from_bytes(head[:_LENGTH_BYTES], "little")
        n_left -= n_head
        if len(head) < n_head or length > n_left:
            raise InputError(f"{path}: it is cut short or damaged")
        content = file.read(length)
        n_left -= length
        if zlib.crc32(content) != int.from_bytes(head[_LENGTH_BYTES:], "little"):
            raise damaged(path, "a checksum differs")
        try:
            frame = _DECODER.decode(content)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise damaged(path, str(error)) from error
        if isinstance(frame, Header) != is_first:
            raise damaged(path, "its frames are not in order")
        is_first = False
        yield frame
        if isinstance(frame, End):
            if n_left:
                raise damaged(path, f"{n_left:,} bytes follow its end")
            return


def damaged(path: Path, reason: str) -> InputError:
    """Says that the file is not what was written."""
    return InputError(f"{path}: it is damaged: {' '.join(reason.split())[:200]}")
