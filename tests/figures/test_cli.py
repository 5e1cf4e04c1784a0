"""`cbam-viz figure` as it is typed."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import time
from pathlib import Path

import pypdf
import pytest
import timm
import torch
from click import Context
from click.testing import CliRunner, Result

from cbam_viz.cli import cli
from cbam_viz.images import samples

NETWORK = ("-a", "resnet10t", "--num-classes", "5")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str) -> Result:
        try:
            return CliRunner().invoke(
                cli, ["figure", *arguments], catch_exceptions=False, standalone_mode=True
            )
        except SystemExit as stop:  # pragma: no cover - depends on click's version
            raise AssertionError(stop.code) from stop

    return invoke


def test_a_figure_with_everything_beside_it(run, tmp_path: Path) -> None:
    result = run(
        "sample:cat", "sample:coffee", "-o", "out/f.pdf", "-o", "out/f.png", *NETWORK,
        "--columns", "input,map:-1=Last,channels:-1,prediction", "--width", "column",
        "--with", "all", "--dpi", "100", "--zoom", "1:100,150,200,250", "--label", "A cat",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"f.pdf", "f.png", "f.npz", "f.csv", "f.tex", "f.manifest.json"}
    (page,) = pypdf.PdfReader(tmp_path / "out" / "f.pdf").pages
    assert float(page.mediabox.width) == pytest.approx(236.25, abs=0.5)
    text = page.extract_text()
    assert "Last" in text
    assert "A cat" in text
    manifest = json.loads((tmp_path / "out" / "f.manifest.json").read_text())
    assert [photo["file"] for photo in manifest["photos"]] == ["sample:cat", "sample:coffee"]
    assert manifest["spec"]["rows"][0]["zoom"] == [100, 150, 200, 250]
    assert manifest["networks"][0]["architecture"] == "resnet10t"


def test_from_a_manifest_comes_the_same_file(run, tmp_path: Path) -> None:
    made = run("sample:cat", "-o", "f.pdf", "-o", "f.svg", *NETWORK, "--with", "manifest")
    assert made.exit_code == 0, made.output
    again = run("--from", "f.manifest.json", "-o", "again.pdf", "--json")
    assert again.exit_code == 0, again.output
    answer = json.loads(again.stdout)
    assert answer["identical"] is True
    assert answer["files"] == ["again.pdf"]
    assert (tmp_path / "again.pdf").read_bytes() == (tmp_path / "f.pdf").read_bytes()
    refused = run("--from", "f.manifest.json")
    assert refused.exit_code != 0
    before = (tmp_path / "f.svg").read_bytes()
    (tmp_path / "f.svg").write_bytes(b"")
    forced = run("--from", "f.manifest.json", "--force")
    assert forced.exit_code == 0, forced.output
    assert (tmp_path / "f.svg").read_bytes() == before


def test_nothing_is_overwritten(run, tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("mine")
    result = run("sample:cat", "-o", "f.pdf", *NETWORK, "--with", "numbers")
    assert result.exit_code == 3
    assert "f.csv exists already" in result.output
    assert (tmp_path / "f.csv").read_text() == "mine"
    assert not (tmp_path / "f.pdf").exists()


@pytest.mark.parametrize("layout", ["depth", "channels", "channel"])
def test_layouts(run, tmp_path: Path, layout: str) -> None:
    result = run("sample:cat", "-o", "f.svg", *NETWORK, "--layout", layout, "-l", "-1")
    assert result.exit_code == 0, result.output
    assert "layer4.0" in (tmp_path / "f.svg").read_text()


def test_another_network_stands_beside_the_first(run, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from cbam_viz.models import create_model

    model = create_model("resnet10t", num_classes=5)
    about = {"schema": 1, "title": "Other one", "architecture": "resnet10t", "attention": "cbam",
             "arguments": {}, "num_classes": 5}  # fmt: skip
    save_file(model.state_dict(), tmp_path / "o.safetensors", {"cbam_viz": json.dumps(about)})
    result = run(
        "sample:cat", "-o", "f.pdf", *NETWORK, "--compare", "o.safetensors",
        "--columns", "input,map:-1,map@2:-1", "--with", "manifest",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    text = pypdf.PdfReader(io.BytesIO((tmp_path / "f.pdf").read_bytes())).pages[0].extract_text()
    assert "Other one" in text
    (tmp_path / "o.safetensors").write_bytes((tmp_path / "o.safetensors").read_bytes() + b" ")
    again = run("--from", "f.manifest.json", "-o", "g.pdf")
    assert again.exit_code == 3
    assert not (tmp_path / "g.pdf").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-o", "f.pdf"), "Name at least one image"),
        (("sample:cat",), "Say where the figure goes"),
        (("sample:cat", "-o", "f.jpg"), "must end in one of"),
        (("sample:cat", "-o", "f.pdf", "-o", "f.pdf"), "names f.pdf twice"),
        (("sample:dog", "-o", "f.pdf"), "There is no sample 'dog'"),
        (("sample:cat", "-o", "f.pdf", "--width", "wide"), "--width is column, text"),
        (("sample:cat", "-o", "f.pdf", "--zoom", "1,2,3"), "--zoom takes"),
        (("sample:cat", "-o", "f.pdf", "--box", "2:1,2,3,4"), "there are images 1 to 1"),
        (("sample:cat", "-o", "f.pdf", "--label", "a", "--label", "b"), "2 times for 1 images"),
        (("sample:cat", "-o", "f.pdf", "--columns", "input", "--top", "5"), "'channels' has none"),
    ],
)
def test_wrong_usage_is_status_2(run, arguments: tuple[str, ...], words: str) -> None:
    result = run(*arguments, *NETWORK)
    assert result.exit_code == 2
    assert words in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--columns", "map:nothing"), "no attention layer 'nothing'"),
        (("--columns", "map@2:-1"), "asks for network 2"),
        (("--venue", "nurips"), "Did you mean neurips"),
        (("--colormap", "jet"), "no colour map 'jet'"),
        (("--crop", "900,900,950,950"), "lies outside"),
        (("--crop", "0,0,inf,50"), "is empty or endless"),
        (("--contour", "nan"), "needs a number as its level"),
        (("--font", "No Such Font"), "not installed"),
        (("--layout", "channel", "--channel", "99999"), "there is no channel 99999"),
    ],
)
def test_what_cannot_be_drawn_is_status_3(run, arguments: tuple[str, ...], words: str) -> None:
    result = run("sample:cat", "-o", "f.pdf", *NETWORK, *arguments)
    assert result.exit_code == 3
    assert words in result.output


def test_venues_are_listed(run) -> None:
    result = run("--list-venues")
    assert result.exit_code == 0
    assert "neurips" in result.output
    assert "396.0 pt" in result.output


def test_a_broken_manifest_is_refused(run, tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text("{}")
    result = run("--from", "m.json")
    assert result.exit_code == 3
    assert "no manifest of a cbam-viz figure" in result.output
    assert run("--from", "m.json", "sample:cat").exit_code == 2


def test_the_examples_in_the_help_run(run, tmp_path: Path, monkeypatch) -> None:
    from PIL import Image

    from cbam_viz.cli.figure import figure
    from cbam_viz.runs import find_run
    from tests.app_checkpoint import write_checkpoint

    (tmp_path / "checkpoints").mkdir()
    write_checkpoint(tmp_path / "checkpoints")
    monkeypatch.setenv("CBAM_VIZ_CHECKPOINTS", str(tmp_path / "checkpoints"))
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (300, 260), "green").save(tmp_path / name)
    shutil.copytree(find_run("sample:shapes"), tmp_path / "runs" / "mine")
    examples = [line.split() for line in (figure.epilog or "").splitlines() if "cbam-viz" in line]
    assert len(examples) == 7
    for command, name, *arguments in examples:
        assert (command, name) == ("cbam-viz", "figure")
        result = run(*arguments)
        assert result.exit_code == 0, (arguments, result.output)
    assert (tmp_path / "again.pdf").read_bytes() == (tmp_path / "depth.pdf").read_bytes()


def test_every_ending_can_be_made_again(run, tmp_path: Path) -> None:
    made = run("sample:cat", "-o", "f.tif", "-o", "g.PDF", *NETWORK, "--with", "manifest")
    assert made.exit_code == 0, made.output
    again = run("--from", "f.manifest.json", "--force")
    assert again.exit_code == 0, again.output
    assert "Byte for byte the same" in again.stdout
    other = run("--from", "f.manifest.json", "-o", "h.tiff", "-o", "h.pdf")
    assert other.exit_code == 0, other.output
    assert (tmp_path / "h.tiff").read_bytes() == (tmp_path / "f.tif").read_bytes()
    assert (tmp_path / "h.pdf").read_bytes() == (tmp_path / "g.PDF").read_bytes()


def test_a_file_name_that_is_no_unicode(run, tmp_path: Path) -> None:
    photo = os.fsdecode(b"odd\xff.jpg")
    try:
        shutil.copy(samples()[0].path, photo)
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    made = run(photo, "-o", "f.pdf", *NETWORK, "--with", "all", "--row-labels", "name")
    assert made.exit_code == 0, made.output
    again = run("--from", "f.manifest.json", "-o", "g.pdf")
    assert "Byte for byte the same" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(("x" * 300 + ".jpg", "-o", "f.pdf"), 2), (("sample:cat", "-o", "x" * 300 + ".pdf"), 3)],
)
def test_names_longer_than_file_systems_take(run, arguments: tuple[str, ...], status: int) -> None:
    result = run(*arguments, *NETWORK)
    assert result.exit_code == status, result.output
    assert len(result.stderr) < 300


def test_a_label_without_end_is_cut_at_once(run) -> None:
    started = time.monotonic()
    result = run("sample:cat", "-o", "f.pdf", *NETWORK, "--label", "x" * 100_000)
    assert result.exit_code == 0, result.output
    assert time.monotonic() - started < 30


def test_letters_that_no_font_has_are_said(run, monkeypatch: pytest.MonkeyPatch) -> None:
    from cbam_viz.figures.make import Built

    monkeypatch.setattr(Built, "notes", ("No installed font has x.",))
    result = run("sample:cat", "-o", "a.pdf", *NETWORK, "--json")
    assert result.exit_code == 0, result.stderr
    assert "Warning: No installed font has x." in result.stderr
    assert json.loads(result.stdout)["notes"] == ["No installed font has x."]


def test_a_network_without_attention_may_be_compared_with(run, tmp_path: Path) -> None:
    """Whether or not its file says that it has none."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model("resnet10t", num_classes=5)
    torch.save(model.state_dict(), tmp_path / "plain.pth")
    arguments = ("sample:cat", *NETWORK, "--compare", "plain.pth", "--with", "manifest")
    result = run(*arguments, "-o", "f.pdf")
    assert result.exit_code == 0, result.output
    manifest = json.loads((tmp_path / "f.manifest.json").read_text())
    kinds = [(column["kind"], column["model"]) for column in manifest["spec"]["columns"]]
    assert kinds[-1] == ("prediction", 1)
    assert ("map", 1) not in kinds
    assert manifest["networks"][1]["attention"] == "none"
    again = run("--from", "f.manifest.json", "-o", "g.pdf")
    assert again.exit_code == 0, again.output
    assert (tmp_path / "g.pdf").read_bytes() == (tmp_path / "f.pdf").read_bytes()
    alone = run("sample:cat", "-c", "plain.pth", "-o", "h.pdf")
    assert alone.exit_code != 0
    assert "holds no CBAM weights" in alone.output


