"""Sources of encoded images with one interface: the hub, a local copy, parquet files, a folder."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, Protocol

from odegan.utils.checks import ArgumentError, argument_error, did_you_mean, one_line

HUB = {
    "cifar10": "uoft-cs/cifar10",
    "celeba": "flwrlabs/celeba",
    "imagenet": "ILSVRC/imagenet-1k",  # its license must first be accepted on the hub
}
SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
SPLITS = frozenset({"train", "test", "val", "valid", "validation"})
COLUMNS = ("image", "img", "jpg", "png", "webp")  # names of an image column, tried if there are several columns
CLASSES = ("label", "labels", "fine_label")  # names of a column of classes

Source = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class Encoded(Protocol):
    """Encoded images, read one at a time."""

    def __len__(self) -> int:
        """The number of images."""

    def read(self, i: int) -> bytes:
        """The bytes of the i-th image file."""

    def name(self, i: int) -> str:
        """The i-th image's name in error messages."""

    def targets(self) -> list[int]:
        """The images' classes."""

    def description(self, rows: Iterable[int]) -> object:
        """A description that identifies these images without reading them."""


@dataclass(frozen=True)
class Files:
    """Image files below one folder, sorted by path; and the other splits' folders, which may have further classes."""

    root: str
    paths: tuple[str, ...]
    others: tuple[str, ...] = ()

    def __len__(self) -> int:
        """The number of files."""
        return len(self.paths)

    def read(self, i: int) -> bytes:
        """The bytes of the i-th file."""
        return Path(self.name(i)).read_bytes()

    def name(self, i: int) -> str:
        """The i-th file's path."""
        return os.path.join(self.root, self.paths[i])

    def targets(self) -> list[int]:
        """The index of each file's subfolder in alphabetical order, among those of all splits."""
        # As torchvision's ImageFolder numbers them, so that labels agree with those of other code.
        folders = [path.split(os.sep)[0] if os.sep in path else "" for path in self.paths]
        if "" in folders:
            argument_error(
                "labels",
                True,
                f"False if images do not lie in a subfolder of their class, as {self.name(folders.index(''))}",
            )
        # Of all splits: one that lacks a class must not number the others differently.
        known = set(folders).union(*(_classes(Path(other)) for other in self.others))
        numbers = {folder: number for number, folder in enumerate(sorted(known))}
        return [numbers[folder] for folder in folders]

    def description(self, rows: Iterable[int]) -> list[object]:
        """The files' names and sizes."""
        return [[self.paths[i], os.path.getsize(self.name(i))] for i in rows]


@dataclass(frozen=True)
class Table:
    """A column of encoded images in a Hugging Face data set, which stays on disk."""

    rows: Any
    column: str
    title: str
    classes: str | None

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.rows)

    def read(self, i: int) -> bytes:
        """The bytes in the i-th row, or those of the file that it names."""
        value = self.rows[i][self.column]
        # The hub's form of an image: {"bytes": ..., "path": ...}, of which one may be None.
        if isinstance(value, dict):
            value = value["bytes"] if value.get("bytes") is not None else Path(value["path"]).read_bytes()
        if not isinstance(value, bytes):
            raise TypeError(f"column {self.column!r} holds {type(value).__name__}")
        return value

    def name(self, i: int) -> str:
        """The table, the row, and the file name if the row has one."""
        value = self.rows[i][self.column]
        path = value.get("path") if isinstance(value, dict) else None
        return f"{self.title}, row {i}" + (f" ({path})" if path else "")

    def targets(self) -> list[int]:
        """The column of classes."""
        if self.classes is None:
            argument_error("labels", True, f"False if the table has no column of classes, as {self.title!r}")
        return [int(number) for number in self.rows[self.classes]]

    def description(self, rows: Iterable[int]) -> str:
        """The library's own fingerprint of the whole table."""
        return str(self.rows._fingerprint)


def find(source: Source, split: str) -> Encoded:
    """The encoded images of a source; see ``odegan.data.images`` for what it may be.

    Raises:
        ArgumentError: there are no images, the split is missing, or the hub cannot be reached.
    """
    if isinstance(source, list | tuple):
        return _parquet([_existing(one) for one in source], str(source[0]) if source else "an empty list")
    if not isinstance(source, str | os.PathLike):
        argument_error("source", source, f"one of {', '.join(HUB)}, or a path")
    # A local folder of this name wins over the hub: it was put there on purpose.
    if isinstance(source, str) and source in HUB and not Path(source).exists():
        return from_hub(source, HUB[source], split)
    path = _existing(source)
    if path.is_file():
        return _parquet([path], str(path))
    if any((path / name).exists() for name in ("dataset_info.json", "dataset_dict.json")):
        return _from_disk(path, split)
    return parquet_folder(path, split) if any(path.rglob("*.parquet")) else _folder(path, split)


def parquet_folder(path: Path, split: str) -> Table:
    """The table of a split in a folder of parquet files."""
    return _parquet(_tables_of_split(path, sorted(path.rglob("*.parquet")), split), str(path))


def _existing(source: str | os.PathLike[str]) -> Path:
    path = Path(os.path.expanduser(source))  # pathlib's own raises at a ~ that names nobody's home
    if not path.exists():
        near = did_you_mean(source, HUB)
        argument_error("source", str(source), f"one of {', '.join(HUB)}, or an existing path{near}")
    return path


