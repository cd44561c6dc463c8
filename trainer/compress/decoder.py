"""The half of a network that a compressed file carries: latent codes to reconstructions."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pipeline.detector.detector import Detector
from pipeline.detector.families import FAMILIES, build_network
from pipeline.detector.manifest_parts import NetworkPart
from pipeline.detector.network import Network, NetworkShape
from pipeline.detector.scaling import POOLED
from pipeline.records import FloatArray, IntArray
from trainer.compress.coding import Series, decoded, encoded
from trainer.compress.columns import FloatsArray
from trainer.compress.layout import DecoderPart
from trainer.compress.layout import Tensor as TensorPart

DECODING = ("decoder.", "from_latent.", "up_second.", "up_first.", "to_state.", "to_rows.")
"""What the parameters that `Network.decode` uses begin with, of all families."""
HALF, SINGLE = np.dtype("<f2"), np.dtype("<f4")
MAX_VALUES_PER_LAUNCH = 2**21


def decoder_part(
    detector: Detector, family: int, units: Sequence[str], latent_step: float
) -> DecoderPart | None:
    """What of a detector goes into a file; None if 16 bits cannot hold it.

    Args:
        detector: on any device.
        family: the position of the network's among the detector's.
        units: the file's.
        latent_step: from one latent code to the next.
    """
    network = detector.networks[family].member(0)
    name = next(name for name, kind in FAMILIES.items() if kind is type(network))
    shape = network.shape
    tensors = {}
    for key, tensor in network.state_dict().items():
        if key.startswith(DECODING):
            with np.errstate(over="ignore"):
                half = tensor.cpu().numpy().astype(HALF)
            if not np.isfinite(half).all():
                return None
            tensors[key] = TensorPart(list(half.shape), half.tobytes())
    scaling = detector.scaling
    # Only the lines of units that the file has.
    line_U = np.array([scaling.line(unit) for unit in units], dtype=np.int64)
    lines = sorted({POOLED, *line_U.tolist()})
    mean_LF = np.concatenate([scaling.pooled.mean_F[None], scaling.mean_UF])[lines]
    scale_LF = np.concatenate([scaling.pooled.scale_F[None], scaling.scale_UF])[lines]
    return DecoderPart(
        network=NetworkPart(name, shape.window, shape.hidden, shape.latent, 1),
        sensors=list(detector.sensors),
        latent_step=latent_step,
        tensors=tensors,
        mean=mean_LF.astype(SINGLE).tobytes(),
        scale=scale_LF.astype(SINGLE).tobytes(),
        line_of_unit=encoded(np.searchsorted(lines, line_U), (0,))
        if len(lines) > 1
        else None,
    )


class LatentDecoder:
    """Reconstructs windows from latent codes, in 64-bit floats.

    Two machines' 32-bit sums differ by some 1e-6 of a standard deviation, their 64-bit sums
    by 1e-14: far within what `NARROW_SHARE` leaves.
    """

    def __init__(self, part: DecoderPart, n_units: int, device: torch.device) -> None:
        """Build the network.

        Raises:
            ValueError: the part is not what `decoder_part` makes.
        """
        self.sensors = tuple(part.sensors)
        self.window, self.n_latent = part.network.window, part.network.latent
        self._step, self._device = part.latent_step, device
        self._network = _network(part, device)
        shape = self._network.shape
        n_values = shape.window * (shape.hidden + shape.n_sensors)
        self._n_at_once = max(MAX_VALUES_PER_LAUNCH // n_values, 1)
        n_sensors = len(self.sensors)
        self._mean_LF = np.frombuffer(part.mean, SINGLE).reshape(-1, n_sensors)
        self._scale_LF = np.frombuffer(part.scale, SINGLE).reshape(-1, n_sensors)
        self._line_U = np.zeros(n_units, dtype=np.int64)
        if part.line_of_unit is not None:
            self._line_U = decoded(part.line_of_unit, n_units)
        n_lines = len(self._mean_LF)
        is_line = (self._line_U >= 0).all() and (self._line_U < n_lines).all()
        if not n_lines or self._scale_LF.shape != self._mean_LF.shape or not is_line:
            raise ValueError("its scalers do not fit its units")

    def expected(
        self, code_BL: IntArray, start_B: IntArray, unit_N: IntArray
    ) -> FloatsArray:
        """Reconstructions of N readings, in the sensors' own units.

        Args:
            code_BL: latent codes.
            start_B: where their windows begin; of two over one reading the later counts.
            unit_N: of each reading, those of one unit together.

        Returns:
            Shape (N, F), NaN where there is no window.
        """
        expected_NF = np.full((len(unit_N), len(self.sensors)), np.nan)
        for begin in range(0, len(start_B), self._n_at_once):
            part = slice(begin, begin + self._n_at_once)
            latent_BL = torch.from_numpy(code_BL[part] * self._step).to(self._device)
            with torch.inference_mode():
                x_BTF = self._network.decode(latent_BL[None])[0].cpu().numpy()
            line_B = self._line_U[unit_N[start_B[part]]]
            with np.errstate(over="ignore", invalid="ignore"):
                x_BTF = (
                    x_BTF * self._scale_LF[line_B][:, None] + self._mean_LF[line_B][:, None]
                )
            for start, x_TF in zip(start_B[part].tolist(), x_BTF, strict=True):
                expected_NF[start : start + self.window] = x_TF
        return expected_NF


def window_starts(unit_N: IntArray, length: int) -> IntArray:
    """Where windows begin that cover every reading of units that have enough of them.

    One after the other; a unit's last one begins earlier where few readings are left.

    Args:
        unit_N: of each reading, those of one unit together.
        length: T, readings in a window.
    """
    first_G = np.flatnonzero(np.diff(unit_N, prepend=-1))
    end_G = np.append(first_G[1:], len(unit_N))
    starts = [
        [*range(first, end - length, length), end - length]
        for first, end in zip(first_G.tolist(), end_G.tolist(), strict=True)
        if end - first >= length
    ]
    return np.array([start for part in starts for start in part], dtype=np.int64)


def coded_latents(latent_BL: FloatArray, step: float) -> IntArray:
    """Latent vectors as whole numbers."""
    largest = np.iinfo(np.int32).max
    code_BL = np.clip(np.rint(latent_BL / step), -largest, largest)
    return np.asarray(code_BL, dtype=np.int64)


def latents_series(code_BL: IntArray) -> Series:
    """Latent codes as bytes, those of one axis together."""
    return encoded(code_BL.T.ravel(), (0,))


def series_latents(series: Series, n_windows: int, n_latent: int) -> IntArray:
    """Latent codes of bytes, shape (B, L).

    Raises:
        ValueError: the content is not that of so many.
    """
    return np.ascontiguousarray(
        decoded(series, n_windows * n_latent).reshape(n_latent, n_windows).T
    )


def _network(part: DecoderPart, device: torch.device) -> Network:
    """The network; what only its encoder uses stays without memory."""
    given = part.network
    if given.family not in FAMILIES or given.members != 1:
        raise ValueError("its network is of no known family")
    shape = NetworkShape(given.window, len(part.sensors), given.hidden, given.latent)
    with torch.device("meta"):
        network = build_network(given.family, shape)
    wanted = {
        name: tuple(tensor.shape)
        for name, tensor in network.state_dict().items()
        if name.startswith(DECODING)
    }
    if wanted != {name: tuple(tensor.shape) for name, tensor in part.tensors.items()}:
        raise ValueError("its weights do not fit its network")
    tensors = {name: _tensor(tensor).to(device) for name, tensor in part.tensors.items()}
    network.load_state_dict(tensors, strict=False, assign=True)
    return network.eval()


def _tensor(part: TensorPart) -> Tensor:
    half = np.frombuffer(part.content, HALF).reshape(part.shape)
    if not np.isfinite(half).all():
        raise ValueError("its weights are not finite")
    return torch.from_numpy(half.astype(np.float64))
