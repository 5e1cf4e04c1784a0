"""Writes `architectures.json`: fingerprints by which a checkpoint's network is recognised.

Run `python -m cbam_viz.models.index` after a change of timm's version; it builds some 700 networks
without allocating them and takes a few minutes.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import timm

from cbam_viz.models.families import cbam_families
from cbam_viz.models.infer import _INDEX, classifier_names, fingerprint, skeleton

_FURTHER = ("convnext", "vgg", "densenet", "mobilenetv5", "dla", "xception", "inception_v3")
"""Modules of networks that take CBAM after their stages only."""
_TOO_LARGE = ("_l2", "x64", "_xxlarge", "_f5", "_f6", "_f7", "rs420", "maxvit_xlarge")


def build_index(names: Iterable[str]) -> dict[str, Any]:
    """Return fingerprints of these networks, complete (`plain`) and without SE (`bare`)."""
    tables: dict[str, defaultdict[str, list[str]]] = {
        "plain": defaultdict(list),
        "bare": defaultdict(list),
    }
    classifiers, parts = set(), set()
    for name in names:
        for kind, table in tables.items():
            bones = skeleton(name, bare=kind == "bare")
            if bones is not None:
                table[fingerprint(bones)].append(name)
                parts.add(tuple(sorted({tensor.partition(".")[0] for tensor in bones})))
        classifiers.add(classifier_names(name))
    return {
        "timm": timm.__version__,
        "classifiers": sorted(list(names) for names in classifiers if names),
        "parts": sorted(list(names) for names in parts),
        **{kind: dict(sorted(table.items())) for kind, table in tables.items()},
    }


def indexed_names() -> list[str]:
    """Return the networks that the index holds."""
    modules = [family.module for family in cbam_families()] + list(_FURTHER)
    names = {name for module in modules for name in timm.list_models(module=module)}
    return sorted(
        name
        for name in names
        if not name.endswith("pruned") and not any(word in name for word in _TOO_LARGE)
    )


if __name__ == "__main__":
    _INDEX.write_text(json.dumps(build_index(indexed_names()), indent=0) + "\n")
