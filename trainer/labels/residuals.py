"""What networks leave of labelled events."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch

from pipeline.detector.filling import filled
from pipeline.detector.network import Network
from pipeline.detector.residual import ResidualScoring
from pipeline.records import FloatArray
from trainer.labels.events import Event, Labels

EventResiduals: TypeAlias = Sequence[tuple[FloatArray, int]]
"""Of each event: residuals of the scored sensors, shape (B, F), and how many of these come
before the event itself."""


def anomalous_residuals(
    scoring: ResidualScoring,
    labels: Labels,
    networks: Sequence[Network],
    device: torch.device,
) -> EventResiduals:
    """Of anomalous events, each by the members that were not trained against it."""
    n_members = networks[0].shape.n_members
    by_member = [
        [network.member(number).to(device) for network in networks]
        for number in range(n_members)
    ]
    return [
        (
            _residuals(scoring, labels, event, by_member[number % n_members], device),
            event.n_before,
        )
        for number, event in enumerate(labels.anomalous)
    ]


def silenced_residuals(
    scoring: ResidualScoring,
    labels: Labels,
    networks: Sequence[Network],
    device: torch.device,
) -> EventResiduals:
    """Of what is to be silenced, by all members: its readings are among the normal ones."""
    return [
        (_residuals(scoring, labels, event, networks, device), event.n_before)
        for event in labels.silenced
    ]


def _residuals(
    scoring: ResidualScoring,
    labels: Labels,
    event: Event,
    networks: Sequence[Network],
    device: torch.device,
) -> FloatArray:
    x_BTF = torch.from_numpy(labels.windows(event).gather(slice(None))).to(device)
    observed_BTF = None
    if x_BTF.isnan().any():
        x_BTF, observed_BTF = filled(x_BTF)
    with torch.inference_mode():
        measured = scoring.measure(networks, x_BTF, observed_BTF)
    return np.asarray(measured.measure_BC.cpu().numpy()[:, scoring.is_scored_F])
