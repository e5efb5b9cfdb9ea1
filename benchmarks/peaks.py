"""Peak memory of a training run from its beginning."""

from __future__ import annotations

import importlib
from typing import Any

from benchmarks import networks
from benchmarks.worker import Task


def of_training(factory: str, keywords: dict[str, Any], steps: int = 3) -> Task:
    """facts: the bytes of one state, and the peak of a run by that factory of ``steps`` steps, its making included."""
    module, function = factory.split(":")
    make = getattr(importlib.import_module(f"benchmarks.{module}"), function)

    def whole() -> Task:
        task = make(steps=steps, **keywords)
        task.work()
        return task

    def facts() -> dict[str, Any]:
        state = sum(p.nbytes for module in networks.pair(keywords["case"]) for p in module.parameters())
        whole()  # what libraries allocate once is not the run's
        return {"bytes": networks.peak_memory(whole), "state": state}

    return Task(whole, facts=facts)
