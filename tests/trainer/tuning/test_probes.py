import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import builders
from trainer.split import Folds, split
from trainer.tuning.probes import (
    N_PROBES,
    PROBED,
    SIZES,
    Probes,
    choose_probes,
    runs_of_rows,
)

HISTORY = builders.history(builders.sensor_series(1_500), [900, 600])
WINDOW = 8
ALL_SCORED = np.ones(3, dtype=np.bool_)


def folds() -> Folds:
    return split(HISTORY, WINDOW, 1, 4, 0.25)


def chosen(seed: int = 0) -> Probes:
    return choose_probes(HISTORY, runs_of_rows(folds(), WINDOW - 1), ALL_SCORED, seed)


def test_the_same_seed_chooses_the_same() -> None:
    assert chosen(3) == chosen(3)
    assert chosen(3) != chosen(4)


def test_each_kind_of_fault_is_as_frequent_as_the_others() -> None:
    kinds = [probe.fault.kind for probe in chosen().probes]

    assert {kinds.count(kind) for kind in PROBED} == {N_PROBES // len(PROBED)}


@settings(max_examples=20)
@given(seed=st.integers(0, 2**20))
def test_a_probe_lies_in_one_held_out_stretch_with_windows_before_it(seed: int) -> None:
    probes = chosen(seed)
    ends = [set((f.held_out.windows.start_B + WINDOW - 1).tolist()) for f in folds().folds]

    for probe in probes.probes:
        rows = set(range(probe.begin, probe.begin + probes.length))
        assert any(rows <= of_fold for of_fold in ends)
        assert HISTORY.begin_U[probe.unit] <= min(rows)
        assert max(rows) < HISTORY.begin_U[probe.unit + 1]


@settings(max_examples=20)
@given(seed=st.integers(0, 2**20))
def test_a_fault_is_within_the_judged_rows_and_of_a_size_as_said(seed: int) -> None:
    probes = chosen(seed)

    for probe in probes.probes:
        fault = probe.fault
        assert probes.n_lead <= fault.begin < fault.begin + fault.length <= probes.length
        rows = slice(*HISTORY.begin_U[probe.unit : probe.unit + 2].tolist())
        deviation = HISTORY.values_NF[rows, fault.sensor].astype(np.float64).std()
        assert SIZES[0] * 0.999 <= probe.size / deviation <= SIZES[1] * 1.001


def test_a_fault_changes_its_own_readings_of_its_own_sensor_alone() -> None:
    probes = chosen()
    for probe in probes.probes:
        values_MF = HISTORY.values_NF[probe.begin : probe.begin + probes.length].copy()
        before_MF = values_MF.copy()

        probes.inject(probe, 0, values_MF, probe.fault.sensor)

        is_changed_MF = values_MF != before_MF
        assert not is_changed_MF[~probes.labels(probe)].any()
        assert not np.delete(is_changed_MF, probe.fault.sensor, axis=1).any()
        assert is_changed_MF.any()


def test_a_sensor_that_is_not_scored_has_no_fault() -> None:
    is_scored_F = np.array([True, False, True])
    runs = runs_of_rows(folds(), WINDOW - 1)

    probes = choose_probes(HISTORY, runs, is_scored_F, 0)

    assert {probe.fault.sensor for probe in probes.probes} == {0, 2}


def test_labels_say_nothing_of_what_is_chosen_among_rows_without() -> None:
    values_NF = HISTORY.values_NF
    labelled = builders.history(values_NF, [900, 600], labelled=range(400, 420))
    cut = split(labelled, WINDOW, 1, 4, 0.25)

    probes = choose_probes(labelled, runs_of_rows(cut, WINDOW - 1), ALL_SCORED, 0)

    for probe in probes.probes:
        rows = slice(probe.begin, probe.begin + probes.length)
        assert not labelled.label_N[rows].any()


@pytest.mark.parametrize("n_rows", [140, 200, 700])
def test_a_short_history_has_shorter_stretches(n_rows: int) -> None:
    history = builders.history(builders.sensor_series(n_rows))
    runs = runs_of_rows(split(history, WINDOW, 1, 4, 0.25), WINDOW - 1)

    probes = choose_probes(history, runs, ALL_SCORED, 0)

    assert probes.length == min(n_rows // 4 - WINDOW + 1, 128)
    assert len(probes.probes) == N_PROBES
