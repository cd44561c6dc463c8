"""What the report says of a detector itself, for its template."""

from typing import Any

import numpy as np

from pipeline.detector.artifact import LoadedDetector
from pipeline.drift.score_bins import N_BINS
from pipeline.pages.template import style_sheet
from pipeline.times import parse_iso_s
from trainer.page_template import family_words
from trainer.portrait import Portrait, WindowView
from trainer.portrait_pictures import (
    FAMILY_COLOURS,
    loss_picture,
    map_picture,
    scores_picture,
    window_picture,
)


def detector_parts(loaded: LoadedDetector, portrait: Portrait) -> dict[str, Any]:
    """The template's words and pictures of the detector, with or without data."""
    training, threshold = loaded.manifest.training, loaded.manifest.threshold
    curves = training.loss_curves
    held_out_K = np.array(threshold.score_counts, dtype=np.int64)
    nothing_K = np.zeros(N_BINS, dtype=np.int64)
    return {
        "style": style_sheet(),
        "loaded": loaded,
        "manifest": loaded.manifest,
        "family": family_words(loaded),
        "trained": (parse_iso_s(training.first_time), parse_iso_s(training.last_time)),
        "losses": loss_picture(curves) if curves else None,
        "loss_colours": list(zip(curves, FAMILY_COLOURS, strict=False)),
        "held_out_scores": (
            scores_picture(held_out_K, nothing_K) if len(held_out_K) == N_BINS else None
        ),
        "scores": scores_picture(portrait.n_normal_K, portrait.n_labelled_K),
        "has_labels": bool(portrait.n_labelled_K.any()),
        "map": None if portrait.dots is None else map_picture(portrait.dots),
        "windows": [
            _window(loaded, portrait, name, window)
            for name, window in (("usual", portrait.usual), ("worst", portrait.worst))
        ],
    }


def _window(
    loaded: LoadedDetector, portrait: Portrait, name: str, window: WindowView
) -> dict[str, Any]:
    return {
        "name": name,
        "view": window,
        "has_time": not np.isnan(window.time_s),
        "sensors": [
            {
                "name": loaded.detector.sensors[f],
                "share": float(window.share_F[f]),
                "picture": window_picture(
                    window.observed_TF[:, f],
                    window.expected_TF[:, f],
                    _range(portrait, f),
                ),
            }
            for f in portrait.sensors
        ],
    }


def _range(portrait: Portrait, f: int) -> tuple[float, float]:
    """The sensor's lowest and highest value in both windows, so that these compare."""
    values = [
        part_TF[:, f]
        for view in (portrait.usual, portrait.worst)
        for part_TF in (view.observed_TF, view.expected_TF)
    ]
    return float(np.nanmin(values)), float(np.nanmax(values))
