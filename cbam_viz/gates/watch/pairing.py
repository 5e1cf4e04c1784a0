"""Products by data flow into layers: which channel gate and which spatial gate belong together."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from ...attention import Composition
from ..model.names import ROOT_NAME
from .anatomy import anatomy
from .flow import Flow
from .graph import Frame, Node, origin
from .products import Gate, Product


@dataclass(eq=False)
class Found:
    """One call of one layer, as the products show it."""

    channel: Gate | None
    spatial: Gate | None
    composition: Composition
    products: list[Product]
    frame: Frame
    module: str = ""
    key: str = ""
    call: int = 1


def paired(products: list[Product], returned: set[Node]) -> list[Found]:
    """All layers in order of execution; `returned` are the values that the network returned.

    Where a gate could be put together with two others, the one in the closest module is its own.
    """
    flow = Flow(returned)
    possible = [
        (-_depth(_around(first.frame, second.frame)), k, -j, first, second)
        for k, second in enumerate(products)
        for j, first in enumerate(products[:k])
        if first.kinds != second.kinds
        and len(first.gates) == len(second.gates) == 1
        and (_follows(second, first, flow) or _beside(second, first))
    ]
    partner: dict[Product, Product] = {}
    taken: set[Product] = set()
    for _, _, _, first, second in sorted(possible, key=lambda one: one[:3]):
        if first not in taken and second not in taken:
            partner[first] = second
            taken |= {first, second}
    result = []
    for product in products:
        if product in partner:
            result.append(_pair(product, partner[product]))
        elif product not in taken:
            result.append(_single(product))
    return result


def _follows(second: Product, first: Product, flow: Flow) -> bool:
    """The second gate acts on the first one's result, or on it with the input added.

    And nothing else does: features that go other ways too have left the first gate's layer.
    """
    source, made = origin(second.feature), origin(first.node)
    residual = (
        source.base == "add"
        and len(source.inputs) == 2
        and {origin(one) for one in source.inputs} == {made, origin(first.feature)}
    )
    if source is not made and not residual:
        return False
    return flow.ends_in({made, source}, second.node, second.gates[0].node)


def _beside(second: Product, first: Product) -> bool:
    """Both gates act on the same features."""
    return origin(second.feature) is origin(first.feature) and _meet(first.node, second.node)


def _meet(one: Node, two: Node, reach: int = 3) -> bool:
    """The results come together again within a few steps, as large as they are, alike convolved."""

    def after(node: Node, other: Node) -> set[tuple[Node, int]]:
        found = edge = {(node, 0)}
        for _ in range(reach):
            edge = {
                (user, convolved + (user.base == "convolution"))
                for item, convolved in edge
                for user in item.users
                if user is not other and (item is node or item.shape == node.shape)
            }
            found = found | edge
        return found

    return bool(after(one, two) & after(two, one))


def _pair(first: Product, second: Product) -> Found:
    gates = {gate.kind: gate for product in (first, second) for gate in product.gates}
    composition: Composition = "parallel"
    if not _beside(second, first):
        channel_first = first.gates[0].kind == "channel"
        composition = "channel then spatial" if channel_first else "spatial then channel"
    frame = _around(first.frame, second.frame)
    return Found(gates["channel"], gates["spatial"], composition, [first, second], frame)


def _single(product: Product) -> Found:
    gates = {gate.kind: gate for gate in product.gates}
    channel, spatial = gates.get("channel"), gates.get("spatial")
    composition: Composition = "channel then spatial"
    if spatial is None:
        composition = "channel"
    elif channel is None:
        composition = "spatial"
    return Found(channel, spatial, composition, [product], product.frame)


def _depth(frame: Frame) -> int:
    return sum(1 for _ in frame.path())


def _around(one: Frame, two: Frame) -> Frame:
    frames = set(one.path())
    return next(frame for frame in two.path() if frame in frames)


def name_layers(
    layers: list[Found], children_of_root: int, entered: Container[str], *, scripted: bool
) -> None:
    """Give each layer its module's name; gates that share one call take their own modules' names.

    Where the parameters on the way to the gates belong to a module whose call no hook has seen, it
    is that one: in TorchScript, in graphs of torch.fx, where `forward` itself was called.
    """
    together: dict[Frame, int] = {}
    for layer in layers:
        together[layer.frame] = together.get(layer.frame, 0) + 1
    calls: dict[str, int] = {}
    for layer in layers:
        frame = layer.frame
        name = frame.module
        shared = together[frame] > 1
        owner = _owner(layer) if scripted or shared or frame.parent is None else ""
        if owner.startswith(name) and owner and owner not in entered:
            name = owner
        elif shared or (frame.parent is None and children_of_root > 4):
            below = _producer(layer, frame)
            name = name if below is None else below.module
        layer.module = name or ROOT_NAME
        layer.call = calls[layer.module] = calls.get(layer.module, 0) + 1
        layer.key = layer.module if layer.call == 1 else f"{layer.module}#{layer.call}"


def weights_of(layer: Found) -> tuple[str, ...]:
    """Names of the parameters and buffers between the features and the gates."""
    owners: set[str] = set()
    for product in layer.products:
        for gate in product.gates:
            owners |= anatomy(gate.node, product.feature).owners
    return tuple(sorted(owners))


def _owner(layer: Found) -> str:
    """The innermost module that owns all parameters between the features and the gates."""
    names = [owner.split(".")[:-1] for owner in weights_of(layer)]
    common: list[str] = []
    for parts in zip(*names, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return ".".join(common)


def _producer(layer: Found, frame: Frame) -> Frame | None:
    """The module call directly inside `frame` that multiplies, or that makes the first gate."""
    gate = layer.products[0].gates[0]
    sources = [layer.products[0].frame, gate.node.frame]
    node, steps = gate.node, 0
    while node.inputs and steps < 8:
        node = max(node.inputs, key=lambda one: one.order)
        sources.append(node.frame)
        steps += 1
    for source in sources:
        path = [one for one in source.path() if frame in set(one.path()) and one is not frame]
        if path:
            return path[-1]
    return None
