"""Which readings of a long history are kept."""

import numpy as np
import pytest

from trainer.stretches import Stretches, choose_stretches

LENGTH = 100


def chosen(n_of_unit: list[int], n_kept: int, seed: int = 0) -> Stretches:
    return choose_stretches(np.array(n_of_unit), n_kept, LENGTH, seed)


def lengths(stretches: Stretches) -> list[int]:
    found: list[int] = (stretches.end_S - stretches.begin_S).tolist()
    return found


def kept_of(stretches: Stretches, unit: int, n_readings: int) -> np.ndarray:
    """Whether each reading of a unit is kept."""
    rank_N = np.arange(n_readings)
    return stretches.of(np.full(n_readings, unit), rank_N) >= 0


def test_as_many_readings_are_kept_as_are_asked_for() -> None:
    n_of_unit = [50_000, 30_000, 12_345]

    stretches = chosen(n_of_unit, 9_000)

    n_kept = sum(kept_of(stretches, unit, n).sum() for unit, n in enumerate(n_of_unit))
    assert 9_000 - len(n_of_unit) <= n_kept <= 9_000
    assert n_kept == sum(lengths(stretches))


def test_no_stretch_is_short() -> None:
    assert min(lengths(chosen([50_000, 30_000, 12_345], 9_000))) >= LENGTH


def test_every_unit_keeps_a_stretch_and_of_the_rest_its_share() -> None:
    stretches = chosen([100_000, 50_000, 60, 150], 10_000)

    n_kept = np.bincount(stretches.unit_S, lengths(stretches)).tolist()

    assert n_kept[2] == 60
    assert 100 <= n_kept[3] <= 115
    assert n_kept[0] == pytest.approx(2 * n_kept[1], rel=0.05)


def test_of_too_many_units_some_keep_a_stretch_and_others_nothing() -> None:
    stretches = chosen([500] * 1_000, 10_000)

    assert lengths(stretches) == [LENGTH] * 100
    assert len(np.unique(stretches.unit_S)) == 100
    assert stretches.unit_S.max() > 900


def test_stretches_are_spread_over_the_whole_unit_at_no_fixed_rhythm() -> None:
    stretches = chosen([100_000], 2_000)

    part_S = stretches.begin_S // 5_000
    assert part_S.tolist() == list(range(20))
    place_S = stretches.begin_S % 5_000
    assert place_S.min() < 1_000
    assert place_S.max() > 3_500


@pytest.mark.parametrize("n_kept", [1, 5, 99, 100, 700])
@pytest.mark.parametrize("n_of_unit", [[1_000], [1_000] * 20, [60] * 20])
def test_no_more_readings_are_kept_than_asked_for(
    n_of_unit: list[int], n_kept: int
) -> None:
    assert 0 < sum(lengths(chosen(n_of_unit, n_kept))) <= n_kept


def test_a_unit_without_readings_to_choose_from_takes_nothing_from_the_others() -> None:
    stretches = chosen([0, 300, 0, 200], 1_000)

    assert stretches.unit_S.tolist() == [1, 3]
    assert lengths(stretches) == [300, 200]


@pytest.mark.parametrize("n_kept", [999, 700, 350, 100, 5])
def test_stretches_never_overlap(n_kept: int) -> None:
    stretches = chosen([1_000], n_kept)

    assert (stretches.begin_S[1:] >= stretches.end_S[:-1]).all()
    assert stretches.end_S[-1] <= 1_000


def test_the_same_seed_gives_the_same_stretches() -> None:
    first, again, other = (chosen([10_000], 2_000, seed) for seed in (1, 1, 2))

    assert first.begin_S.tolist() == again.begin_S.tolist()
    assert first.begin_S.tolist() != other.begin_S.tolist()


def test_a_reading_knows_its_stretch() -> None:
    stretches = Stretches(
        unit_S=np.array([0, 0, 2]), begin_S=np.array([2, 8, 0]), end_S=np.array([4, 9, 1])
    )

    of = {
        unit: stretches.of(np.full(10, unit), np.arange(10)).tolist() for unit in range(3)
    }

    assert of[0] == [-1, -1, 0, 0, -1, -1, -1, -1, 1, -1]
    assert of[1] == [-1] * 10
    assert of[2] == [2] + [-1] * 9
