"""What may import what, and how long and under which name code may be."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("animefer_core", "sweep")
MODULES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LONGEST = 70

CORE = {"torch", "torchvision", "timm", "numpy", "PIL", "sklearn", "safetensors", "animefer_core"}
# What these stand on: scikit-learn's arithmetic and timm's downloads.
CORE |= {"scipy", "huggingface_hub"}
# NVIDIA's own reader of its cards' counters, where it is installed.
CORE |= {"pynvml"}
TEACHES_NOTHING = {"utils", "util", "helpers", "helper", "misc", "common", "tools"}


def tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), str(path))


def name_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path, module: ast.Module) -> Iterator[str]:
    """Yield the full names of what a module imports, at any depth; of `from a import b` both a and a.b."""
    package = path.parent.parts
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            origin = ".".join((*above, *filter(None, [node.module])))
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)


class WithoutAnnotations(ast.NodeTransformer):
    """Drops the blocks under `if TYPE_CHECKING:`, which are never run."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" else node


def foreign(path: Path) -> set[str]:
    """Return the top names of what a module imports, the standard library left out."""
    return {name.partition(".")[0] for name in imported(path, tree(path))} - sys.stdlib_module_names


def in_room(room: str) -> list[Path]:
    return [path for path in MODULES if path.as_posix().startswith(f"{room}/")]


def loaded_by(module: str) -> set[str]:
    """Return the top names of the modules that importing one brings into a fresh process."""
    program = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("path", in_room("animefer_core"), ids=str)
def test_the_core_imports_nothing_but_the_science(path):
    assert foreign(path) <= CORE


@pytest.mark.parametrize("path", [path for path in MODULES if path.parts[:2] != ("sweep", "execution")], ids=str)
def test_only_execution_imports_ray(path):
    assert "ray" not in foreign(path)


def test_execution_does_import_ray():
    assert any("ray" in foreign(path) for path in in_room("sweep/execution"))


@pytest.mark.parametrize("path", in_room("sweep/statistics"), ids=str)
def test_statistics_import_arrays_and_nothing_of_the_house(path):
    own = {name for name in imported(path, tree(path)) if name.startswith("sweep.")}
    assert foreign(path) <= {"numpy", "scipy", "statsmodels", "sweep"}
    assert all(name.startswith("sweep.statistics") for name in own)


@pytest.mark.parametrize("path", in_room("sweep/report"), ids=str)
def test_the_report_imports_neither_torch_nor_ray(path):
    assert not foreign(path) & {"torch", "torchvision", "timm", "ray"}


def test_the_report_does_not_load_them_by_others_either():
    assert not loaded_by("sweep.report.page") & {"torch", "torchvision", "timm", "ray"}


def test_the_command_line_loads_nothing_heavy():
    heavy = {"torch", "torchvision", "timm", "ray", "pandas", "plotly", "numpy", "scipy", "sklearn", "PIL"}
    assert not loaded_by("sweep.cli.main") & heavy


def reached(graph: dict[str, set[str]], start: str) -> set[str]:
    """Return the modules that are imported by one, by those, and so on."""
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(graph[name])
    return seen


def test_imports_go_in_no_circle():
    names = {name_of(path) for path in MODULES}
    run = {path: WithoutAnnotations().visit(tree(path)) for path in MODULES}
    graph = {name_of(path): set(imported(path, run[path])) & names for path in MODULES}
    assert [name for name in sorted(names) if name in reached(graph, name)] == []


@pytest.mark.parametrize("path", [path for path in MODULES if path.name != "loop.py"], ids=str)
def test_functions_are_short(path):
    functions = [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [node.name for node in functions if node.end_lineno - node.lineno + 1 > LONGEST] == []


def test_every_file_is_named_after_what_is_inside():
    assert [path for path in MODULES if path.stem in TEACHES_NOTHING] == []
