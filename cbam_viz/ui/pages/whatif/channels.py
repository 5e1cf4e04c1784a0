"""Channel by channel: are those of large weights the ones that matter for the class?"""

from __future__ import annotations

import streamlit as st

from cbam_viz.ablation import Aim
from cbam_viz.charts import importance_chart
from cbam_viz.ui import words
from cbam_viz.ui.glossary import hint
from cbam_viz.ui.pages.whatif import measured
from cbam_viz.ui.pages.whatif.choice import pick_layer
from cbam_viz.ui.parts.progress import progress
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.session import control


def draw(scene: Scene, aim: Aim) -> None:
    """On demand: it takes two runs of the network for each channel, many at once."""
    names = [name for name, one in scene.layers.items() if one.channel is not None]
    if not names:
        return
    st.subheader("Are large weights the important ones?", anchor=False)
    if aim.kind != "class":
        st.info(
            "How much a channel matters is measured by the logit of a class, and this network "
            "gives none. In Python, cbam_viz.effects takes any function of the output."
        )
        return
    shown = scene.layer().name
    default = shown if shown in names else names[-1]
    picked = pick_layer(scene, "Layer whose channels are tried", "of", names, default)
    count = scene.layers[picked].channel.shape[1]  # type: ignore[union-attr]
    tried = min(count, measured.CHANNELS)
    some = f"{tried} of {count}" if tried < count else f"all {count}"
    wanted = st.toggle(
        f"Try {some} channels",
        help=f"Each channel's gate is set to 0 and to 1, all others stay. {hint('logit') or ''}",
        **control("channels", False),
    )
    if not wanted:
        return
    with progress("Closing and opening each channel …") as report:
        found = measured.importance(scene, picked, aim, report)
    if isinstance(found, str):
        st.info(words.plain(found))
        return
    st.markdown(words.plain(found.sentence))
    spec = importance_chart(found.channels, found.weights, found.closed, found.opened)
    st.vega_lite_chart(spec=spec, width="stretch", key="whatif_importance")
    least = (
        f" {tried} of {count} channels were tried, evenly spaced in order of weight."
        if tried < count
        else ""
    )
    st.caption(
        words.plain(
            f"Each channel has two points above its weight: how much {aim.label}'s logit changes "
            "when its gate is closed (0), and when it is opened (1). The correlation is between "
            "the weight and the size of the change on closing, by ranks; its interval is a "
            f"bootstrap's, over channels.{least}"
        )
    )
