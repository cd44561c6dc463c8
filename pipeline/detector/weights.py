"""`weights.safetensors`: the networks' parameters, and the scalers that units have of
their own."""

import math
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from pipeline.detector.detector import Detector, as_float32
from pipeline.detector.families import build_network
from pipeline.detector.files import MAX_TENSORS_BYTES, WEIGHTS
from pipeline.detector.manifest import Manifest
from pipeline.detector.manifest_parts import NetworkPart
from pipeline.detector.network import Network, NetworkShape
from pipeline.detector.scaler import Scaler
from pipeline.detector.scaling import Scaling
from pipeline.detector.strict import shown
from pipeline.detector.tensors import FLOAT32, Claim, Claims, read_tensors
from pipeline.errors import DetectorError

MEAN, SCALE = "scaling.mean_UF", "scaling.scale_UF"

MAX_LAUNCH_VALUES = 2**24
"""Members x T x F, or x the width of a layer, of a network whose weights are fewer.
Networks take 8 windows at once at the least: half a GiB for each layer."""


def encode(detector: Detector) -> bytes:
    """The file's content."""
    state = nn.ModuleList(detector.networks).state_dict()
    tensors = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
    scaling = detector.scaling
    if scaling.units:
        tensors[MEAN] = torch.from_numpy(scaling.mean_UF).contiguous()
        tensors[SCALE] = torch.from_numpy(scaling.scale_UF).contiguous()
    return safetensors.torch.save(tensors)


def read(folder: Path, manifest: Manifest) -> tuple[tuple[Network, ...], Scaling]:
    """The networks and the scaling that a manifest describes.

    The manifest's sizes are claims, so nothing is allocated by them: the tensors must have
    them, and those are no larger than a file.

    Raises:
        DetectorError: the content is not what the manifest says.
    """
    n_sensors = len(manifest.sensors)
    # Without memory, and without its weights being drawn.
    with torch.device("meta"):
        networks = nn.ModuleList(
            build_network(part.family, _shape(part, n_sensors))
            for part in manifest.networks
        )
    expected = {n: Claim(FLOAT32, tuple(t.shape)) for n, t in networks.state_dict().items()}
    _check_launches(folder, manifest, sum(math.prod(e.shape) for e in expected.values()))
    units = manifest.scaler.units
    if units:
        expected |= dict.fromkeys((MEAN, SCALE), Claim(FLOAT32, (len(units), n_sensors)))

    def check(found: Claims) -> None:
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                raise DetectorError(
                    f"{folder}: the weights do not fit: expected {shown(name)} to be "
                    f"{expected.get(name)}, got {found.get(name)}"
                )

    sha256 = manifest.weights.sha256
    tensors = read_tensors(folder / WEIGHTS, sha256, MAX_TENSORS_BYTES, check)
    pooled = Scaler(as_float32(manifest.scaler.mean), as_float32(manifest.scaler.scale))
    scaling = Scaling(pooled)
    if units:
        mean_UF, scale_UF = tensors.pop(MEAN), tensors.pop(SCALE)
        _check_scalers(folder, mean_UF, scale_UF)
        scaling = Scaling(pooled, units, mean_UF.numpy(), scale_UF.numpy())
    networks.load_state_dict(tensors, assign=True)
    of_families = (network.eval() for network in networks if isinstance(network, Network))
    return tuple(of_families), scaling


def _check_launches(folder: Path, manifest: Manifest, n_weights: int) -> None:
    # Of some families the weights do not grow with the window, nor with what they take.
    for part in manifest.networks:
        width = max(len(manifest.sensors), part.hidden)
        n_values = part.members * part.window * width
        if n_values > max(MAX_LAUNCH_VALUES, n_weights):
            raise DetectorError(
                f"{folder}: {part.members} networks {shown(part.family)} over windows of "
                f"{part.window} readings, {width} wide, take {n_values} values a window; "
                f"expected at most {max(MAX_LAUNCH_VALUES, n_weights)}"
            )


def _check_scalers(folder: Path, mean_UF: Tensor, scale_UF: Tensor) -> None:
    least = torch.finfo(torch.float32).tiny
    if not (mean_UF.isfinite().all() and scale_UF.isfinite().all()) or (
        scale_UF.min() < least
    ):
        raise DetectorError(
            f"{folder}: units' means must be finite, and their scales at least {least:.1e}"
        )


def _shape(part: NetworkPart, n_sensors: int) -> NetworkShape:
    return NetworkShape(part.window, n_sensors, part.hidden, part.latent, part.members)
