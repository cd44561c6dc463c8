"""A detector's folder can be anyone's: its claims are bounded, each refusal is one line."""

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from pipeline.detector import load as loading
from pipeline.detector.artifact import GOLDEN, MANIFEST, WEIGHTS, load, save
from pipeline.detector.families import FAMILIES
from pipeline.detector.files import read_file
from pipeline.errors import DetectorError
from tests import builders
from tests.builders import GOLDEN_NF, REFERENCE_BTF, saved_detector
from tests.pipeline.detector.test_tampering import rewrite


def refusal(folder: Path) -> str:
    """Why the detector is not loaded: one line."""
    with pytest.raises(DetectorError) as error:
        load(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_loading_takes_memory_by_the_size_of_the_files(folder: Path) -> None:
    tracemalloc.start()
    try:
        load(folder)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < 16 * 2**20


def test_golden_readings_of_long_windows_are_not_all_cut_out_at_once(
    tmp_path: Path,
) -> None:
    # Its weights do not grow with the window, so nothing in the folder is large.
    detector = builders.detector("conv", window=10_000)
    golden_NF = builders.sensor_series(10_000 + 199)
    manifest = builders.manifest(detector)
    save(tmp_path / "pumps", detector, golden_NF, REFERENCE_BTF, manifest)
    tracemalloc.start()
    try:
        load(tmp_path / "pumps")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < 16 * 2**20


def test_a_file_that_grows_while_it_is_read_is_read_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights").write_bytes(b"12345678")
    fstat = os.fstat

    def grown(file: int) -> os.stat_result:
        status = fstat(file)
        with (tmp_path / "weights").open("ab") as appending:
            appending.write(b"and more")
        return status

    monkeypatch.setattr(os, "fstat", grown)

    assert read_file(tmp_path / "weights", 100) == b"12345678"


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize(
    "sizes", [{"hidden": 100_000, "latent": 100_000}, {"members": 1_000}]
)
def test_sizes_that_the_weights_do_not_have_are_refused_before_they_are_allocated(
    sizes: dict[str, int], family: str, tmp_path: Path
) -> None:
    saved_detector(tmp_path / "pumps", family)
    rewrite(tmp_path / "pumps", lambda fields: fields["networks"][0].update(sizes))

    reason = refusal(tmp_path / "pumps")

    assert "the weights do not fit: expected '0." in reason


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("window", [9, 100_000])
def test_a_window_that_is_not_the_detectors_is_refused(
    family: str, window: int, tmp_path: Path
) -> None:
    saved_detector(tmp_path / "pumps", family)
    change = {"window": window}
    rewrite(tmp_path / "pumps", lambda fields: fields["networks"][0].update(change))

    # The weights of some families are the same for windows of any length.
    reason = refusal(tmp_path / "pumps")

    assert "the weights do not fit" in reason or "golden windows" in reason


def weights_of_another_type(weights: dict[str, Any]) -> None:
    weights["0.encoder.second.bias"] = weights["0.encoder.second.bias"].astype(np.float64)


def too_few_weights(weights: dict[str, Any]) -> None:
    del weights["0.encoder.second.bias"]


def too_many_weights(weights: dict[str, Any]) -> None:
    weights["0.encoder.second.\nbias"] = weights["0.encoder.second.bias"]


@pytest.mark.parametrize(
    "change", [weights_of_another_type, too_few_weights, too_many_weights]
)
def test_weights_that_do_not_fit_are_one_line(
    change: Callable[[dict[str, Any]], None], folder: Path
) -> None:
    weights = dict(safetensors.numpy.load_file(folder / WEIGHTS))
    change(weights)
    safetensors.numpy.save_file(weights, folder / WEIGHTS)
    rewrite(folder, lambda fields: None)

    assert "the weights do not fit: expected '0.encoder.second." in refusal(folder)


@pytest.mark.parametrize(
    "golden",
    [
        {"readings": GOLDEN_NF, "scores": np.ones((), np.float32)},
        {"readings": np.ones((), np.float32), "scores": np.zeros(1, np.float32)},
        {"readings": GOLDEN_NF, "scores": np.zeros(13, np.int64)},
        {"readings": GOLDEN_NF, "wrong\nname": np.zeros(13, np.float32)},
        {
            "readings": np.zeros((1_001 + 7, 3), np.float32),
            "scores": np.zeros(1_001, np.float32),
        },
    ],
)
def test_golden_readings_of_another_shape_or_number_are_refused_unscored(
    golden: dict[str, np.ndarray[Any, Any]], folder: Path
) -> None:
    safetensors.numpy.save_file(golden, folder / GOLDEN)
    rewrite(folder, lambda fields: None)

    assert "golden" in refusal(folder)
    assert "score [" not in refusal(folder)


def too_many_sensors(fields: dict[str, Any]) -> None:
    fields["sensors"] = [f"sensor-{f}" for f in range(10_001)]
    fields["scaler"] = {"mean": [0.0] * 10_001, "scale": [1.0] * 10_001}


def a_field_with_a_line_break(fields: dict[str, Any]) -> None:
    fields["networks"][0]["two\nlines"] = 1


def a_scale_that_is_0_as_a_float32(fields: dict[str, Any]) -> None:
    fields["scaler"]["scale"][0] = 1e-300


def a_mean_beyond_float32(fields: dict[str, Any]) -> None:
    fields["scaler"]["mean"][0] = 1e300


def counts_beyond_64_bits(fields: dict[str, Any]) -> None:
    fields["threshold"]["score_counts"] = [2**63] * 60


def counts_whose_sum_is_beyond_64_bits(fields: dict[str, Any]) -> None:
    fields["threshold"]["score_counts"] = [2**62] * 60


def a_promise_below_nothing(fields: dict[str, Any]) -> None:
    fields["threshold"]["expected_false_alarms_per_unit_day"] = -1.0


def a_recovery_without_end(fields: dict[str, Any]) -> None:
    fields["incident"]["recovery"] = 2**31


def a_name_without_end(fields: dict[str, Any]) -> None:
    fields["name"] = "p" * 1_001


def a_memory_of_residuals_without_end(fields: dict[str, Any]) -> None:
    fields["sensors"] = [f"sensor-{f}" for f in range(1_000)]
    fields["scaler"] |= {"mean": [0.0] * 1_000, "scale": [1.0] * 1_000}
    fields["score"] |= {"trust": [1.0] * 1_000, "scored": [True] * 1_000}
    fields["score"]["statistics"][0] |= {
        "span": 1_024,
        "scale": [1.0] * 1_000,
        "typical": [0.0] * 1_000,
    }


def lists_without_end(fields: dict[str, Any]) -> None:
    fields["training"]["settings"] = {"steps": [[]] * 1_000_000}


def a_threshold_that_is_0_as_a_float32(fields: dict[str, Any]) -> None:
    fields["threshold"]["value"] = 1e-300


@pytest.mark.parametrize(
    "change",
    [
        too_many_sensors,
        a_field_with_a_line_break,
        a_scale_that_is_0_as_a_float32,
        a_threshold_that_is_0_as_a_float32,
        a_mean_beyond_float32,
        counts_beyond_64_bits,
        counts_whose_sum_is_beyond_64_bits,
        a_promise_below_nothing,
        a_recovery_without_end,
        a_name_without_end,
        a_memory_of_residuals_without_end,
        lists_without_end,
    ],
)
def test_a_manifest_that_claims_too_much_is_one_line(
    change: Callable[[dict[str, Any]], None], folder: Path
) -> None:
    fields = json.loads((folder / MANIFEST).read_text())
    change(fields)
    (folder / MANIFEST).write_text(json.dumps(fields))

    assert "not a detector's manifest" in refusal(folder)


def replaced_after_its_manifest_was_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, n_times: int
) -> None:
    n_left = n_times

    def read(path: Path, max_bytes: int) -> bytes:
        nonlocal n_left
        content = read_file(path, max_bytes)
        if path == folder / MANIFEST and n_left > 0:
            n_left -= 1
            saved_detector(folder, seed=1 + n_times - n_left)
        return content

    monkeypatch.setattr(loading, "read_file", read)


def test_a_detector_that_is_replaced_while_it_is_read_is_the_new_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced_after_its_manifest_was_read(folder, monkeypatch, n_times=1)

    loaded = load(folder)

    monkeypatch.undo()
    assert loaded.digest == load(folder).digest


def test_one_that_never_stands_still_is_given_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced_after_its_manifest_was_read(folder, monkeypatch, n_times=5)

    assert "SHA-256" in refusal(folder)
