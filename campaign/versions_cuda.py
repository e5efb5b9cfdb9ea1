"""torch without CUDA's gigabytes: the package index has wheels for Linux that are built for CUDA, and no others.

Such a wheel does not load without CUDA's libraries, of which the CPU needs none. Here they are replaced by libraries with the
same names and symbols that do nothing but answer with an error, so that torch finds no device. Needs gcc and binutils.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

NO_DEVICE = 100  # cudaErrorNoDevice
_OURS = re.compile(r"lib(cu|nccl|nv)")


def without_cuda(torch: Path, stubs: Path) -> None:
    """Forget what the installed ``torch`` (its folder in site-packages) requires of CUDA; put libraries into ``stubs``, for
    LD_LIBRARY_PATH.
    """
    (metadata,) = torch.parent.glob("torch-*.dist-info/METADATA")
    kept = re.sub(r"^Requires-Dist: (nvidia|triton|cuda).*\n", "", metadata.read_text(), flags=re.MULTILINE)
    metadata.write_text(kept)
    stubs.mkdir(parents=True, exist_ok=True)
    libraries = [path for path in (torch / "lib").iterdir() if ".so" in path.name]
    versions, symbols = _wanted(libraries)
    have = {path.name for path in libraries}
    loose = [name for name, version in symbols.items() if not version and re.match(r"(cu|nccl|nv)[A-Za-z_]", name)]
    for library in versions.keys() - have:
        of = {v: [name for name, version in symbols.items() if version == v] for v in versions[library]}
        # Symbols without a version may be in any library that torch loads; all of them load these two.
        extra = loose if library.startswith(("libcuda.so", "libnccl")) else []
        _compile(stubs / library, of, extra)


def _wanted(libraries: list[Path]) -> tuple[dict[str, set[str]], dict[str, str]]:
    """Of CUDA's libraries: name -> the versions of symbols that are wanted of it; and symbol -> version, or nothing."""
    versions: dict[str, set[str]] = {}
    wanted: dict[str, str] = {}
    defined: set[str] = set()
    for path in libraries:
        for name in re.findall(r"NEEDED.*\[(\S+)\]", _said("readelf", "-d", path)):
            versions.setdefault(name, set())
        for part in _said("readelf", "-V", path).split("File: ")[1:]:
            versions.setdefault(part.split()[0], set()).update(re.findall(r"Name: (\S+)", part))
        defined |= {
            line.split()[-1].partition("@")[0] for line in _said("nm", "-D", "--defined-only", path).splitlines()
        }
        for line in _said("nm", "-D", "--undefined-only", path).splitlines():
            name, _, version = line.split()[-1].partition("@")
            wanted[name] = version.strip("@")
    return (
        {name: found for name, found in versions.items() if _OURS.match(name)},
        {name: version for name, version in wanted.items() if name not in defined},
    )


def _compile(target: Path, symbols: dict[str, list[str]], extra: list[str]) -> None:
    names = [name for group in symbols.values() for name in group] + extra
    source = target.parent / "stub.c"
    script = target.parent / "stub.map"
    source.write_text("\n".join(f"long {name}(void) {{ return {NO_DEVICE}; }}" for name in names) + "\n")
    nodes = "".join(
        f"{version} {{ global: {' '.join(f'{n};' for n in group)} }};\n" for version, group in symbols.items()
    )
    script.write_text(nodes or "{ global: *; };\n")
    flags = ["-shared", "-fPIC", "-w", "-fno-builtin", f"-Wl,-soname,{target.name}", f"-Wl,--version-script={script}"]
    subprocess.run(["gcc", *flags, "-o", target, source], check=True)


def _said(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
