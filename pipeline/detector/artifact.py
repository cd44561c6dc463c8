"""A detector as a folder: written whole or not at all, verified when it is loaded.

`manifest.json`, `weights.safetensors` and `golden.safetensors`, the golden windows with
their scores. All three are data: nothing in them is executed.
"""

from pipeline.detector.files import GOLDEN, MANIFEST, WEIGHTS
from pipeline.detector.load import LoadedDetector, load
from pipeline.detector.save import check_writable, refuse_other_content, save

__all__ = [
    "GOLDEN",
    "MANIFEST",
    "WEIGHTS",
    "LoadedDetector",
    "check_writable",
    "load",
    "refuse_other_content",
    "save",
]
