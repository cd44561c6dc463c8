"""Whatever a manifest claims: of what is loaded a worker can be built."""

import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.detector import manifest as manifests
from pipeline.detector.artifact import MANIFEST, LoadedDetector, load, save
from pipeline.drift.drift import Drift
from pipeline.errors import DetectorError
from pipeline.incident import Explanation, OpenIncident
from pipeline.metrics import WorkerMetrics
from pipeline.note import Note
from pipeline.score import Scorer
from pipeline.settings import DecodeSettings, DriftSettings
from pipeline.steps import build_steps, calibrated_rule
from tests import builders
from tests.support import MIB, memory_left
from trainer.usual import usual_readings

Place = tuple[Any, ...]
LARGEST = 3.4028234663852886e38

COUNTS = [0, 1, 3, 16, 64, 65, 4096, 10**5, 2**24, 2**31, 2**45, 2**53, 2**62, 2**63 - 1]
AMOUNTS = [
    0.0,
    1e-45,
    2e-38,
    1e-4,
    0.5,
    1.0,
    7.5,
    1e9,
    1e30,
    LARGEST,
    1e308,
    -0.5,
    -LARGEST,
]
LIKE: dict[type, list[Any]] = {
    int: COUNTS,
    float: AMOUNTS,
    bool: [True, False],
    str: ["", "x", "pump 7", "ü" * 200, "x" * 10**4, "conv", "ae"],
    list: [[], [1.0], [[]], [0.5] * 10**4],
    dict: [{}, {"x": 1}],
}
ODD: list[Any] = [2**63, 2**64, 10**100, -1, -(2**63), 0.5, None, "", [], {}]


def saved(folder: Path) -> LoadedDetector:
    """A detector whose manifest tells all that one may tell."""
    scoring = builders.residual_scoring(("burst", 1), ("shift", 4))
    built = builders.detector("vae+gru", scoring=scoring)
    values_NF = builders.sensor_series(500)
    one_unit_N = np.zeros(500, dtype=np.int64)
    usual = usual_readings(
        built.scaling.scaled(values_NF),
        values_NF,
        one_unit_N,
        np.arange(500.0),
        one_unit_N == 0,
    )
    manifest = builders.manifest(built)
    manifest = msgspec.structs.replace(
        manifest,
        threshold=msgspec.structs.replace(manifest.threshold, score_counts=[5] * 60),
        training=msgspec.structs.replace(manifest.training, usual=usual),
    )
    return save(folder, built, builders.GOLDEN_NF, builders.REFERENCE_BTF, manifest)


def places(value: Any, at: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Where something stands in a manifest, and what."""
    if at:
        yield at, value
    if isinstance(value, dict):
        for name, each in value.items():
            yield from places(each, (*at, name))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from places(each, (*at, number))


def put(fields: Any, at: Place, value: Any, is_all: bool) -> None:
    """Put a value in a place; with `is_all` in those beside it too, if it is in a list."""
    for key in at[:-1]:
        try:
            fields = fields[key]
        except (KeyError, IndexError, TypeError):
            return  # gone, by what was put before
    if isinstance(fields, list) and is_all:
        fields[:] = [deepcopy(value) for _ in fields]
    elif isinstance(fields, dict) or (isinstance(fields, list) and len(fields)):
        fields[at[-1] if isinstance(fields, dict) else 0] = deepcopy(value)


def build_all(loaded: LoadedDetector) -> None:
    """All that a worker makes of a detector."""
    Drift(loaded, WorkerMetrics(), DriftSettings())
    steps = build_steps(
        loaded,
        Scorer(loaded.detector, torch.device("cpu"), has_latents=True),
        calibrated_rule(loaded),
        DecodeSettings(),
        1_000,
        3_600.0,
        "alerts",
        5,
        "expected",
        4_000,
    )
    row_F = np.full(len(loaded.detector.sensors), 0.5, dtype=np.float32)
    why = Explanation(row_F, row_F, row_F, np.zeros(steps.scorer.n_latent, np.float32))
    incident = OpenIncident(1e9, 2.0, 2.0, why, 0)
    text = steps.codec.encode(Note(10, 0, [("pump-7", incident)]), 0)
    if text:
        assert steps.codec.decode(text) is not None


def build_or_refuse(folder: Path) -> DetectorError | None:
    """Why it is not loaded; None if all was built."""
    try:
        loaded = load(folder)
    except DetectorError as error:
        return error
    build_all(loaded)
    return None


@pytest.fixture(scope="module")
def pumps(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder, and its manifest."""
    folder = tmp_path_factory.mktemp("claims") / "pumps"
    build_all(saved(folder))
    return folder, (folder / MANIFEST).read_text()


@settings(
    deadline=None, max_examples=300, suppress_health_check=list(HealthCheck), database=None
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["threshold", "training", "incident", "scaler", "", ""]),
            st.integers(0, 10**6),
            st.integers(0, 20),
            st.booleans(),
            st.sampled_from([False] * 9 + [True]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_what_is_loaded_can_be_built(
    pumps: tuple[Path, str], changes: Sequence[tuple[str, int, int, bool, bool]]
) -> None:
    folder, text = pumps
    fields = json.loads(text)
    fields.pop("digest")
    for section, number, choice, is_all, is_odd in changes:
        inside = fields.get(section, fields)
        if found := dict(places(inside)):
            at, old = list(found.items())[number % len(found)]
            values = ODD if is_odd or old is None else LIKE[type(old)]
            put(inside, at, values[choice % len(values)], is_all)
    try:
        signed = manifests.encode(msgspec.convert(fields, manifests.Manifest))
    except (msgspec.ValidationError, OverflowError):
        signed = json.dumps(fields).encode()
    (folder / MANIFEST).write_bytes(signed)

    with memory_left(512 * MIB):
        refusal = build_or_refuse(folder)

    assert refusal is None or not refusal.is_passing
    assert "cannot be loaded" not in str(refusal)
