"""`python -m tests.bench.uses.compress DATA`: how small readings become within a bound.

Each recording's labelled rows are compressed by a detector of its other rows, and beside
that by Parquet with zstd, which is exact, and by plain steps: each sensor quantised at the
same bound, differences where they are smaller, and zstd. All ratios are to the sensors'
values as 32-bit floats; the file counts whole, with times, labels and the network.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import torch
import typer

from pipeline.records import FloatArray
from tests.bench.quality.sets import Recording, read_set
from tests.trainer.training import no_one_listens
from trainer.compress.compress import compress_file
from trainer.compress.decompress import decompress_file
from trainer.settings import TrainerSettings
from trainer.train import train

BOUNDS = (0.001, 0.005, 0.02)
START_S = 1_700_000_000.0
ZSTD_LEVEL = 19
VIBRATION = "vibration"
"""Made up: twelve sensors on two fast waves, with noise."""
N_VIBRATION, N_TO_LEARN, N_MIXED = 60_000, 8_000, 12


class Sizes(NamedTuple):
    """Of one recording at one bound, in bytes."""

    raw: int
    parquet: int
    plain_zstd: int
    own_plain: int
    own_network: int
    used: int
    largest_error: float
    """As a share of the bound, of what came back from the file."""
    written_per_s: float
    read_per_s: float


def main(
    data: Annotated[Path, typer.Argument(help="Folder with one folder of .npz a set.")],
    sets: Annotated[str, typer.Option()] = f"asd,tep,tsb_msl,smd,{VIBRATION}",
    models: Annotated[str, typer.Option()] = "ae",
    seeds: Annotated[int, typer.Option()] = 3,
    files: Annotated[int, typer.Option(help="Of each set.")] = 1,
) -> None:
    """Print ratios: the mean over files and seeds, with the lowest and highest seed's."""
    torch.set_num_threads(1)
    print(
        f"{'set':10} {'model':6} {'bound':>6} {'parquet':>8} {'plain+zstd':>10} "
        f"{'plain here':>10} {'with network (seeds)':>24} {'used':>8} "
        f"{'error/bound':>11} {'rows/s out, back':>18}"
    )
    for name in sets.split(","):
        recordings = [vibration()] if name == VIBRATION else read_set(data / name)[:files]
        for model in models.split(","):
            by_seed = [list(_measured(recordings, model, s)) for s in range(seeds)]
            for number, bound in enumerate(BOUNDS):
                _show(name, model, bound, [of_seed[number] for of_seed in by_seed])


def vibration() -> Recording:
    """Readings on which a network pays: the last value says little of the next."""
    random = np.random.default_rng(0)
    step_N1 = np.arange(N_TO_LEARN + N_VIBRATION)[:, None]
    phase_2F = random.uniform(0.0, 2 * np.pi, (2, N_MIXED))
    share_2F = random.uniform(0.3, 1.0, (2, N_MIXED))
    fast_NF = share_2F[0] * np.sin(1.7 * step_N1 + phase_2F[0])
    slow_NF = share_2F[1] * np.sin(1.1834 * step_N1 + phase_2F[1])
    waves_NF = (1.0 + 0.3 * np.sin(step_N1 / 997)) * (fast_NF + slow_NF)
    values_NF = (waves_NF + 0.01 * random.normal(size=waves_NF.shape)).astype(np.float32)
    no_label_N = np.zeros(N_VIBRATION, dtype=np.bool_)
    learned_NF, rest_NF = values_NF[:N_TO_LEARN], values_NF[N_TO_LEARN:]
    return Recording(VIBRATION, learned_NF, rest_NF, no_label_N, 1.0)


def plain_zstd(values_NF: FloatArray, bound: float) -> int:
    """Bytes of each sensor's steps, or their differences, with zstd; no gaps or times."""
    codec = pa.Codec("zstd", compression_level=ZSTD_LEVEL)
    n_bytes = 0
    for value_N in values_NF.T.astype(np.float64):
        there = value_N[~np.isnan(value_N)]
        span = float(np.ptp(there)) if len(there) else 0.0
        if span == 0.0:
            continue
        steps = np.rint((there - there.min()) / (2.0 * bound * span)).astype(np.int64)
        n_bytes += min(
            codec.compress(_narrow(numbers).tobytes()).size
            for numbers in (steps, np.diff(steps, prepend=0))
        )
    return n_bytes


