"""The text of a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypedDict

from odegan.utils.checks import argument_error

# File -> how to run it, with the lines that make latents and further arguments to fill in.
_USES = {
    "generator.pt": """import torch

generator.load_state_dict(torch.load("generator.pt"))  # generator: an instance of the class it was trained with
""",
    "generator.pt2": """{numpy}import torch

generator = torch.export.load("generator.pt2").module()
latent = {latent_torch}
samples = generator(latent{label_torch})
""",
    "generator.onnx": """import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("generator.onnx")
latent = {latent_numpy}
(samples,) = session.run(None, {{"latent": latent{label_numpy}}})
""",
}


LATENTS = "latents.npy"  # examples of latents that a function draws
EXAMPLES = 16  # samples that the uses draw


class Facts(TypedDict):
    """The content of config.json: shapes and types of latents and samples, labels, and the number of parameters.

    ``normal``: whether latents are standard normal, or drawn by a function, of which ``latents.npy`` has examples.
    """

    latent: list[int]
    dtype: str
    normal: bool
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
    kind = f"{'standard normal ' if facts['normal'] else ''}latents ({facts['dtype']}) of shape {latent}"
    drawn = "" if facts["normal"] else f" A function draws the latents, of which `{LATENTS}` has {EXAMPLES}."
    maps = f"{kind}{labels} to samples of shape {sample}"
    return f"A generator with {facts['parameters']:,} parameters that maps {maps}.{drawn}\n"


def _use(file: str, facts: Facts) -> str:
    conditional = facts["conditional"]
    classes = facts["classes"] or 1
    shape = ", ".join(map(str, [EXAMPLES, *facts["latent"]]))
    dtype = facts["dtype"]
    stored = f'np.load("{LATENTS}")'
    whole = "int" in dtype
    return _USES[file].format(
        numpy="" if facts["normal"] else "import numpy as np\n",
        latent_torch=(
            f"torch.randn({shape}, dtype=torch.{dtype})"
            if facts["normal"]
            else f"torch.from_numpy({stored}).to(torch.{dtype})  # or others of their distribution"
        ),
        # ONNX's floating-point numbers are float32.
        latent_numpy=(
            f"np.random.randn({shape}).astype(np.float32)"
            if facts["normal"]
            else f"{stored}.astype(np.{dtype if whole else 'float32'})  # or others of their distribution"
        ),
        label_torch=f", torch.arange({EXAMPLES}) % {classes}" if conditional else "",
        label_numpy=f', "label": np.arange({EXAMPLES}) % {classes}' if conditional else "",
    )
