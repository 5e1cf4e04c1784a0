"""Small files that were made to freeze or fill whoever reads them, and a few that only look so."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Callable

import torch

HEAD = b"\x80\x02"


def zipped(content: bytes, **parts: bytes) -> bytes:
    """A checkpoint with this pickle, and `data_0=` for `data/0`."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        for name, part in parts.items():
            archive.writestr(f"archive/{name.replace('_', '/')}", part)
    return out.getvalue()


def text(content: str) -> bytes:
    data = content.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def long(number: int) -> bytes:
    """Any whole number."""
    data = number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8b" + struct.pack("<I", len(data)) + data


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + b"(" + b"".join(arguments) + b"tR"


STATE = b"}" + text("weight") + call(name("torch", "Size"), b")") + b"s"


def storage(count: bytes = b"K\x04", kind: str = "FloatStorage", key: bytes = text("0")) -> bytes:
    return b"(" + text("storage") + name("torch", kind) + key + text("cpu") + count + b"tQ"


def tensor(
    *, base: bytes | None = None, offset: bytes = b"K\x00", size: bytes = b"K\x04",
    stride: bytes = b"K\x01",
) -> bytes:  # fmt: skip
    """A tensor, of one dimension unless more numbers are given."""
    hooks = call(name("collections", "OrderedDict"))
    return call(
        name("torch._utils", "_rebuild_tensor_v2"),
        base or storage(), offset, b"(" + size + b"t", b"(" + stride + b"t", b"\x89", hooks,
    )  # fmt: skip


def checkpoint(value: bytes, numbers: int = 4) -> bytes:
    """A checkpoint of one thing under the name `weight`."""
    content = HEAD + b"}" + text("weight") + value + b"s."
    return zipped(content, data_0=bytes(4 * numbers))


def tuples(levels: int) -> bytes:
    """(t, t) of (t, t) of ..., which takes 2 ** levels steps to hash."""
    return b")q\x00" + b"0h\x00h\x00\x86q\x00" * levels


def encoded(codec: str, start: str, times: int) -> bytes:
    """A text that is encoded again and again."""
    encode = name("_codecs", "encode")
    value = text(start)
    for _ in range(times):
        value = call(encode, value, text(codec))
    return HEAD + value + b"."


def module(children: bytes) -> bytes:
    """A record of an nn.Module: what is pushed by `children` is its `_modules`."""
    return (
        name("torch.nn.modules.container", "Sequential") + b")\x81q\x01}("
        + text("_parameters") + b"}" + text("_modules") + children + b"ub"
    )  # fmt: skip


def levels_of_modules(levels: int) -> bytes:
    value = module(b"}q\x09")
    for _ in range(levels):
        pair = b"}(" + text("a") + b"h\x02" + text("b") + b"h\x02u"
        value += b"q\x02" + module(pair)
    return value


def shared_lists(levels: int, kind: bytes = b"]") -> bytes:
    value = kind + b"q\x00"
    for _ in range(levels):
        items = (
            b"(h\x00h\x00e" if kind == b"]" else b"(" + text("a") + b"h\x00" + text("b") + b"h\x00u"
        )
        value += b"0" + kind + items + b"q\x00"
    return HEAD + value + b"."


def keys(values: list[bytes]) -> bytes:
    """A dictionary with these keys, and weights beside it."""
    pairs = b"".join(value + b"N" for value in values)
    return zipped(HEAD + b"}" + text("odd") + b"}(" + pairs + b"us.")


def only_a_directory() -> bytes:
    """A zip of 40 MB that is nothing but directory."""
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *([0] * 6), *([0] * 3), 1, *([0] * 4), 0, 0)
    directory = (entry + b"x") * (40 * 10**6 // 47)
    start = b"PK\x03\x04" + bytes(26)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 9, 9, len(directory), len(start), 0)
    return start + directory + end


def many_tensors(count: int, **options: bool) -> bytes:
    out = io.BytesIO()
    torch.save({f"layer.{i}.weight": torch.ones(2, 2) for i in range(count)}, out, **options)
    return out.getvalue()


