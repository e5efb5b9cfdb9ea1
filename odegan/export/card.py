"""The text of a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypedDict

from odegan.utils.checks import argument_error

# File -> how to run it, with the shape of a latent and further arguments to fill in.
_USES = {
    "generator.pt": """import torch

generator.load_state_dict(torch.load("generator.pt"))  # generator: an instance of the class it was trained with
""",
    "generator.pt2": """import torch

generator = torch.export.load("generator.pt2").module()
samples = generator(torch.randn(16, {latent}){label_torch})
""",
    "generator.onnx": """import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("generator.onnx")
latent = np.random.randn(16, {latent}).astype(np.float32)
(samples,) = session.run(None, {{"latent": latent{label_numpy}}})
""",
}


class Facts(TypedDict):
    """The content of config.json: shapes of a latent and of a sample, labels, and the number of parameters."""

    latent: list[int]
    sample: list[int]
    conditional: bool
    classes: int | None
    parameters: int


def card(
    title: str,
    facts: Facts,
    files: Sequence[str],
    text: str,
    scores: Mapping[str, float],
    metadata: Mapping[str, object],
) -> str:
    """A model card in Markdown: a YAML header, the text, and how to run each of the files that are there."""
    images = len(facts["sample"]) == 3
    header: dict[str, object] = {"library_name": "odegan", "tags": ["gan", "odegan"]}
    header |= {"pipeline_tag": "unconditional-image-generation"} if images and not facts["conditional"] else {}
    parts = [_header(header | dict(metadata)), f"# {title}\n", text.strip() + "\n" if text.strip() else ""]
    if "samples.png" in files:
        rows = ", one row per class" if facts["classes"] is not None else ""
        parts.append(f"![samples](samples.png)\n\nRandom samples, not selected{rows}.\n")
    parts.append(_facts(facts))
    if scores:
        rows = "".join(f"| {name} | {value:.4g} |\n" for name, value in scores.items())
        parts.append(f"## Scores\n\n| score | value |\n| --- | --- |\n{rows}")
    parts.append("## Use\n")
    parts += [f"```python\n{_use(file, facts)}```\n" for file in files if file in _USES]
    return "\n".join(part for part in parts if part)


def _header(entries: Mapping[str, object]) -> str:
    """YAML between lines of dashes; every value as JSON, which is YAML."""
    try:
        lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in entries.items()]
    except TypeError as error:
        argument_error("metadata", str(error), "strings, numbers, and lists and dicts of these")
    return "\n".join(["---", *lines, "---", ""])


def _facts(facts: Facts) -> str:
    latent, sample = (" x ".join(map(str, shape)) for shape in (facts["latent"], facts["sample"]))
    labels = "" if facts["classes"] is None else f" from 0 to {facts['classes'] - 1}"
    labels = f" and a label{labels}" if facts["conditional"] else ""
    maps = f"latents of shape {latent}{labels} to samples of shape {sample}"
    return f"A generator with {facts['parameters']:,} parameters that maps {maps}.\n"


def _use(file: str, facts: Facts) -> str:
    conditional = facts["conditional"]
    classes = facts["classes"] or 1
    return _USES[file].format(
        latent=", ".join(map(str, facts["latent"])),
        label_torch=f", torch.arange(16) % {classes}" if conditional else "",
        label_numpy=f', "label": np.arange(16) % {classes}' if conditional else "",
    )
