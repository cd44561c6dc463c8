"""Latent vectors and reconstructions of whole windows."""

import numpy as np
import pytest
import torch

from pipeline.detector.families import FAMILIES, VARIATIONAL
from pipeline.detector.latent import Encoder, reconstructed
from pipeline.window import Windows, cut_windows
from tests import builders

N_WINDOWS = 50
each_family = pytest.mark.parametrize("family", FAMILIES)


def windows(detector_window: int) -> Windows:
    return cut_windows(
        builders.sensor_series(N_WINDOWS + detector_window - 1), detector_window
    )


@each_family
def test_a_latent_vector_is_the_first_members_and_has_a_spread_if_it_is_a_vaes(
    family: str,
) -> None:
    detector = builders.detector(family)
    x_BTF = windows(detector.window)

    latents = Encoder(detector).latents(x_BTF)

    scaled_BTF = detector.scaling.scaled(x_BTF.gather(slice(None)))
    with torch.inference_mode():
        expected_MBL = detector.networks[0].encode(torch.from_numpy(scaled_BTF)[None])
    np.testing.assert_allclose(latents.mean_BL, expected_MBL[0], atol=1e-5)
    assert (latents.std_BL is not None) == (family in VARIATIONAL)
    if latents.std_BL is not None:
        assert latents.std_BL.shape == latents.mean_BL.shape
        assert (latents.std_BL > 0).all()


@each_family
def test_a_reconstruction_is_in_the_sensors_own_units_and_ends_with_what_is_expected(
    family: str,
) -> None:
    detector = builders.detector(family)
    x_BTF = windows(detector.window)

    reconstructed_BTF = reconstructed(detector, x_BTF)

    assert reconstructed_BTF.shape == (N_WINDOWS, detector.window, len(detector.sensors))
    expected_BF = detector.measure(x_BTF).expected_BF
    np.testing.assert_allclose(reconstructed_BTF[:, -1], expected_BF, rtol=1e-4, atol=1e-4)


def test_gaps_are_filled() -> None:
    detector = builders.detector("vae")
    values_NF = builders.sensor_series(N_WINDOWS)
    values_NF[10:20, 1] = np.nan
    x_BTF = cut_windows(values_NF, detector.window)

    assert np.isfinite(reconstructed(detector, x_BTF)).all()
    assert np.isfinite(Encoder(detector).latents(x_BTF).mean_BL).all()
