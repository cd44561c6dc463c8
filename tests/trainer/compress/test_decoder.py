"""The half of a network that a file carries."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.detector.detector import Detector
from pipeline.detector.families import FAMILIES
from pipeline.detector.latent import Encoder
from pipeline.detector.scaler import Scaler
from pipeline.detector.scaling import Scaling
from pipeline.records import FloatArray
from pipeline.window import Windows
from tests import builders
from trainer.compress.decoder import (
    LatentDecoder,
    coded_latents,
    decoder_part,
    latents_series,
    series_latents,
    window_starts,
)
from trainer.compress.layout import DecoderPart

STEP = 1e-4
CPU = torch.device("cpu")


def part_of(detector: Detector, units: Sequence[str] = ("a",)) -> DecoderPart:
    part = decoder_part(detector, 0, units, STEP)
    assert part is not None
    return part


@pytest.mark.parametrize("family", FAMILIES)
def test_it_reconstructs_as_the_whole_network_does(family: str) -> None:
    detector = builders.detector(family)
    values_NF = builders.sensor_series(80)
    start_B = window_starts(np.zeros(80, dtype=np.int64), detector.window)
    windows = Windows(values_NF, start_B, detector.window)
    latent_BL = Encoder(detector).latents(windows).mean_BL

    decoder = LatentDecoder(part_of(detector), 1, CPU)
    codes = coded_latents(latent_BL, STEP)
    expected_NF = decoder.expected(codes, start_B, np.zeros(80, dtype=np.int64))

    network = detector.networks[0].member(0)
    with torch.inference_mode():
        x_BTF = network.decode(torch.from_numpy(latent_BL)[None])[0].numpy()
    whole_NF = detector.scaling.unscaled(x_BTF.reshape(-1, 3))
    # Weights are kept in 16 bits.
    np.testing.assert_allclose(
        (expected_NF - whole_NF) / detector.scaling.pooled.scale_F, 0.0, atol=0.02
    )


def test_each_unit_is_in_its_own_scale() -> None:
    detector = builders.detector()
    pooled = detector.scaling.pooled
    ones_UF = np.ones((2, 3), dtype=np.float32)
    detector = Detector(
        detector.sensors,
        detector.networks,
        Scaling(pooled, ("a", "b"), 100.0 * ones_UF, ones_UF),
        detector.scoring,
        1.0,
    )
    decoder = LatentDecoder(part_of(detector, ["new", "b"]), 2, CPU)
    codes = np.zeros((2, 4), dtype=np.int64)

    expected_NF = decoder.expected(codes, np.array([0, 8]), np.repeat([0, 1], 8))

    scaled_NF = (expected_NF[:8] - pooled.mean_F) / pooled.scale_F
    np.testing.assert_allclose(expected_NF[8:], scaled_NF + 100.0, rtol=1e-6)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(2, 9))
def test_windows_cover_every_unit_that_fills_one(n_of_unit: list[int], length: int) -> None:
    unit_N = np.repeat(np.arange(len(n_of_unit)), n_of_unit)

    starts = window_starts(unit_N, length).tolist()

    covered = {start + step for start in starts for step in range(length)}
    long_enough = np.repeat(np.array(n_of_unit) >= length, n_of_unit)
    assert sorted(covered) == np.flatnonzero(long_enough).tolist()
    assert all(unit_N[start] == unit_N[start + length - 1] for start in starts)
    assert len(starts) == sum(-(-n // length) for n in n_of_unit if n >= length)


def test_latent_codes_come_back() -> None:
    codes = np.random.default_rng(0).integers(-99, 99, size=(40, 4))

    np.testing.assert_array_equal(series_latents(latents_series(codes), 40, 4), codes)


def test_weights_that_16_bits_do_not_hold_are_left_to_the_plain_way() -> None:
    detector = builders.detector()
    with torch.no_grad():
        for parameter in detector.networks[0].parameters():
            parameter.fill_(1e6)

    assert decoder_part(detector, 0, ["a"], STEP) is None


def replaced(part: DecoderPart, **fields: object) -> DecoderPart:
    return msgspec.structs.replace(part, **fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tensors": {}}, "weights do not fit"),
        ({"sensors": ["x"]}, "weights do not fit"),
        ({"mean": b""}, "scalers"),
        ({"scale": b"\0"}, "buffer size"),
    ],
)
def test_parts_that_do_not_fit_are_refused(fields: dict[str, object], message: str) -> None:
    part = replaced(part_of(builders.detector()), **fields)

    with pytest.raises(ValueError, match=message):
        LatentDecoder(part, 1, CPU)


def test_a_scaling_is_fitted_as_everywhere() -> None:
    values_NF: FloatArray = builders.sensor_series(500)

    part = part_of(builders.detector())

    mean_F = np.frombuffer(part.mean, dtype=np.float32)
    np.testing.assert_array_equal(mean_F, Scaler.fit(values_NF).mean_F)
