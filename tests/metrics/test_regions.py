from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cbam_viz.errors import MetricError
from cbam_viz.metrics import Region, box_mask, read_regions, regions_of

BOX = box_mask([[2, 1, 6, 4]], (8, 10))


def coco(folder: Path, **annotation: object) -> Path:
    path = folder / "instances.json"
    stored = {
        "images": [{"id": 7, "file_name": "val/a.jpg", "height": 8, "width": 10}],
        "categories": [{"id": 3, "name": "cat"}],
        "annotations": [{"image_id": 7, "category_id": 3, "iscrowd": 0, **annotation}],
    }
    path.write_text(json.dumps(stored))
    return path


@pytest.mark.parametrize(
    "annotation",
    [
        {"bbox": [2, 1, 4, 3]},
        {"bbox": [0, 0, 9, 9], "segmentation": [[2, 1, 6, 1, 6, 4, 2, 4]]},
        {"segmentation": [[2, 1, 4, 1, 4, 4, 2, 4], [4, 1, 6, 1, 6, 4, 4, 4]]},
        # Down the columns: 2 of 8 and one more are empty, then 3 are not, 5 are, ...
        {"segmentation": {"size": [8, 10], "counts": [17, 3, 5, 3, 5, 3, 5, 3, 36]}},
        # The same as COCO's own tools write it: from the third run on, differences in letters.
        {"segmentation": {"size": [8, 10], "counts": "a03500000o0"}},
    ],
)
def test_coco(tmp_path: Path, annotation: dict[str, object]) -> None:
    (region,) = read_regions(coco(tmp_path, **annotation))["a"]
    assert region.label == "cat"
    np.testing.assert_array_equal(region.on((8, 10)), BOX)


def packed(counts: list[int]) -> str:
    """COCO's text for run lengths, as its description has it."""
    text = ""
    for index, count in enumerate(counts):
        value = count - (counts[index - 2] if index > 2 else 0)
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            text += chr((bits | 0x20 * more) + 48)
    return text


def test_packed_run_lengths_of_any_mask(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((8, 10)) < 0.5
    mask[:, 3:7] = True  # a long run as well
    flat = mask.T.ravel()
    ends = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], ends, [flat.size]])).tolist()
    counts = [0, *counts] if flat[0] else counts
    stored = {"size": [8, 10], "counts": packed(counts)}
    (region,) = read_regions(coco(tmp_path, segmentation=stored))["a"]
    np.testing.assert_array_equal(region.on((8, 10)), mask)