def _narrow(numbers: np.ndarray) -> np.ndarray:
    kind = np.promote_types(
        np.min_scalar_type(int(numbers.min())), np.min_scalar_type(int(numbers.max()))
    )
    return numbers.astype(kind)


def _measured(
    recordings: Sequence[Recording], model: str, seed: int
) -> Iterator[list[Sizes]]:
    """Of each bound, the sizes of all recordings."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        for number, recording in enumerate(recordings):
            settings = TrainerSettings(seed=seed, folds=1, device="cpu")
            out = folder / f"detector-{number}"
            train(recording.history(), model, settings, out, no_one_listens)
            pyarrow.parquet.write_table(_table(recording), folder / f"{number}.parquet")
        for bound in BOUNDS:
            yield [_sizes(folder, n, r, bound) for n, r in enumerate(recordings)]


def _table(recording: Recording) -> pa.Table:
    n = len(recording.test_NF)
    columns: dict[str, object] = {"time": START_S + recording.step_s * np.arange(n)}
    for f, value_N in enumerate(recording.test_NF.T):
        columns[f"sensor_{f}"] = np.ascontiguousarray(value_N)
    return pa.table({**columns, "label": recording.label_N.astype(np.int8)})


def _sizes(folder: Path, number: int, recording: Recording, bound: float) -> Sizes:
    data, small, back = (folder / f"{number}.parquet", folder / "s", folder / "b.parquet")
    began_s = time.perf_counter()
    compressed = compress_file(folder / f"detector-{number}", data, small, bound, "cpu")
    written_s = time.perf_counter() - began_s
    began_s = time.perf_counter()
    decompress_file(small, back, "cpu")
    read_s = time.perf_counter() - began_s
    exact = folder / "exact.parquet"
    pyarrow.parquet.write_table(
        _table(recording), exact, compression="zstd", compression_level=ZSTD_LEVEL
    )
    restored = pyarrow.parquet.read_table(back)
    values_NF = recording.test_NF
    n_rows, n_sensors = values_NF.shape
    back_NF = np.column_stack([restored[f"sensor_{f}"] for f in range(n_sensors)])
    return Sizes(
        raw=compressed.raw_bytes,
        parquet=exact.stat().st_size,
        plain_zstd=plain_zstd(values_NF, bound),
        own_plain=compressed.plain_bytes,
        own_network=compressed.network_bytes or compressed.plain_bytes,
        used=small.stat().st_size,
        largest_error=_largest(values_NF, back_NF) / bound,
        written_per_s=n_rows / written_s,
        read_per_s=n_rows / read_s,
    )


def _largest(values_NF: FloatArray, back_NF: FloatArray) -> float:
    span_F = np.nanmax(values_NF, axis=0) - np.nanmin(values_NF, axis=0).astype(np.float64)
    error_F = np.nanmax(np.abs(values_NF.astype(np.float64) - back_NF), axis=0)
    return float((error_F / np.where(span_F > 0.0, span_F, 1.0)).max())


def _show(name: str, model: str, bound: float, by_seed: list[list[Sizes]]) -> None:
    def ratios(field: str) -> list[float]:
        return [
            sum(s.raw for s in sizes) / sum(getattr(s, field) for s in sizes)
            for sizes in by_seed
        ]

    every = [sizes for of_seed in by_seed for sizes in of_seed]
    n_network = sum(s.own_network < s.own_plain for s in every)
    network = ratios("own_network")
    spread = f"{np.mean(network):.2f} ({min(network):.2f} to {max(network):.2f})"
    speeds = [np.mean([getattr(s, f"{way}_per_s") for s in every]) for way in _WAYS]
    print(
        f"{name:10} {model:6} {bound:6.1%} {ratios('parquet')[0]:8.2f} "
        f"{ratios('plain_zstd')[0]:10.2f} {ratios('own_plain')[0]:10.2f} {spread:>24} "
        f"{f'{n_network} of {len(every)}':>8} {max(s.largest_error for s in every):11.4f} "
        f"{speeds[0]:9,.0f} {speeds[1]:8,.0f}",
        flush=True,
    )


_WAYS = ("written", "read")


if __name__ == "__main__":
    typer.run(main)
