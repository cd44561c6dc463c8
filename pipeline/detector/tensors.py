"""Reading a file of tensors no further than it is what was expected.

The file's format is that of safetensors, whose own reader takes a file as a whole, holds
it twice, and panics where memory is short.
Source: https://github.com/huggingface/safetensors#format
"""

import hashlib
import io
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias

import msgspec
import torch
from torch import Tensor

from pipeline.detector.files import open_file
from pipeline.detector.strict import refuse_repeated_names, shortened, shown
from pipeline.errors import DetectorError

FLOAT32 = "F32"
MAX_TENSORS_HEADER_BYTES = 2**20
"""What `trainer fit` writes has under 100 KiB."""
_LENGTH_BYTES = 8
_VALUE_BYTES = 4
_CHUNK_BYTES = 2**20
_METADATA = "__metadata__"
_Size = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class Claim(NamedTuple):
    """What a file's header says of a tensor."""

    dtype: str
    """`F32` for 32-bit floats, the only ones there should be."""
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return shown(f"{self.dtype} {self.shape}")


Claims: TypeAlias = Mapping[str, Claim]


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    dtype: str
    shape: Annotated[tuple[_Size, ...], msgspec.Meta(max_length=8)]
    data_offsets: tuple[_Size, _Size]


def read_tensors(
    path: Path, sha256: str, max_bytes: int, check: Callable[[Claims], None]
) -> dict[str, Tensor]:
    """The tensors of a file that is what its digest says, each in memory of its own.

    Args:
        path: the file.
        sha256: its digest, in hexadecimal.
        max_bytes: largest size.
        check: raises DetectorError of tensors that are not those expected. It is asked
            before memory is taken for them.

    Raises:
        DetectorError: it is missing, larger, another file, or holds no such tensors.
    """
    with open_file(path, max_bytes) as (file, n_bytes):
        digest = hashlib.sha256()
        try:
            entries = _entries(path, file, n_bytes, digest)
            check({name: Claim(each.dtype, each.shape) for name, each in entries.items()})
            for name, each in entries.items():
                _check_size(path, name, each)
        except DetectorError:
            # A bit that flipped in the header has many faces: say what it is.
            file.seek(0)
            whole = hashlib.sha256()
            while chunk := file.read(_CHUNK_BYTES):
                whole.update(chunk)
            _check_digest(path, whole, sha256)
            raise
        tensors = {}
        for name, each in entries.items():
            # Torch's own memory, whose alignment is the best for its kernels.
            tensors[name] = torch.empty(each.shape, dtype=torch.float32)
            values = tensors[name].numpy().reshape(-1).data
            if values.nbytes:
                file.readinto(values)
                digest.update(values)
    # A file that was cut off meanwhile too.
    _check_digest(path, digest, sha256)
    return tensors


def _entries(
    path: Path, file: io.BufferedReader, n_bytes: int, digest: "hashlib._Hash"
) -> dict[str, _Entry]:
    """What the header says, in the order of the file."""
    head = file.read(_LENGTH_BYTES)
    length = int.from_bytes(head, "little")
    if len(head) < _LENGTH_BYTES or length > MAX_TENSORS_HEADER_BYTES:
        raise DetectorError(
            f"{path}: expected tensors with a header of at most "
            f"{MAX_TENSORS_HEADER_BYTES} bytes, got {length}"
        )
    header = file.read(length)
    digest.update(head + header)
    refuse_repeated_names(header, str(path))
    try:
        fields = msgspec.json.decode(header, type=dict[str, Any])
        fields.pop(_METADATA, None)
        found = msgspec.convert(fields, dict[str, _Entry])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DetectorError(f"{path}: expected tensors: {shortened(error)}") from error
    entries = dict(sorted(found.items(), key=lambda named: named[1].data_offsets))
    end = 0
    for name, each in entries.items():
        if each.data_offsets[0] != end or each.data_offsets[1] < end:
            raise DetectorError(
                f"{path}: expected tensors one after the other: {shown(name)} is at "
                f"{each.data_offsets}, not at {end}"
            )
        end = each.data_offsets[1]
    if _LENGTH_BYTES + length + end != n_bytes:
        raise DetectorError(
            f"{path}: expected tensors of {end} bytes, as its header says, "
            f"got {n_bytes - _LENGTH_BYTES - length}"
        )
    return entries


def _check_size(path: Path, name: str, entry: _Entry) -> None:
    begin, end = entry.data_offsets
    n_bytes = math.prod(entry.shape) * _VALUE_BYTES
    if entry.dtype != FLOAT32 or end - begin != n_bytes:
        raise DetectorError(
            f"{path}: expected {shown(name)} to be 32-bit floats ({FLOAT32}) of "
            f"{n_bytes} bytes, got {shown(entry.dtype)} of {end - begin}"
        )


def _check_digest(path: Path, digest: "hashlib._Hash", sha256: str) -> None:
    if digest.hexdigest() != sha256:
        raise DetectorError(
            f"{path}: its SHA-256 is not the manifest's; it was changed or damaged"
        )