def test_voc_counts_pixels_from_one(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(
        "<annotation><filename>a.jpg</filename><size><width>10</width><height>8</height></size>"
        "<object><name>cat</name><bndbox><xmin>3</xmin><ymin>2</ymin><xmax>6</xmax><ymax>4</ymax>"
        "</bndbox></object></annotation>"
    )
    (region,) = read_regions(tmp_path)["a"]
    assert region.label == "cat"
    np.testing.assert_array_equal(region.on((8, 10)), BOX)


@pytest.mark.parametrize(
    "line",
    [
        "3 0.4 0.3125 0.4 0.375",
        "3 0.4 0.3125 0.4 0.375 0.91",
        "3 0.2 0.125 0.6 0.125 0.6 0.5 0.2 0.5",
    ],
)
def test_yolo(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.txt").write_text(f"{line}\n\n")
    (region,) = read_regions(tmp_path / "a.txt")["a"]
    assert region.label == "3"
    np.testing.assert_array_equal(region.on((8, 10)), BOX)
    np.testing.assert_array_equal(region.on((16, 20)), box_mask([[4, 2, 12, 8]], (16, 20)))


def test_masks(tmp_path: Path) -> None:
    Image.fromarray(BOX.astype(np.uint8) * 255).save(tmp_path / "a.png")
    palette = BOX.astype(np.uint8) * 5
    palette[0, 0] = 255  # undecided
    image = Image.fromarray(palette, "P")
    image.putpalette(list(range(256)) * 3)
    image.save(tmp_path / "b.png")
    found = read_regions(tmp_path)
    for name in "ab":
        np.testing.assert_array_equal(found[name][0].on((8, 10)), BOX)
    doubled = np.kron(BOX, np.ones((2, 2), bool))
    np.testing.assert_array_equal(found["a"][0].on((16, 20)), doubled)


def test_an_outline_with_a_bay_leaves_the_bay_out() -> None:
    u = np.array([[0, 0], [6, 0], [6, 6], [4, 6], [4, 2], [2, 2], [2, 6], [0, 6]], float)
    mask = Region(None, (u,), None, (6, 6)).on((6, 6))
    assert mask.sum() == 36 - 8
    assert not mask[2:6, 2:4].any()


def test_a_photo_of_another_shape_is_another_photo(tmp_path: Path) -> None:
    (region,) = read_regions(coco(tmp_path, bbox=[2, 1, 4, 3]))["a"]
    np.testing.assert_array_equal(region.on((16, 20)), box_mask([[4, 2, 12, 8]], (16, 20)))
    with pytest.raises(MetricError, match="photo of 10 x 8 pixels, and this one has 8 x 10"):
        region.on((10, 8))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "a.json holds no objects"),
        ("a.json", '{"images": [], "annotations": []}', "holds no objects. Give"),
        ("a.json", '{"images": [], "annotations": [{"image_id": 1}]}', "not listed"),
        ("a.xml", "<a", "a.xml holds no objects"),
        ("a.xml", "<annotation/>", "how large the photo is"),
        ("a.txt", "3 0.5 0.5", "line 1 is neither"),
        ("a.txt", "3 a b c d", "a.txt holds no objects"),
        ("a.csv", "", r"read from \.json"),
    ],
)
def test_files_that_hold_no_objects(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(MetricError, match=message):
        read_regions(tmp_path / name)


def test_missing_files_and_bombs(tmp_path: Path) -> None:
    with pytest.raises(MetricError, match="cannot be read"):
        read_regions(tmp_path / "none.json")
    lines = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 12))
    body = "<annotation><filename>&e11;</filename></annotation>"
    (tmp_path / "bomb.xml").write_text(f'<!DOCTYPE a [<!ENTITY e0 "ha">{lines}]>{body}')
    with pytest.raises(MetricError, match="holds no objects"):
        read_regions(tmp_path / "bomb.xml")


def test_photos_are_found_by_name_and_class(tmp_path: Path) -> None:
    found = read_regions(coco(tmp_path, bbox=[2, 1, 4, 3]))
    assert len(regions_of(found, "elsewhere/a.png", "cat")) == 1
    with pytest.raises(MetricError, match="no objects of class 'dog'"):
        regions_of(found, "a.jpg", "dog")
    with pytest.raises(MetricError, match=r"b\.jpg: no objects"):
        regions_of(found, "b.jpg")


def test_masks_of_any_mode_have_the_object_alone(tmp_path: Path) -> None:
    """Colours too dark for a grey level, what is seen through alone, and 16 bits."""
    full, empty = np.where(BOX, 255, 0).astype(np.uint8), np.zeros_like(BOX, np.uint8)
    opaque = np.full_like(full, 255)
    for name, pixels, expected in (
        ("dark", np.dstack([empty, empty, BOX.astype(np.uint8)]), BOX),
        ("words", np.where(BOX, 300, 0).astype(np.uint16), BOX),
        ("seen", np.dstack([opaque, opaque, opaque, full]), BOX),
        ("painted", np.dstack([full, full, full, opaque]), BOX),
        ("nothing", np.dstack([empty, empty, empty, opaque]), None),
        ("black", empty, None),
    ):
        path = tmp_path / f"{name}.png"
        Image.fromarray(pixels).save(path)
        found = read_regions(path)[name]
        assert len(found) == (expected is not None), name
        if expected is not None:
            np.testing.assert_array_equal(found[0].on(BOX.shape), expected, name)