def sharing(shared: bytes, use: bytes, times: int) -> bytes:
    """A list of things that are each made of the one in memo 7."""
    return (
        HEAD
        + shared
        + b"q\x070"
        + b"}"
        + text("a")
        + b"}("
        + b"".join(text(f"k{i}") + use for i in range(times))
        + b"us."
    )


LONG_DICTIONARY = b"}(" + b"".join(text(f"k{i}") + b"N" for i in range(50_000)) + b"u"


def nested_types(levels: int) -> bytes:
    """`_rebuild_from_type_v2` of `_rebuild_from_type_v2` of ..."""
    function = name("torch._tensor", "_rebuild_from_type_v2")
    value = b")" + (b"q\x00(" + function + b"Nh\x00Nt") * levels
    return HEAD + function + value + b"R."


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    # What they are, and the sentence; none where the file is harmless and is opened.
    "hash of nested tuples": (lambda: zipped(HEAD + b"}" + tuples(45) + b"Ns."), ""),
    "hash in a plain pickle": (lambda: HEAD + b"}" + tuples(45) + b"Ns.", ""),
    "hash in a set": (lambda: b"\x80\x04\x8f(" + tuples(45) + b"\x90.", ""),
    "hash in a frozen set": (lambda: b"\x80\x04(" + tuples(45) + b"\x91.", ""),
    "hash in an old set": (
        lambda: HEAD + call(name("__builtin__", "set"), b"](" + tuples(45) + b"e") + b".", ""),
    "hash of a counter": (
        lambda: HEAD + call(name("collections", "Counter"), b"}" + tuples(45) + b"Ns") + b".", ""),
    "hash in an ordered dictionary": (
        lambda: HEAD + call(name("collections", "OrderedDict")) + tuples(45) + b"Ns.", ""),
    "equal hashes of numbers": (
        lambda: keys([long(i * (2**61 - 1)) for i in range(1, 60_001)]), ""),
    "equal hashes of tuples": (
        lambda: keys([long(i * (2**61 - 1)) + b"\x85" for i in range(1, 60_001)]), ""),
    "hex": (lambda: encoded("hex", "x" * 100, 28), ""),
    "punycode": (lambda: encoded("punycode", "\u4e00" * 12_000, 1), ""),
    "latin1 a thousand times": (
        lambda: zipped(HEAD + name("_codecs", "encode") + b"q\x00" + text("x" * 10**6) + b"q\x01("
                       + (b"h\x00h\x01" + text("latin1") + b"\x86R") * 2000 + b"l."),
        "claim more than"),
    "a list in itself": (lambda: HEAD + b"]q\x00h\x00a.", ""),
    "a dictionary in itself": (lambda: HEAD + b"}q\x00" + text("a") + b"h\x00s.", ""),
    "a tuple in itself": (lambda: HEAD + b"]q\x00(h\x00h\x00tq\x01a.", ""),
    "a call of itself": (
        lambda: HEAD + name("torch", "Size") + b")Rq\x00(h\x00tb.", "consists of itself"),
    "lists of shared lists": (lambda: shared_lists(60), ""),
    "dictionaries of shared dictionaries": (lambda: shared_lists(60, b"}"), ""),
    "200,000 lists in each other": (lambda: HEAD + b"]" * 200_000 + b"a" * 199_999 + b".", ""),
    "200,000 tuples in each other": (lambda: HEAD + b")" + b"\x85" * 200_000 + b".", ""),
    "200,000 dictionaries in each other": (
        lambda: HEAD + (b"}" + text("a")) * 200_000 + b"Ns" + b"s" * 199_999 + b".", ""),
    "200,000 calls in each other": (
        lambda: HEAD + name("torch", "Size") + b"q\x00)"
        + b"\x85q\x010h\x00h\x01R" * 200_000 + b".", ""),
    "200,000 marks": (lambda: HEAD + b"(" * 200_000 + b"t" * 200_000 + b".", ""),
    "tensors of tensors": (lambda: nested_types(50_000), ""),
    "a number of 5,000 digits": (lambda: HEAD + long(10**5000) + b".", "more than 300 digits"),
    "a line of a million digits": (lambda: HEAD + b"I" + b"9" * 10**6 + b"\n.", "broken"),
    "60 MB of digits": (
        lambda: HEAD + b"\x8b" + struct.pack("<I", 60 * 10**6) + bytes(60 * 10**6) + b".",
        "more than 300 digits"),
    "an extension": (lambda: HEAD + b"\x82\x01.", "EXT1"),
    "an instance": (lambda: HEAD + b"(ios\nsystem\n.", "INST"),
    "an object": (lambda: HEAD + b"(" + name("os", "system") + b"o.", "OBJ"),
    "a persistent text": (lambda: HEAD + b"Psecret\n.", "PERSID"),
    "a persistent number": (lambda: HEAD + b"K\x01Q.", "broken"),
    "a persistent tuple": (lambda: HEAD + b"(K\x01K\x02tQ.", "persistent"),
    "bytes from elsewhere": (lambda: b"\x80\x05\x97.", "NEXT_BUFFER"),
    "a name of 100,000 characters": (
        lambda: HEAD + b"c" + b"m" * 100_000 + b"\nx\n.", "broken"),
    "a name of 500 characters": (
        lambda: HEAD + name("m" * 500, "x") + b".", "class of 502 characters"),
    "30 million empty lists": (lambda: HEAD + b"]" * 30 * 10**6 + b".", "absurdly long"),
    "30 million nothings": (lambda: HEAD + b"N" * 30 * 10**6 + b".", "absurdly long"),
    "counters of one dictionary": (
        lambda: sharing(LONG_DICTIONARY, name("collections", "Counter") + b"h\x07\x85R", 20_000),
        "entries of few"),
    "sets of one list": (
        lambda: sharing(b"(" + b"K\x01" * 50_000 + b"l",
                        name("__builtin__", "set") + b"h\x07\x85R", 20_000),
        "entries of few"),
    "calls of one list of arguments": (
        lambda: sharing(b"(" + b"K\x01" * 50_000 + b"t", name("torch", "Size") + b"h\x07R", 20_000),
        ""),
    "records of one state": (
        lambda: sharing(LONG_DICTIONARY, name("own", "Thing") + b")\x81h\x07b", 20_000),
        "share their parts"),
    "records of one state in two parts": (
        lambda: sharing(LONG_DICTIONARY, name("own", "Thing") + b")\x81Nh\x07\x86b", 20_000),
        "share their parts"),
    "networks of one dictionary": (
        lambda: sharing(
            LONG_DICTIONARY,
            name("own", "Net") + b")\x81}(" + text("_parameters") + b"h\x07" + text("_modules")
            + b"}ub", 20_000),
        "more than 400,000 parts"),
    "one long text as a thousand numbers": (
        lambda: sharing(
            call(name("_codecs", "encode"), text("x" * 400_000), text("latin1")),
            name("numpy.core.multiarray", "scalar") + b"(" + name("numpy", "dtype") + b"("
            + text("U100000") + b"tRh\x07tR", 1000),
        "claim more than"),
    "as much as is allowed": (
        lambda: HEAD + b"(" + (b"}]" + b"G?\xf0\x00\x00\x00\x00\x00\x01" * 12) * 280_000 + b"l.",
        ""),
    "names without end": (lambda: HEAD + b"c\n\n0" * 10**7 + b".", "absurdly long"),
    "appended one by one": (
        lambda: HEAD + name("collections", "deque") + b")R" + b"Na" * 10**6 + b".", ""),
    "set one by one": (
        lambda: HEAD + name("own", "Dictionary") + b")\x81" + b"NNs" * 10**6 + b".", ""),
    "one text a million times": (
        lambda: HEAD + text("x" * 10**6) + b"q\x00(" + b"h\x00" * 10**6 + b"l.", ""),
    "a pickle of 70 MB": (
        lambda: zipped(HEAD + text("x" * 70 * 10**6) + b"."), "has more than 64 MB beside"),
    "a zip of nothing but directory": (only_a_directory, "too many parts"),
    "a number seen a billion times": (
        lambda: checkpoint(tensor(size=long(10**9), stride=b"K\x00")), "claim more than 4,000 MB"),
    "numbers seen 2 ** 120 times": (
        lambda: checkpoint(tensor(size=long(2**59) * 2, stride=b"K\x00K\x00")),
        "size is impossible"),
    "a small tensor 100,000 times": (
        lambda: checkpoint(b"](" + tensor(size=b"M\x00\xff", stride=b"K\x00") * 10_000 + b"e"),
        "claim more than"),
    "numbers before the storage": (
        lambda: checkpoint(tensor(offset=long(-1))), "place in it is impossible"),
    "numbers after the storage": (
        lambda: checkpoint(tensor(offset=b"K\x01")), "beyond its numbers"),
    "a stride out of the storage": (
        lambda: checkpoint(tensor(size=b"K\x02", stride=b"K\x04")), "beyond its numbers"),
    "a stride backwards": (
        lambda: checkpoint(tensor(offset=b"K\x03", stride=long(-1))), "place in it is impossible"),
    "a negative size": (lambda: checkpoint(tensor(size=long(-4))), "place in it is impossible"),
    "a size of fractions": (
        lambda: checkpoint(tensor(size=b"G" + struct.pack(">d", 2))), "place in it is impossible"),
    "a size of truth": (lambda: checkpoint(tensor(size=b"\x88")), "place in it is impossible"),
    "more sizes than strides": (
        lambda: checkpoint(tensor(size=b"K\x02K\x02")), "place in it is impossible"),
    "a thousand dimensions": (
        lambda: checkpoint(tensor(size=b"K\x01" * 1000, stride=b"K\x01" * 1000)),
        "size is impossible"),
    "an empty tensor of absurd sides": (
        lambda: checkpoint(tensor(size=b"K\x00" + long(2**59) * 3, stride=b"K\x01" * 4)),
        "size is impossible"),
    "a storage larger than the file": (
        lambda: checkpoint(tensor(base=storage(long(10**12)))), "claims a tensor of"),
    "a storage of less than nothing": (
        lambda: checkpoint(tensor(base=storage(long(-4)))), "claims a tensor of"),
    "a storage that is not there": (
        lambda: checkpoint(tensor(base=storage(key=text("../../etc/passwd")))), "no numbers under"),
    "a storage without a name": (
        lambda: checkpoint(tensor(base=storage(key=b"]"))), "as PyTorch does"),
    "a storage of an unknown kind": (
        lambda: checkpoint(tensor(base=storage(kind="StringStorage"))), "unknown kind"),
    "a tensor of no storage": (
        lambda: checkpoint(tensor(base=text("none"))), "impossible arguments"),
    "a network that contains itself": (
        lambda: checkpoint(module(b"}" + text("a") + b"h\x01s")), ""),
    "networks shared at 50 levels": (lambda: checkpoint(levels_of_modules(50)), ""),
    "60,000 tensors": (lambda: many_tensors(60_000), ""),
    "60,000 tensors in the older layout": (
        lambda: many_tensors(60_000, _use_new_zipfile_serialization=False), ""),
    "150,000 tensors": (lambda: many_tensors(150_000), "absurdly long"),
    "a name of a tensor of 100,000 characters": (
        lambda: zipped(HEAD + b"}" + text("w" * 100_000) + tensor() + b"s.", data_0=bytes(16)), ""),
}  # fmt: skip


def shadowing() -> dict[str, bytes]:
    """A state that would hide the methods of a tensor or of a dictionary."""
    hide = b"}(" + b"".join(
        text(method) + b"K\x01"
        for method in ("element_size", "is_floating_point", "isfinite", "items", "values", "numel")
    ) + b"u"  # fmt: skip
    inner = call(name("collections", "OrderedDict")) + text("conv.weight") + tensor() + b"s"
    parameter = call(name("torch._utils", "_rebuild_parameter"), tensor(), b"\x88", b"}")
    return {
        "tensor": checkpoint(tensor() + hide + b"b"),
        "parameter": checkpoint(parameter + hide + b"b"),
        "dictionary": zipped(HEAD + inner + hide + b"b.", data_0=bytes(16)),
    }


assert pickle.loads(HEAD + tuples(3) + b".") == ((((), ()), ((), ())), (((), ()), ((), ())))
