"""What the app's words mean, for a reader who meets them first: one home, used wherever they stand.

Nothing here knows Streamlit.
"""

from __future__ import annotations

import re

WELCOME = (
    "See where a neural network looks: a layer with attention decides, place by place, how much of "
    "what it found in the photo goes on. **Yellow** places are let through, **dark violet** ones "
    "are held back."
)
"""What this is and what the colours mean; they are those of the default colour map and scale."""

GLOSSARY = {
    "gate": "A number that a layer multiplies by what passes through it: 0 holds it back, 1 lets "
    "it through unchanged.",
    "channel weight": "One gate for each channel of a layer (M_c in the paper). A channel responds "
    "to one kind of pattern: how much of that pattern goes on, in all places.",
    "spatial map": "One gate for each place (M_s in the paper): how much of what was found there "
    "goes on, in all channels. Colours over the photo are this map.",
    "cell": "A layer sees the photo as a coarse grid; a cell is one square of it.",
    "held back": "Multiplied by a number near 0: hardly anything of it goes on.",
    "let through": "Multiplied by a number near 1: it goes on as it is.",
    "verified": "What goes into the layer, multiplied by the gates that are shown, was compared "
    "with what comes out, and it is the same. So these are the gates that the network used.",
    "not verified": "What goes into the layer, multiplied by the gates that are shown, is not what "
    "comes out. So something else happens in this layer, and the gates are not all of it.",
    "untrained": "No training has changed these gates yet: they say nothing about the photo.",
    "flat": "The same nearly everywhere, so nothing is preferred to anything else.",
    "saturated": "Almost all at one end, closed or fully open, so little is told apart.",
    "nearly binary": "Almost all closed or fully open and hardly anything between, like a switch.",
    "logit": "The number that a network gives for a class before all of them are turned into "
    "probabilities. It still moves where a probability is stuck near 100 %.",
    "distribution shift": "Numbers of a kind that did not occur in training, so that what the "
    "network makes of them need not mean anything.",
}
"""Plain explanations by word, in the order in which they build on each other."""


def hint(*texts: str) -> str | None:
    """Explain every word of the glossary that stands in `texts`, for a widget's or text's `help`.

    Markdown, a paragraph each, in the glossary's order; None if there is none. "Not verified" is
    not "verified" as well.
    """
    rest = "\n".join(texts).lower()
    found = set()
    for word in sorted(GLOSSARY, key=len, reverse=True):
        rest, count = re.subn(rf"\b{word}s?\b", " ", rest)
        if count:
            found.add(word)
    lines = [f"**{word.capitalize()}**: {text}" for word, text in GLOSSARY.items() if word in found]
    return "\n\n".join(lines) or None
