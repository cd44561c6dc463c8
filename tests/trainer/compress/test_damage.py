"""Files that are no compressed tables, or no longer, are one line of an error."""

import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputError
from tests.trainer.compress.waves import SENSORS, waves
from tests.trainer.reporting import OnDisk, write_table
from trainer.compress.coding import Series
from trainer.compress.compress import compress_file
from trainer.compress.decompress import decompress_file
from trainer.compress.layout import MAGIC, Block, End, Header, framed, frames


@pytest.fixture(scope="session")
def small(
    of_waves: Callable[[str], OnDisk],
    wave_table: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A file that carries a network."""
    file = tmp_path_factory.mktemp("small") / "small"
    assert compress_file(of_waves("ae").folder, wave_table, file, 0.005, "cpu").uses_network
    return file


def refused(path: Path, content: bytes) -> str:
    """The line that a file of this content is refused with; nothing is written."""
    path.write_bytes(content)
    out = path.with_name("back.parquet")
    with pytest.raises(InputError) as raised:
        decompress_file(path, out, "cpu")
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name]
    message = str(raised.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < 500
    return message


@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_that_is_cut_short_is_refused(
    share: float, small: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = small.read_bytes()

    message = refused(
        tmp_path_factory.mktemp("cut") / "x", content[: int(share * len(content))]
    )

    assert "cut short" in message or "expected a file that `trainer compress`" in message


@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_file_with_a_flipped_bit_is_refused(
    share: float, bit: int, small: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(small.read_bytes())
    content[int(share * len(content))] ^= 1 << bit

    refused(tmp_path_factory.mktemp("flipped") / "x", bytes(content))


@given(data=st.data())
def test_what_was_tampered_with_and_checksummed_anew_is_refused_or_a_table(
    data: st.DataObject, small: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with small.open("rb") as file:
        read = list(frames(small, file))
    number = data.draw(st.integers(0, len(read) - 1))
    content = bytearray(msgspec.msgpack.encode(read[number]))
    for _ in range(data.draw(st.integers(1, 3))):
        # Where fields stand: the front of a frame, more often than within its bytes.
        last = data.draw(st.sampled_from([min(300, len(content)), len(content)])) - 1
        content[data.draw(st.integers(0, last))] = data.draw(st.integers(0, 255))
    tampered = [framed(frame) for frame in read]
    head = len(content).to_bytes(8, "little") + zlib.crc32(content).to_bytes(4, "little")
    tampered[number] = head + bytes(content)
    path = tmp_path_factory.mktemp("tampered") / "x"
    path.write_bytes(MAGIC + b"".join(tampered))

    out = path.with_name("back.parquet")
    with suppress(InputError):
        decompress_file(path, out, "cpu")
        assert out.exists()
    assert {p.name for p in path.parent.iterdir()} <= {path.name, out.name}


def test_what_follows_the_end_is_refused(small: Path, tmp_path: Path) -> None:
    assert "5 bytes follow" in refused(tmp_path / "x", small.read_bytes() + b"12345")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"time,unit\n1,2\n" * 99])
def test_another_file_is_refused(content: bytes, tmp_path: Path) -> None:
    assert "expected a file that `trainer compress` wrote" in refused(
        tmp_path / "x", content
    )


HUGE = Series([], 0, "raw", b"")


def header(**fields: Any) -> Header:
    whole = Header(0.01, ["time", "x"], [0.0], [1.0], ["a"], None)
    return msgspec.structs.replace(whole, **fields)


def block(**fields: Any) -> Block:
    whole = Block(1, HUGE, HUGE, None, None, [], 0)
    return msgspec.structs.replace(whole, **fields)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([header(), block(), End(1)], "a block of other columns"),
        ([header(columns=["x", "y"]), End(1)], "its columns are no table's"),
        ([header(minimum=[np.nan]), End(1)], "its ranges are not ranges"),
        ([header(minimum=[2.0]), End(1)], "its ranges are not ranges"),
        ([header(minimum=[0.0, 0.0]), End(1)], "zip"),
        ([header(), header(), End(1)], "not in order"),
        ([block(), header(), End(1)], "not in order"),
        ([header(), End(5)], "rows are missing"),
        (
            [
                header(
                    columns=["time", *map(str, range(60_000))],
                    minimum=[0.0] * 60_000,
                    maximum=[0.0] * 60_000,
                ),
                block(n_rows=2**16, columns=[]),
            ],
            "too large",
        ),
    ],
)
def test_claims_that_do_not_hold_are_refused(
    content: list[Header | Block | End], reason: str, tmp_path: Path
) -> None:
    whole = MAGIC + b"".join(framed(frame) for frame in content)

    assert reason in refused(tmp_path / "x", whole)


def test_a_length_beyond_the_file_allocates_nothing(tmp_path: Path) -> None:
    assert "cut short" in refused(tmp_path / "x", MAGIC + b"\xff" * 7 + b"\0" * 20)


def test_values_that_come_back_otherwise_are_told(
    small: Path, tmp_path: Path, of_waves: Callable[[str], OnDisk]
) -> None:
    data = write_table(tmp_path / "d.parquet", SENSORS, {"a": waves(60)})
    compress_file(of_waves("ae").folder, data, tmp_path / "s", 0.005, "cpu")
    with (tmp_path / "s").open("rb") as file:
        first, rows, end = frames(tmp_path / "s", file)
    assert isinstance(rows, Block)
    changed = msgspec.structs.replace(rows, checksum=rows.checksum ^ 1)
    whole = MAGIC + b"".join(framed(frame) for frame in (first, changed, end))
    (tmp_path / "s").write_bytes(whole)

    assert decompress_file(tmp_path / "s", tmp_path / "b.parquet", "cpu").n_changed == 1
