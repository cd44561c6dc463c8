"""What members say of the windows that were held out from them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.detector.detector import MAX_VALUES_PER_LAUNCH
from pipeline.detector.families import build_network
from pipeline.detector.network import Network, NetworkShape
from tests import builders
from tests.builders import SENSORS, sensor_series
from trainer.held_out import Rows, held_out_measures, held_out_rows, n_before
from trainer.split import Folds, split

WINDOW, N_FOLDS = 8, 3
SHAPE = NetworkShape(WINDOW, len(SENSORS), hidden=16, latent=4, n_members=N_FOLDS)
CPU = torch.device("cpu")
SERIES_NF = sensor_series(300)
VALUES_NF = (SERIES_NF - SERIES_NF.mean(axis=0)) / SERIES_NF.std(axis=0)


class Numbered(Network):
    """Each member expects its own number of every sensor."""

    number_M: Tensor

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__(shape)
        self.register_buffer("number_M", torch.arange(float(shape.n_members)))

    def loss(self, x_MBTF: Tensor, observed_MBTF: Tensor, warmup: float) -> Tensor:
        raise NotImplementedError

    def encode(self, x_MBTF: Tensor) -> Tensor:
        return self.number_M[:, None, None].expand(-1, x_MBTF.shape[1], 1)

    def decode(self, latent_MBL: Tensor) -> Tensor:
        shape = self.shape
        return latent_MBL[..., None].expand(-1, -1, shape.window, shape.n_sensors)


def folds_of(labelled: tuple[int, ...] = (), has_gaps: bool = False) -> Folds:
    values_NF = VALUES_NF.copy()
    if has_gaps:
        values_NF[np.random.default_rng(0).random(values_NF.shape) < 0.2] = np.nan
        values_NF[40:70, 0] = np.nan
    history = builders.history(values_NF, [200, 100], labelled)
    return split(history, WINDOW, 1, N_FOLDS, held_out_fraction=0.25)


def rows_of(folds: Folds, *networks: Network) -> Rows:
    return held_out_rows(networks, folds, CPU)


def real_networks() -> tuple[Network, ...]:
    torch.manual_seed(0)
    return tuple(build_network(family, SHAPE).eval() for family in ("ae", "vae"))


def test_a_windows_expectation_is_of_the_member_that_did_not_train_on_it() -> None:
    folds = folds_of()

    expected_BF = rows_of(folds, Numbered(SHAPE)).expected_BF

    numbers = [np.full(len(f.held_out.windows), k) for k, f in enumerate(folds.folds)]
    assert (expected_BF == np.concatenate(numbers)[:, None]).all()


def test_of_several_networks_it_is_the_mean_of_those_members() -> None:
    folds, networks = folds_of(), real_networks()

    both_BF = rows_of(folds, *networks).expected_BF

    alone = [rows_of(folds, network).expected_BF for network in networks]
    np.testing.assert_allclose(both_BF, np.mean(alone, axis=0), atol=1e-6)
    assert not np.allclose(alone[0], alone[1])


def test_a_member_alone_is_what_it_is_among_the_others() -> None:
    folds, networks = folds_of(), real_networks()
    x_BTF = torch.from_numpy(folds.folds[1].held_out.windows.gather(slice(None)))
    with torch.inference_mode():
        expected_BF = networks[0].newest(x_BTF)[1].numpy()

    first = len(folds.folds[0].held_out.windows)
    found_BF = rows_of(folds, networks[0]).expected_BF[first : first + len(x_BTF)]

    np.testing.assert_allclose(found_BF, expected_BF, atol=1e-6)


def test_observed_is_the_newest_row_and_what_was_missing_is_told() -> None:
    folds = folds_of(has_gaps=True)
    windows = [fold.held_out.windows for fold in folds.folds]
    newest_BF = np.concatenate([w.gather(slice(None))[:, -1] for w in windows])

    rows = rows_of(folds, Numbered(SHAPE))

    np.testing.assert_array_equal(rows.is_observed_BF, ~np.isnan(newest_BF))
    seen = rows.is_observed_BF
    np.testing.assert_array_equal(rows.observed_BF[seen], newest_BF[seen])
    assert np.isfinite(rows.observed_BF).all()
    assert 0.15 < 1.0 - seen.mean() < 0.25


def test_a_row_knows_how_many_of_its_series_stand_before_it() -> None:
    folds = folds_of(labelled=(30,))
    found = rows_of(folds, Numbered(SHAPE)).n_before_B.tolist()

    series_B = np.concatenate([fold.held_out.series_B for fold in folds.folds]).tolist()
    assert found == [series_B[:i].count(series) for i, series in enumerate(series_B)]
    assert found.count(0) == int(folds.series_B.max()) + 1 == 2 * N_FOLDS + 1


@pytest.mark.parametrize(
    ("series", "expected"),
    [([], []), ([0], [0]), ([0, 0, 0], [0, 1, 2]), ([0, 0, 1, 2, 2], [0, 1, 0, 0, 1])],
)
def test_the_count_begins_anew_with_each_series(
    series: list[int], expected: list[int]
) -> None:
    assert n_before(np.array(series, dtype=np.int64)).tolist() == expected


@pytest.mark.parametrize("has_gaps", [False, True])
def test_the_residuals_of_rows_are_what_scoring_measures(has_gaps: bool) -> None:
    folds, networks = folds_of(has_gaps=has_gaps), real_networks()
    trust_F = np.array([0.0, 0.3, 1.0], dtype=np.float32)
    scoring = replace(builders.residual_scoring(), trust_F=trust_F)
    rows = rows_of(folds, *networks)

    measure_BC = held_out_measures(networks, scoring, folds, CPU)

    np.testing.assert_array_equal(rows.residuals(scoring.trust_F), measure_BC)


def test_nothing_depends_on_how_many_windows_are_run_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folds, networks = folds_of(has_gaps=True), real_networks()
    at_once = rows_of(folds, *networks)
    n_values = len(networks) * 7 * WINDOW * len(SENSORS)
    monkeypatch.setitem(MAX_VALUES_PER_LAUNCH, "cpu", n_values)

    in_sevens = rows_of(folds, *networks)

    np.testing.assert_array_equal(in_sevens.observed_BF, at_once.observed_BF)
    np.testing.assert_array_equal(in_sevens.is_observed_BF, at_once.is_observed_BF)
    np.testing.assert_allclose(in_sevens.expected_BF, at_once.expected_BF, atol=1e-6)
