"""A figure of 6 photos x 6 columns to PDF, against the forwards of its photos.

    .venv/bin/python -m benchmarks figures

The network is ResNet-50 with CBAM at 224 pixels. The figure shows the input, four maps and the
prediction of each photo, at the width of a page. Analysing the photos is not part of the figure's
time, it is what the time is compared with.
"""

from __future__ import annotations

from collections.abc import Callable

import matplotlib as mpl
import torch

from benchmarks._harness import compare, machine, report
from cbam_viz.analysis import Analysis, analyse
from cbam_viz.figures import Built, FigureSpec, build, columns_from_text
from cbam_viz.images import Photo, prepare, read_photo, samples
from cbam_viz.models import LoadedModel, load_model

PHOTOS = 6
TARGET = 3.0
"""At most so many times the forwards of the figure's photos."""


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print(f"Machine: {machine()}, matplotlib {mpl.__version__}")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = load_model(None, architecture="resnet50", attention="cbam", zero_init_last=False)
    photos = some_photos()
    analyses = [analyse(network, photo) for photo in photos]
    inputs = [prepare(photo, network.spec, "crop").tensor for photo in photos]
    candidates: dict[str, Callable[[], object]] = {
        "6 forwards": lambda: forwards(network, inputs),
        "6 x 6 figure to PDF": lambda: to_pdf(analyses),
        "6 x 6 figure to PDF, whole photos": lambda: to_pdf(analyses, frame="photo"),
        "6 x 6 figure to PDF, at most 300 pixels an inch": lambda: to_pdf(analyses, image_dpi=300),
        "6 x 6 figure to SVG": lambda: drawn(analyses).render("svg"),
        "6 x 6 figure to PNG, 300 dpi": lambda: drawn(analyses).render("png", dpi=300),
    }
    timings = compare(candidates, rounds=7, warmup=1)
    sizes = sorted({f"{photo.size[1]} x {photo.size[0]}" for photo in photos})
    report(
        f"Photos of {', '.join(sizes)} pixels", timings,
        targets=dict.fromkeys(list(candidates)[1:3], TARGET),
    )  # fmt: skip


def some_photos() -> list[Photo]:
    """The samples, repeated to six."""
    shipped = [read_photo(sample.path) for sample in samples()]
    return (shipped * PHOTOS)[:PHOTOS]


def forwards(network: LoadedModel, inputs: list[torch.Tensor]) -> None:
    """The network alone, one photo after the other."""
    with torch.inference_mode():
        for tensor in inputs:
            network.model(tensor)


def to_pdf(analyses: list[Analysis], **settings: object) -> bytes:
    """Draw and write the figure."""
    return drawn(analyses, **settings).render("pdf")


def drawn(analyses: list[Analysis], **settings: object) -> Built:
    """The figure, drawn."""
    columns = columns_from_text(
        "input,map:layer1.2.se,map:layer2.3.se,map:layer3.5.se,map:layer4.2.se,prediction"
    )
    return build(FigureSpec(columns=columns, **settings), analyses)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
