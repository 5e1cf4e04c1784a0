"""The sample photos that come with the project."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cbam_viz._places import SAMPLE

_FOLDER = Path(__file__).parent / "samples"


@dataclass(frozen=True)
class Sample:
    """A photo that anyone may use for anything; `samples/SOURCES.md` has the details."""

    name: str
    """Short key, used in addresses and on the command line."""
    title: str
    path: Path
    credit: str
    licence: str

    @property
    def source(self) -> str:
        """What it is called where files have paths: `sample:cat`."""
        return SAMPLE + self.name


_SAMPLES = (
    ("cat", "Cat", "cat.jpg", "Stéfan van der Walt", "CC0"),
    ("coffee", "Cup of coffee", "coffee.jpg", "Rachel Michetti", "CC0"),
    ("portrait", "Grace Hopper", "portrait.jpg", "U.S. Navy", "public domain"),
    ("raccoon", "Raccoon", "raccoon.jpg", "public-domain-image.com", "public domain"),
)


def samples() -> tuple[Sample, ...]:
    """Sample photos, the best first picture first."""
    return tuple(
        Sample(name, title, _FOLDER / file, credit, licence)
        for name, title, file, credit, licence in _SAMPLES
    )


def sample_of(source: str) -> Sample | None:
    """The sample photo that `sample:NAME` means; None for any other text."""
    return next((sample for sample in samples() if sample.source == source), None)
