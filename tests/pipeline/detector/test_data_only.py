"""A detector's folder is data: nothing in it runs, hides, or has more made of it than it
holds."""

import ast
import json
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

import pipeline
import trainer
from pipeline.detector.artifact import GOLDEN, MANIFEST, WEIGHTS, load
from pipeline.detector.tensors import MAX_TENSORS_HEADER_BYTES
from tests.pipeline.detector.test_hostile import refusal
from tests.pipeline.detector.test_tampering import rewrite
from tests.processes import command

PACKAGES = [Path(package.__path__[0]) for package in (pipeline, trainer)]
SOURCES = [path for package in PACKAGES for path in sorted(package.rglob("*.py"))]

MAKES_CODE_OF_DATA = {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_nothing_here_can_make_code_of_data(source: Path) -> None:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            assert not {a.name.split(".")[0] for a in node.names} & MAKES_CODE_OF_DATA
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in MAKES_CODE_OF_DATA
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "torch.load", "torch.jit.load", "np.load")


def tensors(header: object, body: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with this header, which may state another length."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def one(shape: list[int], end: int = 4, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}


TWICE = b'{"a":%s,"a":%s}' % ((json.dumps(one([1])).encode(),) * 2)
HOSTILE = {
    "ten terabytes": tensors({"a": one([10**12, 10], 4 * 10**13)}),
    "ten terabytes in four bytes": tensors({"a": one([10**12, 10])}, b"abcd"),
    "a size that overflows": tensors({"a": one([2**40, 2**40])}, b"abcd"),
    "a size below zero": tensors({"a": one([-1])}, b"abcd"),
    "no size, and long axes": tensors({"a": one([0, 10**15], 0)}),
    "a long header that is not there": tensors({}, length=10**13),
    "a header of no length that can be": tensors({}, length=2**64 - 1),
    "a header of more than a megabyte": tensors(b" " * (MAX_TENSORS_HEADER_BYTES + 1)),
    "tensors that overlap": tensors({"a": one([1]), "b": one([1])}, b"abcd"),
    "bytes of no tensor": tensors({"a": one([1])}, b"abcd and more"),
    "a name twice": tensors(TWICE, b"abcd"),
    "a type that is none": tensors({"a": one([1], 4, "object")}, b"abcd"),
    "deep nesting": tensors(b'{"a":' * 100_000),
    "a header that is no object": tensors([1, 2, 3]),
    "a pickle": b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94.",
    "nothing": b"",
}


@pytest.mark.parametrize("file", [WEIGHTS, GOLDEN])
@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_that_claims_more_than_it_holds_is_refused_before_it_is_made_room_for(
    what: str, file: str, folder: Path
) -> None:
    (folder / file).write_bytes(HOSTILE[what])
    rewrite(folder, lambda fields: None)

    tracemalloc.start()
    try:
        said = refusal(folder)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < 16 * 2**20
    assert len(said) < 1_000


def changed_text(folder: Path, old: str, new: str) -> None:
    text = (folder / MANIFEST).read_text()
    assert old in text
    (folder / MANIFEST).write_text(text.replace(old, new, 1))


def test_a_manifest_with_a_name_twice_is_refused(folder: Path) -> None:
    # The digest is over what was decoded, which the second one alone is.
    changed_text(folder, '"name": ', '"name": "reviewed",\n  "name": ')

    assert "'name' stands there twice" in refusal(folder)


def test_a_name_twice_further_in_is_refused(folder: Path) -> None:
    changed_text(folder, '"window": ', '"window": 9, "window": ')

    assert "'window' stands there twice" in refusal(folder)


@pytest.mark.parametrize("part", ["weights", "golden", "reference"])
@pytest.mark.parametrize(
    "path", ["../pumps/weights.safetensors", "/etc/passwd", "", ".", "x\0y", "x" * 10**6]
)
def test_a_manifest_names_no_file_but_its_own(path: str, part: str, folder: Path) -> None:
    rewrite(folder, lambda fields: fields[part].update(file=path))

    said = refusal(folder)

    assert "expected a file '" in said
    assert len(said) < 1_000


def a_long_family(fields: dict[str, Any]) -> None:
    fields["networks"][0]["family"] = "x" * 10**6


def a_long_schema(fields: dict[str, Any]) -> None:
    fields["schema"] = "x" * 10**6


def a_long_field(fields: dict[str, Any]) -> None:
    fields["x" * 10**6] = 1


def a_long_sensor(fields: dict[str, Any]) -> None:
    fields["sensors"][0] = '"' * 10**6


def too_many_units(fields: dict[str, Any]) -> None:
    fields["scaler"]["units"] = [f"unit-{u}" for u in range(200_001)]


def too_many_networks(fields: dict[str, Any]) -> None:
    fields["networks"] *= 17


@pytest.mark.parametrize(
    "change",
    [
        a_long_family,
        a_long_schema,
        a_long_field,
        a_long_sensor,
        too_many_units,
        too_many_networks,
    ],
)
def test_what_a_manifest_holds_too_much_of_is_told_in_a_short_line(
    change: Any, folder: Path
) -> None:
    fields = json.loads((folder / MANIFEST).read_text())
    change(fields)
    (folder / MANIFEST).write_text(json.dumps(fields))

    assert len(refusal(folder)) < 1_000


def test_a_manifest_larger_than_16_mib_is_not_read(folder: Path) -> None:
    with (folder / MANIFEST).open("ab") as manifest:
        manifest.write(b" " * (16 * 2**20))

    assert "expected a file of at most 16777216 bytes" in refusal(folder)


@pytest.mark.parametrize("file", [WEIGHTS, GOLDEN])
def test_a_hole_of_terabytes_is_not_read(file: str, folder: Path) -> None:
    with (folder / file).open("ab") as tensors_file:
        tensors_file.truncate(2**42)

    assert "expected a file of at most" in refusal(folder)


def test_what_else_lies_in_the_folder_is_not_touched(folder: Path) -> None:
    for name in ("sitecustomize.py", "weights.pkl", "__init__.py"):
        (folder / name).write_text("raise SystemExit('ran')")

    load(folder)  # raises nothing


def test_a_refusal_is_one_line_and_exit_code_2(folder: Path, tmp_path: Path) -> None:
    (folder / WEIGHTS).write_bytes(HOSTILE["ten terabytes in four bytes"])
    rewrite(folder, lambda fields: None)
    data = tmp_path / "data.csv"
    data.write_text("time,pressure\n1,2\n")

    done = command("pipeline", "score", str(folder), str(data), "--out", "scores.csv")

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {folder}: the weights do not fit")
