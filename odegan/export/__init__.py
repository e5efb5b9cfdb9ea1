"""A trained generator as files that others can run: torch.export, ONNX, and a folder for a model hub."""

from odegan.export.hub_folder import folder
from odegan.export.portable import generator, onnx, program

__all__ = ["folder", "generator", "onnx", "program"]


def __dir__() -> list[str]:
    return __all__