def test_names_of_yolo_classes_beside_them(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("cat\nsea lion\n\n")
    (tmp_path / "a.txt").write_text("1 0.4 0.3125 0.4 0.375\n7 0.4 0.3125 0.4 0.375\n")
    for path in (tmp_path, tmp_path / "a.txt"):
        assert [one.label for one in read_regions(path)["a"]] == ["sea lion", "7"]


def test_yolo_in_pixels_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0 320 240 100 50\n")
    with pytest.raises(MetricError, match="line 1 is not in shares"):
        read_regions(tmp_path / "a.txt")


def test_crowds_are_no_objects_and_that_is_said(tmp_path: Path) -> None:
    path = coco(tmp_path, bbox=[2, 1, 4, 3])
    stored = json.loads(path.read_text())
    runs = {"size": [8, 10], "counts": [0, 80]}
    stored["annotations"].append(
        {"image_id": 7, "category_id": 3, "iscrowd": 1, "segmentation": runs}
    )
    path.write_text(json.dumps(stored))
    found = read_regions(path)
    (region,) = found["a"]
    np.testing.assert_array_equal(region.on((8, 10)), BOX)
    assert found.notes == ("instances.json: 1 crowd was left out, as a crowd is no single object.",)
    stored["annotations"].pop(0)
    path.write_text(json.dumps(stored))
    with pytest.raises(MetricError, match="no objects are known"):
        regions_of(read_regions(path), "a.jpg")


@pytest.mark.parametrize("way", ["[2, 3]", "[3, 2] # x, y", "\n  - 3\n  - 2"])
def test_keypoints_of_yolo_are_told_from_outlines(tmp_path: Path, way: str) -> None:
    """Ten numbers would be an outline of five corners."""
    labels = tmp_path / "labels" / "train"
    labels.mkdir(parents=True)
    line = "0 0.4 0.3125 0.4 0.375 0.9 0.9 0.1 0.1 0.9 0.1"
    (labels / "a.txt").write_text(line)
    guessed = read_regions(labels)
    assert len(guessed["a"][0].outlines[0]) == 5
    assert "kpt_shape" in guessed.notes[0]
    (tmp_path / "data.yaml").write_text(f"path: .\nkpt_shape: {way}\nnames:\n  0: cat\n")
    found = read_regions(labels)
    np.testing.assert_array_equal(found["a"][0].on((8, 10)), BOX)
    assert found.notes == ()


def test_photos_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for folder, number in (("train", 1), ("val", 2)):
        (tmp_path / "labels" / folder).mkdir(parents=True)
        (tmp_path / "labels" / folder / "a.txt").write_text(f"{number} 0.4 0.3125 0.4 0.375\n")
    (tmp_path / "labels" / "val" / "b.txt").write_text("3 0.4 0.3125 0.4 0.375\n")
    found = read_regions(tmp_path / "labels")
    assert set(found) == {"train/a", "val/a", "b"}
    assert regions_of(found, "images/val/a.jpg")[0].label == "2"
    assert regions_of(found, r"C:\images\train\a.jpg")[0].label == "1"
    assert regions_of(found, "b.jpg")[0].label == "3"
    with pytest.raises(MetricError, match=r"several photos have that name \(train/a, val/a\)"):
        regions_of(found, "test/a.jpg")
    with pytest.raises(MetricError, match="no objects"):
        regions_of(found, "test/b.jpg", elsewhere=False)


def test_a_list_of_photos_in_folders_gives_each_its_own(tmp_path: Path) -> None:
    images = [
        {"id": k, "file_name": f"{folder}/a.jpg", "height": 8, "width": 10}
        for k, folder in enumerate(("one", "two"))
    ]
    objects = [{"image_id": k, "category_id": k, "bbox": [2, 1, 4, 3]} for k in (0, 1)]
    (tmp_path / "c.json").write_text(json.dumps({"images": images, "annotations": objects}))
    found = read_regions(tmp_path / "c.json")
    assert [one.label for one in regions_of(found, "photos/two/a.jpg")] == ["1"]
    assert [one.label for one in regions_of(found, "photos/one/a.jpg")] == ["0"]


def test_what_voc_calls_difficult_is_an_object(tmp_path: Path) -> None:
    box = "<bndbox><xmin>3</xmin><ymin>2</ymin><xmax>6</xmax><ymax>4</ymax></bndbox>"
    one = f"<object><name>cat</name><difficult>1</difficult>{box}</object>"
    size = "<size><width>10</width><height>8</height></size>"
    (tmp_path / "a.xml").write_text(
        f"<annotation><filename>a.jpg</filename>{size}{one}</annotation>"
    )
    np.testing.assert_array_equal(read_regions(tmp_path)["a"][0].on((8, 10)), BOX)
