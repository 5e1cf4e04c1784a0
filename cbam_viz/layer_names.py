"""Layers as people call them: `stage 4, block 2` for `layer4.1.se`.

A stage is counted as timm's own `feature_info` counts it: `layer4` is stage 4, and so are
`stages.3` and an EfficientNet's `blocks.3`; a stem is none. Numbers that stand alone in a path
count from 0 and are spoken from 1; numbers that are part of a name (`layer4`, `s1.b2`) are spoken
as they are, and so is `model.9` of a YOLO, whose layers everybody counts from 0. Where a path does
not say what it counts (`features.7`, a place in an `nn.Sequential`), nothing is made up: the path
is the title.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cbam_viz._text import nearest

_STAGE_NAME = re.compile(r"(layer|stage|level|s)_?([0-9]{1,6})")
"""`layer4` is stage 4; `s4` is one only where it has blocks `b1`, `b2` ..."""
_STAGE_LISTS = {
    "stages": "stage",
    "blocks": "stage",
    "layers": "stage",
    "levels": "level",
}
"""What holds stages by number."""
_BLOCK_NAME = re.compile(r"(b|block|dense_?block|bottleneck)_?([0-9]{1,6})")
BLOCK_LISTS = {"blocks": "block", "layers": "layer", "layer": "layer"}
"""What holds blocks by number."""
_YOLO = "model"
_LISTS = (*BLOCK_LISTS, _YOLO)
"""Stages that only list blocks."""
_SILENT = ("module", "model", "net", "network", "body", "base", "features")
"""Parts of a path that nobody says."""


class Placed(Protocol):
    """What a layer is called by: a `LayerAttention` has it, and what files say of a layer."""

    @property
    def name(self) -> str:
        """Key in `Attention`."""

    @property
    def module(self) -> str:
        """The module's dotted name."""

    @property
    def call(self) -> int:
        """Which of the module's calls in the forward, from 1."""

    @property
    def stage(self) -> str:
        """See `LayerAttention.stage`."""

    @property
    def block(self) -> str | None:
        """See `LayerAttention.block`."""


@dataclass(frozen=True)
class Named:
    """A layer of which only names are known, as of a store."""

    name: str
    module: str
    call: int
    stage: str
    block: str | None = None


@dataclass(frozen=True)
class Titles:
    """What to call the layers and stages of one network."""

    layers: dict[str, str]
    """By layer's name; the name itself where no honest title can be made. No two are alike."""
    stages: dict[str, str]
    """By stage; the stage itself where no honest title can be made."""


@dataclass(frozen=True)
class _Spoken:
    """The parts of a title."""

    prefix: tuple[str, ...] = ()
    """What comes before the stage in the path, such as `encoder`."""
    stage: str = ""
    block: str = ""
    rest: str = ""
    """The path inside the block or stage."""

    def title(self, *, prefixed: bool) -> str:
        """All that is counted, if anything is; a number in the prefix would say nothing."""
        counted = [part for part in (self.stage, self.block) if part]
        before = self.prefix if prefixed else ()
        if not counted or any(_is_number(part) for part in before):
            return ""
        return ", ".join([*before, *counted])


def titles(layers: Iterable[Placed]) -> Titles:
    """Say what to call the layers of a network, all of them given in order of execution."""
    every = list(layers)
    spoken = {layer.module: _spoken(layer) for layer in every}
    # A part that all layers are in tells none of them apart.
    prefixed = len({one.prefix for one in spoken.values()}) > 1
    modules = {module: one.title(prefixed=prefixed) for module, one in spoken.items()}
    modules = _apart(modules, {module: one.rest for module, one in spoken.items()})
    calls = Counter(layer.module for layer in every)
    by_name = {}
    for layer in every:
        title = modules[layer.module]
        again = f", call {layer.call}" if calls[layer.module] > 1 else ""
        by_name[layer.name] = title + again if title else layer.name
    stages = {
        layer.stage: _Spoken(one.prefix, one.stage).title(prefixed=prefixed) or layer.stage
        for layer in every
        for one in [spoken[layer.module]]
    }
    return Titles(by_name, stages)


def find_name(layers: Mapping[str, Placed] | Sequence[str], wanted: str) -> str | None:
    """The name of the layer that is meant; None if there is none, or if it could be several.

    What is meant is a layer's name, its place in the order of execution (`0` is the first and `-1`
    the last), or what a picture or a table calls it: see `find_called`.
    """
    names = list(layers)
    if (
        wanted not in names
        and re.fullmatch("-?[0-9]{1,6}", wanted)
        and -len(names) <= int(wanted) < len(names)
    ):
        return names[int(wanted)]
    return find_called(layers, wanted)


def find_called(layers: Mapping[str, Placed] | Sequence[str], wanted: str) -> str | None:
    """The name of the one layer that pictures or tables call so; None for none or several.

    They have names, names without the ending that all share (`layer4.1`), and titles, alone or with
    the name beside (`stage 4, block 2 (layer4.1.se)`); of layers by name alone no title is known.
    """
    if wanted in layers:
        return wanted
    called = {name: {name, short} for name, short in short_names(layers).items()}
    if isinstance(layers, Mapping):
        for name, title in titles(layers.values()).layers.items():
            called[name] |= {title, both_names(name, title)}
    spoken = " ".join(wanted.split()).lower()
    found = [name for name, some in called.items() if spoken in {one.lower() for one in some}]
    return found[0] if len(found) == 1 else None


