"""The scripts of the parts drawn in a browser, which are read as one: that they fit together."""

import re
from collections import Counter
from typing import Any

import pytest

from cbam_viz.ui.parts import components

DECLARED = re.compile(r"^(?:export default )?(?:function|const|let|class)\s+([\w$]+)", re.MULTILINE)
LOCAL = re.compile(r"\b(?:const|let|function)\s+([\w$]+)")
UNPACKED = re.compile(r"\b(?:const|let)\s+[\[{]([^=]*?)[\]}]\s*=")
GIVEN = re.compile(r"\(([^()]*)\)\s*(?:=>|\{)|([\w$]+)\s*=>")
CALLED = re.compile(r"(?<![\w$.])([A-Za-z_$][\w$]*)\(")
ASIDE = re.compile(r"//[^\n]*|/\^[^/\n]*/|`[^`]*`|\"[^\"\n]*\"")
LANGUAGE = {
    "if", "for", "while", "switch", "function", "return", "catch", "of", "in",
    "Array", "Boolean", "Map", "Math", "Number", "Set", "String", "WeakMap", "Float64Array",
    "parseFloat", "parseInt", "isNaN", "fetch", "Image", "Blob", "File", "FileReader", "Path2D",
    "ResizeObserver", "IntersectionObserver", "MutationObserver", "requestAnimationFrame",
    "cancelAnimationFrame", "setTimeout", "clearTimeout", "Error", "Uint8Array", "DataTransfer",
    "Event", "AbortController", "URL", "clearInterval", "setInterval",
    "getComputedStyle", "matchMedia", "Promise", "Date", "createImageBitmap", "atob",
}  # fmt: skip
"""What stands before a bracket and is declared nowhere: the language's words and the browser's."""


@pytest.fixture
def script(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a browser gets of one part."""
    made: list[dict[str, Any]] = []

    def component(name: str, **parts: Any) -> Any:
        made.append(parts)
        return lambda **_: None

    components._component.cache_clear()
    monkeypatch.setattr(components.st.components.v2, "component", component)
    getattr(components, request.param)({}, key="any")
    components._component.cache_clear()
    text: str = made[0]["js"]
    return text


@pytest.mark.parametrize("script", components.__all__, indirect=True)
def test_no_name_is_declared_twice(script: str) -> None:
    """A browser refuses the whole part otherwise."""
    counts = Counter(DECLARED.findall(script))
    assert [name for name, count in counts.items() if count > 1] == []
    assert counts  # the pattern finds something


@pytest.mark.parametrize("script", components.__all__, indirect=True)
def test_whatever_is_called_is_there(script: str) -> None:
    code = ASIDE.sub('""', script)
    known = {*LANGUAGE, *DECLARED.findall(code), *LOCAL.findall(code)}
    for names in (*UNPACKED.findall(code), *map("".join, GIVEN.findall(code))):
        known.update(re.findall(r"[\w$]+", names))
    assert sorted(set(CALLED.findall(code)) - known) == []
