"""What each command says where a network has no gates: what it can be asked for in their place."""

from __future__ import annotations

from collections.abc import Mapping

from cbam_viz.errors import NoAttentionError

_SHOWN = "cbam-viz show IMAGE, with the same options of the network, says what it predicts or finds"
_DRAWN = (
    "--columns input,prediction, with gradcam:MODULE and its kin or occlusion, or input,detections "
    "of a detector"
)

ADVICE: Mapping[str, str] = {
    "show": "Without --layer and --output, show says what it predicts or finds.",
    "layers": f"{_SHOWN}.",
    "export": f"Export writes gates. {_SHOWN} (--json for programs), and cbam-viz figure draws it "
    f"with {_DRAWN}.",
    "figure": f"A figure of it needs columns without gates: {_DRAWN}. Beside a network that has "
    "gates it may stand as the second one: --compare FILE, or --model twice.",
    "steps": f"Steps are those from features to gates. {_SHOWN}.",
    "cost": "What CBAM costs, cbam-viz cost --architecture NAME tells of timm's networks.",
    "batch": f"A store holds gates. {_SHOWN}; cbam-viz evaluate measures Grad-CAM and others of "
    "its kind over many photos, with --layer for a module.",
    "watch": f"Watch follows gates. {_SHOWN}.",
    "effects": "Effects are those of other gates. cbam-viz evaluate measures Grad-CAM and others "
    "of its kind, with --layer for a module.",
}
"""By command: what to do instead, in its own words."""

TO_GET = (
    "A network has gates if CBAM or another such attention was in it when it was trained: give its "
    "checkpoint, or code of your own by --model FILE.py:FACTORY."
)


def of_a_photo(error: Exception) -> str:
    """Return what to say of a photo that is skipped; what to do is said once, at the end."""
    return error.reason if isinstance(error, NoAttentionError) else str(error)


def in_words_of(command: str | None, error: NoAttentionError) -> NoAttentionError:
    """Return the error with what to do on the command line in place of Python's functions."""
    advice = (ADVICE.get(command or "", ""), TO_GET)
    return NoAttentionError(error.reason, " ".join(filter(None, advice)))