def test_opacity_has_one_default() -> None:
    from cbam_viz.figures import FigureSpec
    from cbam_viz.render import DEFAULT_OPACITY
    from cbam_viz.ui.session.link import Settings

    defaults = [
        option.default
        for name in ("figure", "show", "export")
        for option in cli.get_command(Context(cli), name).params
        if option.name == "opacity"
    ]
    assert len(defaults) == 3
    assert {*defaults, FigureSpec().opacity, Settings().opacity} == {DEFAULT_OPACITY}


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the photos that a network is given, as they come."""
    from cbam_viz.figures.content import study as module

    seen: list[str] = []
    real = module.analyse

    def analyse(network, photo, *rest, **settings):  # type: ignore[no-untyped-def]
        seen.append(photo.name)
        return real(network, photo, *rest, **settings)

    monkeypatch.setattr(module, "analyse", analyse)
    return seen


def photos(folder: Path, count: int) -> None:
    from PIL import Image

    for number in range(count):
        inside = folder / "all" / ("red" if number % 2 else "blue")
        inside.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (80, 70), (number, 40, 200)).save(inside / f"{number:03}.png")


def test_any_number_of_photos_is_averaged(run, tmp_path: Path) -> None:
    photos(tmp_path, 70)
    result = run("all", "-o", "f.pdf", *NETWORK, "--by", "class", "--group-by", "folder",
                 "--with", "numbers", "--with", "manifest")  # fmt: skip
    assert result.exit_code == 0, result.output
    table = list(csv.DictReader((tmp_path / "f.csv").read_text().splitlines()))
    assert {line["photo"] for line in table} == {"35 photos"}
    assert {line["name"] for line in table} == {"red", "blue"}
    again = run("--from", "f.manifest.json", "-o", "g.pdf")
    assert "Byte for byte the same" in again.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "A figure of 65 photos cannot be read; the most is 64."),
        (("--layout", "depth"), "shows one photo; there are 65"),
        (("--by", "layer", "--font", "No Such Font"), "is not installed"),
        (("--by", "class", "--colormap", "nope"), "nope"),
        (("--by", "class", "--group-by", "missing.csv"), "there is no file 'missing.csv'"),
        (("--layout", "depth", "--group-by", "folder"), "--group-by is for channel weights"),
        (("--top", "3", "--layout", "grid"), "choose the layout 'channels'"),
    ],
)
def test_limits_are_told_before_anything_is_computed(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], message: str
) -> None:
    photos(tmp_path, 65)
    seen = counted(monkeypatch)
    result = run("all", "-o", "f.pdf", *NETWORK, *options)
    assert result.exit_code != 0
    assert message in " ".join(result.output.split())
    assert seen == []


def test_a_layer_that_is_not_there_is_told_after_the_first_photo(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos(tmp_path, 4)
    seen = counted(monkeypatch)
    result = run("all", "-o", "f.pdf", *NETWORK, "--by", "class", "-l", "nowhere")
    assert "no attention layer 'nowhere'" in result.output
    assert len(seen) == 1


def test_a_crop_beside_the_photo_is_told_before_anything_is_computed(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos(tmp_path, 2)
    seen = counted(monkeypatch)
    result = run("all", "-o", "f.pdf", *NETWORK, "--crop", "2:500,500,600,600")
    assert "lies outside what is shown of 001.png" in " ".join(result.output.split())
    assert seen == []


def test_curves_of_labelled_photos(run, tmp_path: Path) -> None:
    photos(tmp_path, 3)
    (tmp_path / "labels.csv").write_text("000.png,a\n001.png,b\nall/blue/002.png,a\n")
    result = run("all", "-o", "f.svg", *NETWORK, "--plot", "curves", "--sample", "9",
                 "--group-by", "labels.csv", "--json")  # fmt: skip
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)["caption"]
    assert "Classes are as labelled." in told
    assert "9 channels are drawn, evenly spaced by index" in told
    drawn = (tmp_path / "f.svg").read_text()
    assert "a (2 photos)" in drawn
    assert 'id="panel 1 mean"' in drawn or 'id="panel_1_mean"' in drawn


def test_energy_columns_are_drawn_and_made_again(run) -> None:
    columns = "energy:-1:before,energy:-1:after"
    result = run("sample:cat", "-o", "f.pdf", *NETWORK, "--columns", columns, "--with", "manifest")
    assert result.exit_code == 0, result.output
    again = run("--from", "f.manifest.json", "-o", "g.pdf")
    assert "Byte for byte the same" in again.output


def test_methods_and_effects_are_drawn_and_made_again(run) -> None:
    columns = "input,gradcam:layer4@3,occlusion,whole,effect:@class 3"
    result = run("sample:cat", "-o", "f.pdf", *NETWORK, "--columns", columns, "--with", "all")
    assert result.exit_code == 0, result.output
    about = json.loads(Path("f.manifest.json").read_text())["about"]["made"]
    assert [one["shown"] for one in about[:3]] == [
        "Grad-CAM", "Occlusion", "All spatial gates (heuristic)",
    ]  # fmt: skip
    assert about[0]["for"].startswith("class 3, probability ")
    again = run("--from", "f.manifest.json", "-o", "g.pdf")
    assert "Byte for byte the same" in again.stdout


def test_the_pair_is_drawn_on_the_first_run(run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the networks that come along, and nothing said of them."""
    result = run("sample:cat", "-o", "f.pdf", "--preset", "gradcam-pair", "--with", "manifest")
    assert result.exit_code == 0, result.output
    manifest = json.loads(Path("f.manifest.json").read_text())
    names = [network["name"] for network in manifest["networks"]]
    assert names == [
        "ResNet-18 with CBAM, everyday photos", "ResNet-18 without CBAM, everyday photos",
    ]  # fmt: skip
    assert [(one["kind"], one["model"], one["name"]) for one in manifest["spec"]["columns"]] == [
        ("input", 0, None), ("gradcam", 1, "layer4"), ("gradcam", 0, "layer4"),
    ]  # fmt: skip
    classes = {one["for"].partition(",")[0] for one in manifest["about"]["made"]}
    assert classes == {"cat"}
    text = pypdf.PdfReader("f.pdf").pages[0].extract_text()
    assert text.count("P\u00a0=") + text.count("P =") == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--columns", "input"), "leave --columns, --layout"),
        (("--layout", "depth"), "leave --columns, --layout"),
        (("-l", "0", "-l", "1"), "all but one --layer"),
        ((), "name it with --compare"),
    ],
)
def test_a_preset_that_cannot_be_is_refused(run, arguments: tuple[str, ...], words: str) -> None:
    network = () if arguments else ("--checkpoint", "imagenet_efficientnet_lite0_cbam")
    result = run("sample:cat", "-o", "f.pdf", "--preset", "gradcam-pair", *network, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not Path("f.pdf").exists()
