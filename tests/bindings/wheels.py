"""Download the published Python modules of TensorRT, and read their names.

Only the modules, of about 1 MB each. Their libraries, of gigabytes, are replaced by empty ones:
a function that is called gives null, so that the module can be imported and does nothing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

#: Packages of PyPI by the version that `names.json` has.
WHEELS = {
    "8.6.1": "tensorrt-bindings==8.6.1",
    "10.3.0": "tensorrt-cu12-bindings==10.3.0",
    "10.7.0": "tensorrt-cu12-bindings==10.7.0",
    "10.13.3": "tensorrt-cu12-bindings==10.13.3.9",
    "10.16.1": "tensorrt-cu12-bindings==10.16.1.11",
    "11.0.0": "tensorrt-cu12-bindings==11.0.0.114",
    "11.4.0": "tensorrt-cu12-bindings==11.4.0.106",
}
FOLDER = Path(sys.prefix) / "bindings"

#: Runs in a process of its own, since two versions cannot be loaded into one.
READER = """
import importlib, json, sys
module = importlib.import_module("tensorrt_bindings.tensorrt")
public = lambda thing: sorted(name for name in dir(thing) if not name.startswith("_"))
wanted, found = json.load(sys.stdin), {"module": public(module), "classes": {}, "enums": {}}
for name in wanted["classes"]:
    if hasattr(module, name):
        found["classes"][name] = public(getattr(module, name))
for name in wanted["enums"]:
    kind = module.ILogger.Severity if name == "Severity" else getattr(module, name, None)
    if kind is not None:
        found["enums"][name] = {key: int(value) for key, value in kind.__members__.items()}
json.dump(found, sys.stdout)
"""


def download(version: str) -> str:
    """Download and unpack one module, unless it is there; return why that failed, or nothing."""
    folder = FOLDER / version
    if (folder / "tensorrt_bindings").is_dir():
        return ""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(FOLDER / "wheels"), WHEELS[version]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        return f"{WHEELS[version]}: {(errors or ['pip cannot download it'])[-1]}"
    name, _, number = WHEELS[version].partition("==")
    (wheel,) = (FOLDER / "wheels").glob(f"{name.replace('-', '_')}-{number}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return ""


def names_of(version: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the real names of the classes and enums of `wanted`, and all of the module.

    Raises:
        FileNotFoundError: the module is not downloaded, or a tool of the compiler is missing.
    """
    package = FOLDER / version / "tensorrt_bindings"
    if not package.is_dir():
        raise FileNotFoundError(f"TensorRT {version} is not downloaded: run `make test-names`")
    libraries = _empty_libraries(package / "tensorrt.so")
    # The package's own file needs more than the module, which is all that is looked at.
    (package / "__init__.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", READER],
        input=json.dumps(wanted),
        env={"PYTHONPATH": str(package.parent), "LD_LIBRARY_PATH": str(libraries)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _empty_libraries(module: Path) -> Path:
    """Make the libraries of TensorRT that a module is linked with; return their folder."""
    folder = module.parent.parent / "libraries"
    folder.mkdir(exist_ok=True)
    needed = [line.split("[")[1].rstrip("]\n") for line in _lines("readelf", "-d", module)]
    needed = [name for name in needed if name.startswith("libnv")]
    # Names without a version are not of the C library or of C++'s.
    symbols = [line.split()[-1] for line in _lines("nm", "-D", "--undefined-only", module)]
    own = [
        name
        for name in symbols
        if "@" not in name and not name.startswith(("Py", "_Py", "_ITM", "__"))
    ]
    source = "\n".join(f"void *{name}(void) {{ return 0; }}" for name in own)
    for name in needed:
        command = [_tool("cc"), "-shared", "-fPIC", "-w", "-x", "c", "-", "-o", folder / name]
        subprocess.run([*command, f"-Wl,-soname,{name}"], input=source, text=True, check=True)
        source = ""
    return folder


def _lines(tool: str, *arguments: object) -> list[str]:
    command = [_tool(tool), *map(str, arguments)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line for line in text.splitlines() if tool == "nm" or "(NEEDED)" in line]


@cache
def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed: `sudo apt install build-essential`")
    return found


if __name__ == "__main__":
    for each in WHEELS:
        if reason := download(each):
            print(f"TensorRT {each} is left out: {reason}", file=sys.stderr)