def _folder(path: Path, split: str) -> Files:
    """All images below the subfolder named after the split, or below the folder if there is none."""
    found = sorted(SPLITS & {part.name for part in path.iterdir() if part.is_dir()})
    others: tuple[str, ...] = ()
    if (path / split).is_dir():
        others = tuple(str(path / name) for name in found if name != split)
        path = path / split
    elif found or split not in ("train", path.name):
        _no_split(path, split, found)
    paths = tuple(sorted(os.path.relpath(file, path) for file in _images(path)))
    if not paths:
        argument_error(
            "source", str(path), f"a folder with images in it ({', '.join(sorted(SUFFIXES))}) or parquet files"
        )
    return Files(str(path), paths, others)


def _images(folder: Path) -> Iterator[str]:
    """The paths of all images below a folder."""
    for inner, _, files in os.walk(folder):
        yield from (os.path.join(inner, name) for name in files if os.path.splitext(name)[1].lower() in SUFFIXES)


def _classes(split: Path) -> set[str]:
    """The subfolders of a split's folder with images in them."""
    return {part.name for part in split.iterdir() if part.is_dir() and any(True for _ in _images(part))}


def _tables_of_split(path: Path, tables: list[Path], split: str) -> list[Path]:
    """The parquet files with the split in their path, as on the hub; all of them if no path names a split."""
    # Whole words: the split "test" must not match a folder named "latest".
    words = {table: set(re.findall("[a-z]+", str(table.relative_to(path)).lower())) for table in tables}
    found = sorted(set().union(*words.values()) & SPLITS)
    chosen = [table for table in tables if split in words[table]]
    if not chosen and (found or split not in ("train", path.name)):
        _no_split(path, split, found)
    return chosen or tables


def _no_split(path: Path, split: str, found: Iterable[str]) -> NoReturn:
    argument_error("split", split, f"a split of {str(path)!r}, which has {', '.join(found) or 'only one: train'}")


def _parquet(paths: list[Path], label: str) -> Table:
    files = [str(path) for path in paths]
    if not files or any(path.is_dir() or path.suffix != ".parquet" for path in paths):
        argument_error("source", label, "a folder, or parquet files")
    datasets = _library()
    try:
        rows = datasets.load_dataset("parquet", data_files=files, split="train")
    except Exception as error:
        raise ArgumentError(f"source: got {label!r}, which cannot be read ({_cause(error)})") from error
    return _table(rows, label)


def _from_disk(path: Path, split: str) -> Table:
    try:
        rows = _library().load_from_disk(str(path))
    except ArgumentError:
        raise
    except Exception as error:
        raise ArgumentError(f"source: got {str(path)!r}, which cannot be read ({_cause(error)})") from error
    if isinstance(rows, dict):
        if split not in rows:
            _no_split(path, split, rows)
        rows = rows[split]
    elif split not in (str(rows.split), path.name) and (rows.split is not None or split != "train"):
        _no_split(path, split, [str(rows.split)] if rows.split is not None else [])
    return _table(rows, str(path))


def from_hub(name: str, repository: str, split: str) -> Table:
    """A data set on the Hugging Face hub. name: what users call it."""
    datasets = _library()
    try:
        with _quiet_retries():
            rows = datasets.load_dataset(repository, split=split)
    except Exception as error:
        raise ArgumentError(
            f"source: got {name!r} with split {split!r}, which the hub did not give ({_cause(error)}); without a network, "
            f"run 'hf download {repository} --repo-type dataset --local-dir DIR' where there is one, and give DIR as source"
        ) from error
    return _table(rows, repository)


def _table(rows: Any, title: str) -> Table:
    """The column of encoded images, left undecoded, and the column of classes if there is one."""
    import datasets

    def holds_images(feature: object) -> bool:
        if isinstance(feature, dict):
            return "bytes" in feature
        binary = isinstance(feature, datasets.Value) and feature.dtype in ("binary", "large_binary")
        return binary or isinstance(feature, datasets.Image)

    columns = [name for name, feature in rows.features.items() if holds_images(feature)]
    column = next((name for name in COLUMNS if name in columns), columns[0] if len(columns) == 1 else None)
    if column is None:
        argument_error(
            "source", title, f"a table with one column of encoded images; its columns are {', '.join(rows.features)}"
        )
    if isinstance(rows.features[column], datasets.Image):
        # Decoding is left to Pillow in ``decoding``, so that all sources give the same levels.
        rows = rows.cast_column(column, datasets.Image(decode=False))
    classes = next((name for name in CLASSES if name in rows.features), None)
    # Reading a row decodes all its columns, also those that nobody needs.
    return Table(rows.select_columns([column] if classes is None else [column, classes]), column, title, classes)


def _library() -> ModuleType:
    try:
        import datasets
    except ImportError as error:
        raise ArgumentError(
            "source: the hub, its copies and parquet files need Hugging Face datasets: pip install 'odegan[images]'"
        ) from error
    return datasets


@contextlib.contextmanager
def _quiet_retries() -> Iterator[None]:
    """Hide the hub library's warning about every failed attempt; the final error says it once."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _cause(error: BaseException) -> str:
    """The innermost cause of an error, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return one_line(error) if isinstance(error, Exception) and str(error) else type(error).__name__