def find_stage(layers: Iterable[Placed], wanted: str) -> str | None:
    """The stage that is meant, by its name (`layer4`) or its title (`stage 4`); None for none."""
    known = titles(layers).stages
    if wanted in known:
        return wanted
    spoken = " ".join(wanted.split()).lower()
    found = [stage for stage, title in known.items() if title.lower() == spoken]
    return found[0] if len(found) == 1 else None


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Names without the last part that all share: `layer1.0.se` becomes `layer1.0`.

    A number is kept: it is the place of a layer, as of the only `model.5` of a YOLO.
    """
    names = list(names)
    plain = [name.partition("#")[0] for name in names]
    last = {name.rpartition(".")[2] for name in plain}
    if len(last) != 1 or not all("." in name for name in plain) or _is_number(min(last)):
        return {name: name for name in names}
    ending = "." + last.pop()
    return {name: _without(name, ending) for name in names}


def no_such_layer(names: Sequence[str], wanted: str, *, by_place: bool = True) -> str:
    """What to say where there is no such layer: how many there are, and the nearest names.

    `by_place` where `find_name` was asked, which takes places too.
    """
    places = "; 0 and -1 mean the first and the last" if by_place else ""
    return (
        f"The network has no attention layer {wanted!r}. It has {len(names)}, such as "
        f"{', '.join(nearest(names, wanted))}{places}."
    )


def both_names(name: str, title: str) -> str:
    """A layer by title and path, or by the path alone where that is all there is."""
    return name if title == name else f"{title} ({name})"


def block_of(module: str, stage: str) -> str:
    """The block of a stage that a module is in, by its name: `layer4.1` for `layer4.1.se`.

    Empty if the name does not say. `stage` is what `LayerAttention.stage` holds for the module; a
    stage that only lists blocks, such as `blocks` for `blocks.7.attn`, has them as its own members.
    """
    if not module.startswith(f"{stage}."):
        return ""
    inside = module.removeprefix(f"{stage}.").split(".")
    first, numbers = inside[0], sum(_is_number(part) for part in inside)
    if first in BLOCK_LISTS and len(inside) > 1 and _is_number(inside[1]):
        return f"{stage}.{first}.{inside[1]}"
    for count, part in enumerate(inside, start=1):
        if _BLOCK_NAME.fullmatch(part):
            return ".".join([stage, *inside[:count]])
    # More numbers mean branches and the like: HRNet's `stage2.0.branches.1.0` is no block 1.
    listed = bool(_counted(stage)) or _last(stage) in _LISTS
    return f"{stage}.{first}" if _is_number(first) and numbers <= 2 and listed else ""


def _without(name: str, ending: str) -> str:
    module, mark, call = name.partition("#")
    return module.removesuffix(ending) + mark + call


def _spoken(layer: Placed) -> _Spoken:
    stage, module = layer.stage, layer.module
    block = block_of(module, stage) if layer.block is None else layer.block
    *before, last = stage.split(".")
    if not block and last == _YOLO:  # a layer of its own, and counted as all the others are
        block = block_of(module, stage)
    counted = _counted(stage, block)
    if counted and _is_number(last):
        before = before[:-1]  # the list that the stage is in
    elif not counted and last not in _LISTS:
        before = [*before, last]
    named = bool(_BLOCK_NAME.fullmatch(_last(block)))
    spoken = bool(counted) or last in _LISTS or named
    return _Spoken(
        prefix=tuple(part for part in before if part not in _SILENT),
        stage=counted,
        block=_block_in_words(block, last) if spoken else "",
        rest=module.removeprefix(block or stage).strip("."),
    )


def _counted(stage: str, block: str = "") -> str:
    """A stage in words; empty if it is not one that is counted."""
    *before, last = stage.split(".")
    named = _STAGE_NAME.fullmatch(last)
    if named and (named[1] != "s" or _last(block).startswith("b")):
        noun = "level" if named[1] == "level" else "stage"
        return f"{noun} {int(named[2])}"
    if _is_number(last) and before and before[-1] in _STAGE_LISTS:
        return f"{_STAGE_LISTS[before[-1]]} {int(last) + 1}"
    if _is_number(last) and before and before[-1] == _YOLO:
        return f"layer {last}"
    return ""


def _block_in_words(block: str, listed_in: str) -> str:
    """A block in words, `listed_in` being the last part of its stage; empty for none."""
    above, _, last = block.rpartition(".")
    named = _BLOCK_NAME.fullmatch(last)
    if named:
        return f"{'dense block' if named[1].startswith('dense') else 'block'} {int(named[2])}"
    if not _is_number(last):
        return ""
    if listed_in == _YOLO:
        return f"layer {last}"
    return f"{BLOCK_LISTS.get(_last(above), 'block')} {int(last) + 1}"


def _is_number(part: str) -> bool:
    return bool(re.fullmatch("[0-9]{1,6}", part))


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _apart(titles: dict[str, str], rests: dict[str, str]) -> dict[str, str]:
    """Titles of modules that no other has: with the path inside the block, or else none."""
    once = Counter(titles.values())
    longer = {
        module: f"{title}, {rests[module]}"
        if title and once[title] > 1 and rests[module]
        else title
        for module, title in titles.items()
    }
    twice = Counter(longer.values())
    return {module: title if twice[title] == 1 else "" for module, title in longer.items()}
