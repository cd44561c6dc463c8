"""`weights.safetensors`: the networks' parameters, and the scalers that units have of
their own."""

from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from pipeline.detector.detector import Detector, as_float32
from pipeline.detector.families import build_network
from pipeline.detector.manifest import Manifest
from pipeline.detector.manifest_parts import NetworkPart
from pipeline.detector.network import Network, NetworkShape
from pipeline.detector.scaler import Scaler
from pipeline.detector.scaling import Scaling
from pipeline.detector.strict import shown
from pipeline.errors import DetectorError, lacks_memory, one_line

# What safetensors raises for content that is not its own, or of a type it does not know.
UNREADABLE = (
    safetensors.SafetensorError,
    AssertionError,
    KeyError,
    RuntimeError,
    TypeError,
    ValueError,
)
MEAN, SCALE = "scaling.mean_UF", "scaling.scale_UF"


def encode(detector: Detector) -> bytes:
    """The file's content."""
    state = nn.ModuleList(detector.networks).state_dict()
    tensors = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
    scaling = detector.scaling
    if scaling.units:
        tensors[MEAN] = torch.from_numpy(scaling.mean_UF).contiguous()
        tensors[SCALE] = torch.from_numpy(scaling.scale_UF).contiguous()
    return safetensors.torch.save(tensors)


def decode(
    folder: Path, manifest: Manifest, content: bytes
) -> tuple[tuple[Network, ...], Scaling]:
    """The networks and the scaling that a manifest describes.

    The manifest's sizes are claims, so nothing is allocated by them: the tensors must have
    them, and those are no larger than a file.

    Raises:
        DetectorError: the content is not what the manifest says.
    """
    n_sensors = len(manifest.sensors)
    with torch.device("meta"):
        networks = nn.ModuleList(
            build_network(part.family, _shape(part, n_sensors))
            for part in manifest.networks
        )
    try:
        tensors = safetensors.torch.load(content)
    except UNREADABLE as error:
        if lacks_memory(error):
            raise
        raise DetectorError(
            f"{folder}: the weights do not fit: {one_line(error)}"
        ) from error
    expected = {n: (t.dtype, tuple(t.shape)) for n, t in networks.state_dict().items()}
    units = manifest.scaler.units
    if units:
        expected |= dict.fromkeys((MEAN, SCALE), (torch.float32, (len(units), n_sensors)))
    found = {name: (t.dtype, tuple(t.shape)) for name, t in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise DetectorError(
                f"{folder}: the weights do not fit: expected {shown(name)} to be "
                f"{expected.get(name)}, got {found.get(name)}"
            )
    pooled = Scaler(as_float32(manifest.scaler.mean), as_float32(manifest.scaler.scale))
    scaling = Scaling(pooled)
    if units:
        mean_UF, scale_UF = tensors.pop(MEAN), tensors.pop(SCALE)
        _check_scalers(folder, mean_UF, scale_UF)
        scaling = Scaling(pooled, units, mean_UF.numpy(), scale_UF.numpy())
    networks.load_state_dict(tensors, assign=True)
    of_families = (network.eval() for network in networks if isinstance(network, Network))
    return tuple(of_families), scaling


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
