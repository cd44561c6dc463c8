"""A detector as a folder: written whole or not at all, verified when it is loaded.

`manifest.json`, `weights.safetensors`, `golden.safetensors`, the golden windows with their
scores, and `reference.safetensors`, a sample of what it was trained on, which only
measuring it reads. All four are data: nothing in them is executed.
"""

from pipeline.detector.files import GOLDEN, MANIFEST, REFERENCE, WEIGHTS
from pipeline.detector.load import (
    LoadedDetector,
    load,
    load_golden,
    load_reference,
    load_whole,
)
from pipeline.detector.save import check_writable, refuse_other_content, save

__all__ = [
    "GOLDEN",
    "MANIFEST",
    "REFERENCE",
    "WEIGHTS",
    "LoadedDetector",
    "check_writable",
    "load",
    "load_golden",
    "load_reference",
    "load_whole",
    "refuse_other_content",
    "save",
]
