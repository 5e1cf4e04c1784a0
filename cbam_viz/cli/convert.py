"""`cbam-viz convert`: any readable checkpoint, the CBAM authors' above all, for timm's networks."""

from __future__ import annotations

from pathlib import Path

import click

from cbam_viz.cli.files import refuse_existing, refuse_unwritable
from cbam_viz.cli.options import force_option, json_option
from cbam_viz.cli.text import print_json


@click.command(
    short_help="Convert a checkpoint for timm, the CBAM authors' above all.",
    epilog="\b\nExamples:\n  cbam-viz convert RESNET50_CBAM.pth -o resnet50_cbam.safetensors\n"
    "  cbam-viz convert mine.pth -o mine.safetensors --title 'Birds' --classes birds.txt",
)
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.safetensors",
    help="Where the converted checkpoint goes.",
)
@click.option(
    "--architecture",
    "-a",
    metavar="NAME",
    help="Network as timm calls it. [default: inferred from the checkpoint]",
)
@click.option("--title", metavar="TEXT", help="What to call the network.")
@click.option(
    "--classes",
    "names_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE.txt",
    help="Names of the classes, one a line, in the order of the logits.",
)
@force_option
@json_option
def convert(
    *,
    source: Path,
    output: Path,
    architecture: str | None,
    title: str | None,
    names_file: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Convert SOURCE, a checkpoint of the CBAM authors' code or of others, to timm's layout.

    The result is a safetensors file that --checkpoint and the app take without further options;
    its logits and gates are those of the original. Nothing in SOURCE is run.
    """
    if output.suffix.lower() != ".safetensors":
        raise click.BadParameter("The output's name must end in .safetensors.", param_hint="-o")
    refuse_existing([output], force)
    refuse_unwritable([output])
    from cbam_viz.models import convert_checkpoint

    conversion = convert_checkpoint(
        source,
        output,
        architecture=architecture,
        title=title,
        classes=_lines(names_file),
        overwrite=force,
    )
    click.echo(conversion.report.text, err=True)
    if as_json:
        print_json({"path": str(conversion.path), "architecture": conversion.architecture})
        return
    click.echo(f"Wrote {conversion.path} ({conversion.architecture}).")


def _lines(path: Path | None) -> list[str] | None:
    if path is None:
        return None
    try:
        return [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"{path} is no text in UTF-8.", param_hint="--classes") from error
