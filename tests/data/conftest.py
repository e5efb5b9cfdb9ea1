"""Folders of the tests' own for what libraries keep."""

import sys

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """What the library makes of parquet files goes to a folder of the test's own."""
    if (datasets := sys.modules.get("datasets")) is not None:
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))
