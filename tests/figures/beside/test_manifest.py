from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from cbam_viz.errors import FigureError, NoAttentionError
from cbam_viz.figures import FigureSpec, build, columns_from_text
from cbam_viz.figures.beside.bundle import EXTRAS, Sources, extra_files
from cbam_viz.figures.beside.manifest import (
    NetworkSource,
    network_source,
    photo_source,
    read_manifest,
    relative,
)
from cbam_viz.figures.content.study import study
from cbam_viz.figures.remake import remake
from cbam_viz.gates import capture
from cbam_viz.images import prepare, read_photo, samples
from cbam_viz.models import LoadedModel, create_model, load_model, wrap_model
from cbam_viz.models.loaded import weights_sha256
from cbam_viz.store import zip_bytes

from ..conftest import make_photo

SPEC = FigureSpec(
    columns=columns_from_text("input,map:-1,channels:0,prediction"), venue="free", width=80
)


def network(seed: int = 0) -> LoadedModel:
    torch.manual_seed(seed)
    model = create_model("resnet10t", num_classes=7, zero_init_last=False)
    spec = replace(wrap_model(model).spec, size=(64, 64))
    return wrap_model(model, spec=spec, name="Own network")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A figure with everything beside it; returns its manifest."""
    file = tmp_path / "photos" / "a.png"
    file.parent.mkdir()
    Image.fromarray(make_photo().pixels).save(file)
    write(tmp_path, [file])
    return tmp_path / "out" / "fig.manifest.json"


def write(folder: Path, files: list[Path]) -> None:
    out = folder / "out"
    out.mkdir(exist_ok=True)
    loaded, photos = network(), [read_photo(file) for file in files]
    built = build(SPEC, study(SPEC, [loaded], photos))
    rendered = {f"fig.{one}": built.render(one, dpi=100) for one in ("pdf", "png")}
    sources = Sources(
        tuple(photo_source(p, f, out) for p, f in zip(photos, files, strict=True)),
        (network_source(loaded, None, out, factory="mine:make"),),
        (loaded,),
        ("cbam-viz", "figure", "…"),
    )
    more = extra_files(built, "fig", EXTRAS, sources, rendered=rendered, dpi=100)
    for name, data in {**rendered, **more}.items():
        (out / name).write_bytes(data)


def opener(seed: int = 0):
    return lambda source, path: network(seed)


def test_the_same_figure_comes_out_byte_for_byte(made: Path) -> None:
    remade = remake(read_manifest(made), made.parent, open_network=opener())
    assert set(remade.files) == {"fig.pdf", "fig.png"}
    for name, data in remade.files.items():
        assert (made.parent / name).read_bytes() == data
    assert remade.differences == ()


def test_a_manifest_says_everything(made: Path) -> None:
    data = json.loads(made.read_text())
    assert data["photos"][0]["file"] == "../photos/a.png"
    assert data["photos"][0]["size"] == [96, 128]
    assert data["spec"]["font"] != "auto"
    assert data["view"] == "crop"
    assert data["networks"][0]["weights_sha256"] == weights_sha256(network().model)
    about = data["about"]
    assert about["layers"][0] == "layer4.0.se"
    (cells,) = [one for one in about["cells"] if one["layer"] == "layer4.0.se"]
    captured = capture(network().model, torch.rand(1, 3, 64, 64))["layer4.0.se"].cells
    assert cells == {"layer": "layer4.0.se", **vars(captured)}
    assert about["scale"] == {"kind": "absolute", "low": 0.0, "high": 1.0}
    assert about["inputs"][0]["size"] == [64, 64]
    assert about["inputs"][0]["interpolation"]
    assert about["geometry"][0]["input_size"] == [64, 64]
    assert {"torch", "timm", "matplotlib", "cbam_viz"} <= set(about["versions"])
    assert about["command"] == ["cbam-viz", "figure", "…"]
    names = [file["name"] for file in data["files"]]
    assert names == ["fig.pdf", "fig.png", "fig.npz", "fig.csv", "fig.tex"]
    assert read_manifest(made).to_json() == made.read_text()


def test_photos_may_lie_beside_the_manifest(made: Path) -> None:
    photo = made.parent.parent / "photos" / "a.png"
    photo.rename(made.parent / "a.png")
    assert not remake(read_manifest(made), made.parent, open_network=opener()).differences


def test_a_missing_photo_is_named(made: Path) -> None:
    (made.parent.parent / "photos" / "a.png").unlink()
    with pytest.raises(FigureError, match=r"photo \.\./photos/a\.png is not there"):
        remake(read_manifest(made), made.parent, open_network=opener())


def test_a_changed_photo_is_named(made: Path) -> None:
    file = made.parent.parent / "photos" / "a.png"
    Image.fromarray(make_photo(seed=1).pixels).save(file)
    with pytest.raises(FigureError, match=r"a\.png has changed since the figure was made"):
        remake(read_manifest(made), made.parent, open_network=opener())


def test_changed_weights_are_named(made: Path) -> None:
    with pytest.raises(FigureError, match="Own network came without a checkpoint"):
        remake(read_manifest(made), made.parent, open_network=opener(seed=1))


def test_checkpoints_are_checked(made: Path) -> None:
    manifest = read_manifest(made)
    gone = replace(manifest, networks=(NetworkSource("N", "gone.safetensors", "0" * 64),))
    with pytest.raises(FigureError, match=r"checkpoint gone\.safetensors is not there"):
        remake(gone, made.parent, open_network=opener())
    other = made.parent / "other.safetensors"
    other.write_bytes(b"x")
    changed = replace(manifest, networks=(NetworkSource("N", "other.safetensors", "0" * 64),))
    with pytest.raises(FigureError, match="checkpoint of N has changed"):
        remake(changed, made.parent, open_network=opener())


def test_no_manifest_can_run_code(made: Path) -> None:
    with pytest.raises(FigureError, match="Python object of its author"):
        remake(read_manifest(made), made.parent)


def test_other_versions_are_blamed_where_bytes_differ(made: Path) -> None:
    manifest = read_manifest(made)
    about = {**manifest.about, "versions": {**manifest.versions, "matplotlib": "1.0"}}
    spec = manifest.spec.with_(opacity=0.3)
    remade = remake(replace(manifest, spec=spec, about=about), made.parent, open_network=opener())
    assert len(remade.differences) == 2
    assert remade.differences[0].startswith("fig.pdf differs from the file that the manifest")
    assert "matplotlib 1.0 is" in remade.differences[0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xfe", "is not JSON"),
        (b"{}", "is no manifest"),
        (b"[]", "is no manifest"),
        (b"[" * 100_000, "is no manifest"),
        (b'{"cbam_viz_figure": 2}', "another version"),
        (b'{"cbam_viz_figure": 1}', "Missing in the manifest: networks, photos, spec"),
        (b'{"cbam_viz_figure": 1, "spec": {}, "photos": [], "networks": 3}', "networks of the"),
        (b'{"cbam_viz_figure": 1, "spec": {"opacity": 7}, "photos": [], "networks": []}', "0 to 1"),
        (b" " * (5 * 1024**2), "too large"),
    ],
)
def test_what_is_no_manifest_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(FigureError, match=message):
        read_manifest(data)


def test_samples_go_by_name(tmp_path: Path) -> None:
    sample = samples()[0]
    source = photo_source(read_photo(sample.path), sample.path, tmp_path)
    assert source.file == f"sample:{sample.name}"


def test_paths_are_relative_to_the_manifest(tmp_path: Path) -> None:
    assert relative(tmp_path / "x" / "p.png", tmp_path / "out") == "../x/p.png"


def test_a_zip_is_the_same_for_the_same_files() -> None:
    files = {"a.txt": b"one", "b/c.txt": b"two"}
    assert zip_bytes(files) == zip_bytes(dict(files))


def test_a_network_without_attention_may_stand_beside_one_with_it() -> None:
    plain = create_model("resnet10t", num_classes=7, attention=None)
    beside = wrap_model(plain, spec=network().spec, name="Plain")
    columns = columns_from_text("input,map:-1,prediction,prediction@2")
    spec = SPEC.with_(columns=columns)
    built = build(spec, study(spec, [network(), beside], [make_photo()]))
    both = built.study.analyses[0]
    with torch.inference_mode():
        logits = plain(prepare(make_photo(), beside.spec, "crop").tensor)[0].softmax(0)
    assert both[1].predictions[0].probability == pytest.approx(float(logits.max()), abs=1e-6)
    assert built.content.rows[0][3].text.endswith(f"{float(logits.max()):.2f}")
    for text in ("map@2:-1", "stage@2:layer1", "channels@2:0"):
        with pytest.raises(FigureError, match="This network has no attention layers"):
            build(spec.with_(columns=columns_from_text(text)), built.study)
    with pytest.raises(NoAttentionError):
        study(SPEC, [beside], [make_photo()])


HUGE = 10**400


@pytest.mark.parametrize(
    ("path", "value", "message"),
    ids=lambda value: str(value)[:20],
    argvalues=[
        (("files", 0, "name"), "../../escaped.pdf", "no plain file name"),
        (("files", 0, "name"), "/tmp/escaped.pdf", "no plain file name"),
        (("files", 0, "name"), "", "no plain file name"),
        (("dpi",), HUGE, "cannot be dpi of the manifest"),
        (("spec", "opacity"), HUGE, "cannot be opacity of spec"),
        (("spec", "opacity"), float("nan"), "cannot be opacity of spec"),
        (("spec", "width"), HUGE, "cannot be width of spec"),
        (("spec", "blocks"), HUGE, "cannot be blocks of spec"),
        (("spec", "contours"), [float("nan")], "cannot be contours of spec"),
        (("spec", "contours"), [0.1] * 3000, "at most 64 contours"),
        (("spec", "columns"), [{"kind": "input"}] * 3000, "at most 64 columns"),
        (("spec", "rows"), [{"crop": [0, 0, HUGE, HUGE]}], "cannot be crop of rows of spec"),
    ],
)
def test_hostile_manifests_are_refused_in_a_sentence(
    made: Path, path: tuple[str | int, ...], value: object, message: str
) -> None:
    document = json.loads(made.read_text())
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        data = json.dumps(document).encode()
    finally:
        sys.set_int_max_str_digits(limit)
    with pytest.raises(FigureError, match=message) as refused:
        read_manifest(data)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("kind", ["photos", "networks"])
def test_a_file_name_too_long_is_a_file_that_is_not_there(made: Path, kind: str) -> None:
    manifest = read_manifest(made)
    long = "x" * 5000
    if kind == "photos":
        changed = replace(manifest, photos=(replace(manifest.photos[0], file=long),))
    else:
        changed = replace(manifest, networks=(replace(manifest.networks[0], checkpoint=long),))
    with pytest.raises(FigureError, match="is not there"):
        remake(changed, made.parent, open_network=opener())


def test_a_manifest_without_a_picture_says_so(made: Path) -> None:
    with pytest.raises(FigureError, match="names no picture"):
        remake(replace(read_manifest(made), files=()), made.parent, open_network=opener())


def test_names_that_are_no_unicode_come_back(made: Path) -> None:
    manifest = read_manifest(made)
    odd = replace(manifest, photos=(replace(manifest.photos[0], file="a\udcff.png"),))
    assert read_manifest(odd.to_json().encode()) == odd


def test_a_figure_of_an_untrained_network_is_made_again_in_python(tmp_path: Path) -> None:
    """Whatever has been drawn from torch's random numbers before."""

    def untrained() -> LoadedModel:
        return load_model(None, architecture="resnet10t", attention="cbam", num_classes=5)

    torch.manual_seed(1)
    loaded, photo = untrained(), read_photo(samples()[0].path)
    built = build(SPEC, study(SPEC, [loaded], [photo]))
    rendered = {"fig.pdf": built.render("pdf")}
    source = network_source(
        loaded, None, tmp_path, architecture="resnet10t", attention="cbam", num_classes=5
    )
    sources = Sources((photo_source(photo, samples()[0].path, tmp_path),), (source,), (loaded,))
    (manifest,) = extra_files(built, "fig", ["manifest"], sources, rendered=rendered).values()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    remade = remake(read_manifest(manifest), tmp_path)
    assert remade.differences == ()
    assert remade.files == rendered
    untrained()
    assert torch.equal(torch.get_rng_state(), before)  # nobody else's numbers are touched
