"""What every page on a detector shares beside what all pages share."""

from jinja2 import Template

from pipeline.detector.artifact import LoadedDetector
from pipeline.pages import template

FAMILY_WORDS = {
    "ae": "autoencoders",
    "vae": "variational autoencoders",
    "dae": "denoising autoencoders",
    "dvae": "denoising variational autoencoders",
    "conv": "convolutional autoencoders",
    "gru": "recurrent autoencoders",
}


def page_template(file: str, step_s: float) -> Template:
    """The template of a file in this package, see `pipeline.pages.template`."""
    return template.page_template("trainer", file, step_s)


def family_words(loaded: LoadedDetector) -> str:
    """What kind of model it is, for a person."""
    parts = [
        f"{part.members} {FAMILY_WORDS.get(part.family, part.family)}"
        for part in loaded.manifest.networks
    ]
    return " and ".join(parts)
