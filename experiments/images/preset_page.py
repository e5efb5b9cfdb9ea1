"""The presets as the documentation shows them."""

from __future__ import annotations

from experiments.framework.penalty_options import NONE
from experiments.framework.tables import of_cells
from experiments.images.preset import Preset
from experiments.images.presets import PRESETS


def table() -> str:
    """All presets as a Markdown table, and their remarks."""
    rows = {name: cells(preset) for name, preset in PRESETS.items()}
    head = ["preset", *next(iter(rows.values()))]
    lines = [head, *([f"`{name}`", *row.values()] for name, row in rows.items())]
    remarks = [f"- `{name}`: {preset.remarks}" for name, preset in PRESETS.items()]
    return "\n".join([of_cells(lines), "", *remarks])


def cells(p: Preset) -> dict[str, str]:
    """A preset's row, without its name."""
    extras = [word for word, on in {"flips": p.flip, "dequantized": p.dequantize}.items() if on]
    labels = [] if p.classes is None else ["labels"]
    until = [f" to {step:,}" for step in p.change] + [""]
    sizes = ", ".join(f"{h:g}{end}" for h, end in zip(p.step_size, until, strict=True))
    penalty = [text for text in p.penalty if text != NONE]
    options = f" ({', '.join(p.option)})" if p.option else ""
    decay = {"exponential": f" {p.decay:g}", "uniform": f" from {p.uniform_from:,}"}
    return {
        "data": ", ".join([p.data, f"{p.size} px", *extras, *labels]),
        "networks": p.networks,
        "loss": p.loss,
        "solver": p.solver + options,
        "step size": sizes,
        "penalty": f"{' '.join(penalty)}, {p.placement}" if penalty else "-",
        "refresh": p.refresh,
        "batch": str(p.batch_size),
        "latent": str(p.latent),
        "average": ", ".join(name + decay[name] for name in p.averages) or "-",
        "metrics": f"{', '.join(p.metrics).replace('_', ' ')} of {p.samples:,}",
        "steps": f"{p.steps:,}",
    }
