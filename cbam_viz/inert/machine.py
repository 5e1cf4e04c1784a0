"""The pickle machine without objects: instructions in, a table of nodes out.

Each instruction takes constant time, and steps, nodes and lengths are limited, so that the time is
linear in the file's length. Nothing is hashed but short texts and memo numbers: nested tuples as
the key of a dictionary, exponential for whoever hashes them, are two entries of a list here.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from cbam_viz._text import quoted
from cbam_viz.errors import CheckpointError
from cbam_viz.inert.nodes import HOW_TO_CONVERT, Node, Value, damaged

SECONDS = 5
"""Processor time that one pickle may take."""
MAX_STEPS = 4_000_000
"""Instructions of one pickle; a network of 60,000 tensors takes one and a half million."""
MAX_NODES = 600_000
"""A tensor takes six."""
_STEPS_BETWEEN = 50_000
"""The clock is looked at so often."""
_MAX_NAME = 200
_MAX_INTEGER_BYTES = 128
_LONG_TEXT = 40
"""Longer texts are nodes, so that one that is used often is held and sent once."""

_BROKEN = (
    IndexError, struct.error, KeyError, ValueError, TypeError, AttributeError, OverflowError,
)  # fmt: skip
"""What the machine meets where an instruction lacks its data or its values."""


def _too_long(what: str) -> CheckpointError:
    return CheckpointError(
        f"The file's list of tensors is absurdly long (more than {what}); not opened. "
        f"{HOW_TO_CONVERT}"
    )


class Machine:
    """One pickle in `data`; after `run`, `end` is where it ended."""

    def __init__(self, data: bytes, start: int = 0) -> None:
        self.data = data
        self.end = start
        self.nodes: list[Node] = []
        self.stack: list[Any] = []
        self._below: list[list[Any]] = []
        """What lies under each mark."""
        self.memo: dict[int, Value] = {}
        self._names: dict[str, Node] = {}
        self._nothing: Node | None = None
        """The empty tuple: one for all, as in Python."""

    def run(self) -> Value:
        """Return the value that the pickle stands for.

        Raises:
            CheckpointError: it is damaged, exceeds a limit, or has instructions that torch does not
                write.
        """
        latest = time.thread_time() + SECONDS
        try:
            for _ in range(MAX_STEPS // _STEPS_BETWEEN):
                if self._reaches_stop():
                    value: Value = self.stack.pop()
                    return value
                if time.thread_time() > latest:
                    raise _too_long(f"{SECONDS} seconds of reading")
        except _BROKEN as error:
            raise damaged(f"its pickle is broken at byte {self.end}") from error
        raise _too_long(f"{MAX_STEPS:,} instructions")

    def _reaches_stop(self) -> bool:
        data, handlers = self.data, _HANDLERS
        for _ in range(_STEPS_BETWEEN):
            code = data[self.end]
            self.end += 1
            if code == _STOP:
                return True
            handlers[code](self)
        return False

    # What the instructions share.

    def _take(self, length: int) -> bytes:
        taken = self.data[self.end : self.end + length]
        if len(taken) != length:
            raise IndexError
        self.end += length
        return taken

    def _number(self, layout: struct.Struct) -> Any:
        (number,) = layout.unpack_from(self.data, self.end)
        self.end += layout.size
        return number

    def _line(self) -> str:
        end = self.data.index(b"\n", self.end, self.end + 4 * _MAX_NAME)
        line = self.data[self.end : end].decode()
        self.end = end + 1
        return line

    def _node(self, kind: str, items: Any) -> Node:
        if len(self.nodes) >= MAX_NODES:
            raise _too_long(f"{MAX_NODES:,} parts")
        node = Node(kind, items, len(self.nodes))
        self.nodes.append(node)
        return node

    def _push_node(self, kind: str, items: Any) -> None:
        self.stack.append(self._node(kind, items))

    def _marked(self) -> list[Any]:
        """Take what lies above the last mark."""
        above, self.stack = self.stack, self._below.pop()
        return above

    # Values.

    def constant(self, value: Value) -> None:
        self.stack.append(value)

    def long(self, layout: struct.Struct) -> None:
        length = self._number(layout)
        if length > _MAX_INTEGER_BYTES:
            raise _absurd_integer()
        self.stack.append(int.from_bytes(self._take(length), "little", signed=True))

    def integer_line(self) -> None:
        text = self._line().rstrip("L")
        if len(text) > 2 * _MAX_INTEGER_BYTES:
            raise _absurd_integer()
        self.stack.append({"00": False, "01": True}[text] if text in {"00", "01"} else int(text))

    def float_line(self) -> None:
        self.stack.append(float(self._line()))

    def unicode(self, layout: struct.Struct) -> None:
        self._text(str(self._take(self._number(layout)), "utf-8", "surrogatepass"))

    def _text(self, text: str) -> None:
        self.stack.append(text if len(text) <= _LONG_TEXT else self._node("text", text))

    def old_text(self, layout: struct.Struct) -> None:
        """A text of Python 2, or its bytes."""
        content = self._take(self._number(layout))
        if content.isascii():
            self._text(content.decode())
        else:
            self._push_node("bytes", content)

    def binary(self, layout: struct.Struct) -> None:
        self._push_node("bytes", self._take(self._number(layout)))

    # Containers.

    def empty(self, kind: str) -> None:
        self._push_node(kind, [])

    def empty_tuple(self) -> None:
        if self._nothing is None:
            self._nothing = self._node("tuple", [])
        self.stack.append(self._nothing)

    def last(self, count: int) -> None:
        """Make a tuple of the last values."""
        if len(self.stack) < count:
            raise IndexError
        items = self.stack[-count:]
        del self.stack[-count:]
        self._push_node("tuple", items)

    def collect(self, kind: str) -> None:
        values = self._marked()
        if kind == "dict" and len(values) % 2:
            raise IndexError
        self._push_node(kind, values)

    def append(self) -> None:
        value = self.stack.pop()
        self._add("list", [value])

    def appends(self) -> None:
        values = self._marked()
        self._add("list", values)

    def set_item(self) -> None:
        if len(self.stack) < 2:
            raise IndexError
        pair = self.stack[-2:]
        del self.stack[-2:]
        self._add("dict", pair)

    def set_items(self) -> None:
        values = self._marked()
        self._add("dict", values)

    def add_items(self) -> None:
        values = self._marked()
        self._add("set", values)

    def _add(self, kind: str, values: list[Any]) -> None:
        """Add to a container, or note what would be added to an object."""
        target = self.stack[-1]
        if kind == "dict" and len(values) % 2:
            raise IndexError
        if target.kind == kind:
            target.items.extend(values)
        elif target.kind == "call":
            self._note(target, "pairs" if kind == "dict" else "items", values)
        else:
            raise TypeError

    @staticmethod
    def _note(node: Node, what: str, values: Any) -> None:
        if node.more is None:
            node.more = []
        node.more += (what, values)

    # The stack and the memo.

    def mark(self) -> None:
        self._below.append(self.stack)
        self.stack = []

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self._marked()

    def pop_mark(self) -> None:
        self._marked()

    def duplicate(self) -> None:
        self.stack.append(self.stack[-1])

    def memoize(self) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    # What would be code.

    def name_lines(self) -> None:
        self._name(self._line(), self._line())

    def name_on_stack(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not (isinstance(name, (str, Node)) and isinstance(module, (str, Node))):
            raise TypeError
        self._name(_short(module), _short(name))

    def _name(self, module: str, name: str) -> None:
        whole = f"{module}.{name}"
        if len(whole) > _MAX_NAME:
            raise CheckpointError(
                f"The file names a class of {len(whole):,} characters, {quoted(whole, 40)}; it was "
                "made to do harm and not opened."
            )
        if not whole.isprintable():
            raise ValueError
        if whole not in self._names:
            self._names[whole] = self._node("name", whole)
        self.stack.append(self._names[whole])

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self._push_node("call", [function, arguments])

    def call_with_keywords(self) -> None:
        keywords, arguments, function = (self.stack.pop() for _ in range(3))
        self._push_node("call", [function, arguments, keywords])

    def build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if not isinstance(target, Node):
            raise TypeError
        self._note(target, "state", [state])

    def persistent(self) -> None:
        identifier = self.stack.pop()
        items: list[Any] = identifier.items if identifier.kind in {"tuple", "storage"} else []
        if len(items) >= 5 and items[0] == "storage":
            identifier.kind = "storage"  # nothing else needs the tuple
            self.stack.append(identifier)
        elif len(items) >= 2 and items[0] == "module":  # a class, with its source text beside it
            self.stack.append(items[1])
        else:
            raise CheckpointError(
                "The file does not describe its tensors as PyTorch does (an unknown persistent "
                "identifier); not opened."
            )

    # Framing, and what is not taken.

    def protocol(self) -> None:
        version = self.data[self.end]
        self.end += 1
        if version > 5:
            raise damaged(f"pickle protocol {version}; there are 0 to 5")

    def frame(self) -> None:
        self._number(_U8)

    def refuse(self, name: str) -> None:
        raise CheckpointError(
            f"The file uses the pickle instruction {name}, which PyTorch does not write; not "
            f"opened. {HOW_TO_CONVERT}"
        )


def _short(text: str | Node) -> str:
    if isinstance(text, str):
        return text
    if text.kind != "text":
        raise TypeError
    whole: str = text.items
    return whole


def _absurd_integer() -> CheckpointError:
    return CheckpointError(
        "The file holds a whole number of more than 300 digits, which no checkpoint needs; not "
        f"opened. {HOW_TO_CONVERT}"
    )


_U1 = struct.Struct("<B")
_U2 = struct.Struct("<H")
_U4 = struct.Struct("<I")
_U8 = struct.Struct("<Q")
_S4 = struct.Struct("<i")
_F8 = struct.Struct(">d")
_STOP = ord(".")

_Handler: TypeAlias = Callable[[Machine], None]


def _with(handler: Callable[[Machine, Any], None], argument: Any) -> _Handler:
    return lambda machine: handler(machine, argument)


# The three instructions that most of a checkpoint consists of, without a call inside a call.


def _number(layout: struct.Struct) -> _Handler:
    unpack, size = layout.unpack_from, layout.size

    def push(machine: Machine) -> None:
        machine.stack += unpack(machine.data, machine.end)
        machine.end += size

    return push


def _put(layout: struct.Struct) -> _Handler:
    unpack, size = layout.unpack_from, layout.size

    def put(machine: Machine) -> None:
        machine.memo[unpack(machine.data, machine.end)[0]] = machine.stack[-1]
        machine.end += size

    return put


def _get(layout: struct.Struct) -> _Handler:
    unpack, size = layout.unpack_from, layout.size

    def get(machine: Machine) -> None:
        machine.stack.append(machine.memo[unpack(machine.data, machine.end)[0]])
        machine.end += size

    return get


def _unknown(machine: Machine) -> None:
    raise damaged(f"no pickle instruction at byte {machine.end - 1}")


_INSTRUCTIONS: dict[bytes, _Handler] = {
    b"\x80": Machine.protocol,
    b"\x95": Machine.frame,
    b"N": _with(Machine.constant, None),
    b"\x88": _with(Machine.constant, True),
    b"\x89": _with(Machine.constant, False),
    b"K": _number(_U1),
    b"M": _number(_U2),
    b"J": _number(_S4),
    b"G": _number(_F8),
    b"\x8a": _with(Machine.long, _U1),
    b"\x8b": _with(Machine.long, _U4),
    b"I": Machine.integer_line,
    b"L": Machine.integer_line,
    b"F": Machine.float_line,
    b"\x8c": _with(Machine.unicode, _U1),
    b"X": _with(Machine.unicode, _U4),
    b"\x8d": _with(Machine.unicode, _U8),
    b"U": _with(Machine.old_text, _U1),
    b"T": _with(Machine.old_text, _U4),
    b"C": _with(Machine.binary, _U1),
    b"B": _with(Machine.binary, _U4),
    b"\x8e": _with(Machine.binary, _U8),
    b"\x96": _with(Machine.binary, _U8),
    b"]": _with(Machine.empty, "list"),
    b"}": _with(Machine.empty, "dict"),
    b")": Machine.empty_tuple,
    b"\x8f": _with(Machine.empty, "set"),
    b"\x85": _with(Machine.last, 1),
    b"\x86": _with(Machine.last, 2),
    b"\x87": _with(Machine.last, 3),
    b"t": _with(Machine.collect, "tuple"),
    b"l": _with(Machine.collect, "list"),
    b"d": _with(Machine.collect, "dict"),
    b"\x91": _with(Machine.collect, "frozenset"),
    b"a": Machine.append,
    b"e": Machine.appends,
    b"s": Machine.set_item,
    b"u": Machine.set_items,
    b"\x90": Machine.add_items,
    b"(": Machine.mark,
    b"0": Machine.pop,
    b"1": Machine.pop_mark,
    b"2": Machine.duplicate,
    b"q": _put(_U1),
    b"r": _put(_U4),
    b"\x94": Machine.memoize,
    b"h": _get(_U1),
    b"j": _get(_U4),
    b"c": Machine.name_lines,
    b"\x93": Machine.name_on_stack,
    b"R": Machine.call,
    b"\x81": Machine.call,
    b"\x92": Machine.call_with_keywords,
    b"b": Machine.build,
    b"Q": Machine.persistent,
    **{
        code: _with(Machine.refuse, name)
        for code, name in {
            b"P": "PERSID", b"i": "INST", b"o": "OBJ", b"S": "STRING", b"V": "UNICODE",
            b"p": "PUT", b"g": "GET", b"\x82": "EXT1", b"\x83": "EXT2", b"\x84": "EXT4",
            b"\x97": "NEXT_BUFFER", b"\x98": "READONLY_BUFFER",
        }.items()
    },
}  # fmt: skip

_HANDLERS = [_INSTRUCTIONS.get(bytes([code]), _unknown) for code in range(256)]
