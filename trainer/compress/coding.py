"""Whole numbers as few bytes: differences, planes of bytes, a standard library's coder."""

import bz2
import lzma
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.records import IntArray

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
ZSTD_LEVEL, ZSTD_QUICK_LEVEL = 19, 1
QUICK_DOUBT = 1.3
"""What a quick coder makes up to so many times larger may be the smaller in the end."""
LZMA_DICTIONARY_BYTES = 2**20
LZMA_FILTERS = [
    {
        "id": lzma.FILTER_LZMA2,
        "preset": 6,
        "dict_size": LZMA_DICTIONARY_BYTES,
        "lc": 0,
        "lp": 0,
        "pb": 0,
    }
]
_KINDS: dict[int, npt.DTypeLike] = {1: "i1", 2: "<i2", 4: "<i4", 8: "<i8"}


class Series(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """N whole numbers, or their differences, as bytes."""

    starts: Annotated[list[Int64], msgspec.Meta(max_length=2)]
    """For each time that differences were taken, the first number before."""
    width: Literal[0, 1, 2, 4, 8]
    """Bytes of a number. 0: all are 0, and there are no bytes."""
    coder: Literal["raw", "zstd", "zstd-whole", "lzma", "bz2"]
    """Of the numbers' first bytes, then their second ones, and so on; `zstd-whole` of one
    number after the other."""
    content: bytes


class Difference(NamedTuple):
    """Numbers as bytes that are not coded yet."""

    starts: list[int]
    bytes_NW: npt.NDArray[np.uint8]
    n_bytes: int
    """Of a quick coder."""


class Draft(NamedTuple):
    """Whole numbers that are not coded yet."""

    ways: list[Difference]
    """Of which any may take fewest bytes."""
    n_bytes: int
    """Guessed."""


def drafted(number_N: IntArray, orders: Sequence[int]) -> Draft:
    """The numbers, or their differences, whichever seem to take fewer bytes.

    Args:
        number_N: whole numbers.
        orders: how often differences may be taken, each 0 to 2.
    """
    ways = [_difference(number_N, order) for order in orders]
    least = min(way.n_bytes for way in ways)
    return Draft([w for w in ways if w.n_bytes <= QUICK_DOUBT * least], least)


def coded(draft: Draft) -> Series:
    """A draft's bytes, as few as there are by any way and coder."""
    return min(map(_coded, draft.ways), key=lambda series: len(series.content))


def _coded(way: Difference) -> Series:
    planes = way.bytes_NW.T.tobytes()
    content = {"raw": planes}
    if planes:
        content["zstd"] = _zstd(planes, ZSTD_LEVEL)
        if way.bytes_NW.shape[1] > 1:
            content["zstd-whole"] = _zstd(way.bytes_NW.tobytes(), ZSTD_LEVEL)
        content["bz2"] = bz2.compress(planes)
        content["lzma"] = lzma.compress(planes, lzma.FORMAT_RAW, filters=LZMA_FILTERS)
    coder = min(content, key=lambda name: len(content[name]))
    width = way.bytes_NW.shape[1]
    return msgspec.convert([way.starts, width, coder, content[coder]], Series)


def encoded(number_N: IntArray, orders: Sequence[int]) -> Series:
    """See `drafted`."""
    return coded(drafted(number_N, orders))


def decoded(series: Series, n: int) -> IntArray:
    """The N numbers.

    Raises:
        ValueError: the content is not that of so many numbers.
    """
    number_N = _numbers(series, n)
    for start in reversed(series.starts):
        number_N = np.cumsum(number_N) + np.int64(start)
    return number_N


def _difference(number_N: IntArray, order: int) -> Difference:
    starts = []
    for _ in range(order):
        starts.append(int(number_N[0]) if len(number_N) else 0)
        number_N = np.diff(number_N, prepend=number_N[:1])
    lowest, highest = int(number_N.min(initial=0)), int(number_N.max(initial=0))
    if lowest == highest == 0:
        return Difference(starts, np.empty((len(number_N), 0), dtype=np.uint8), 0)
    width = next(
        width
        for width in _KINDS
        if -(2 ** (8 * width - 1)) <= lowest and highest < 2 ** (8 * width - 1)
    )
    whole_N = np.asarray(number_N, dtype=_KINDS[width])
    bytes_NW = whole_N.view(np.uint8).reshape(-1, width)
    return Difference(starts, bytes_NW, len(_zstd(bytes_NW.T.tobytes(), ZSTD_QUICK_LEVEL)))


def _numbers(series: Series, n: int) -> IntArray:
    if series.width == 0:
        if series.content:
            raise ValueError("content where there is none")
        return np.zeros(n, dtype=np.int64)
    planes = _decompressed(series.coder, series.content, n * series.width)
    content = planes
    if series.coder != "zstd-whole":
        bytes_WN = np.frombuffer(planes, dtype=np.uint8).reshape(series.width, n)
        content = bytes_WN.T.tobytes()
    return np.frombuffer(content, dtype=_KINDS[series.width]).astype(np.int64)


def _decompressed(coder: str, content: bytes, n_bytes: int) -> bytes:
    """At most so many bytes are made of it, whatever it claims."""
    planes: bytes
    try:
        if coder in ("zstd", "zstd-whole"):
            codec = pa.Codec("zstd")
            planes = codec.decompress(content, decompressed_size=n_bytes, asbytes=True)
        elif coder == "bz2":
            planes = b"".join(_bounded(bz2.BZ2Decompressor(), content, n_bytes))
        elif coder == "lzma":
            reader = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=LZMA_FILTERS)
            planes = b"".join(_bounded(reader, content, n_bytes))
        else:
            planes = content
    except (lzma.LZMAError, EOFError, OSError) as error:
        raise ValueError(f"{coder}: {error}") from error
    if len(planes) != n_bytes:
        raise ValueError(f"{len(planes)} bytes where {n_bytes} are expected")
    return planes


def _bounded(
    reader: lzma.LZMADecompressor | bz2.BZ2Decompressor, content: bytes, n_bytes: int
) -> Iterator[bytes]:
    part = reader.decompress(content, n_bytes + 1)
    while part:
        yield part
        n_bytes -= len(part)
        if n_bytes < 0 or reader.eof:
            return
        part = reader.decompress(b"", n_bytes + 1)


def _zstd(content: bytes, level: int) -> bytes:
    codec = pa.Codec("zstd", compression_level=level)
    compressed: bytes = codec.compress(content, asbytes=True)
    return compressed
