"""Digests of the code that no count reaches: what a host does around its kernels, and kernels for CPUs.

Nothing but a clock says what a change there costs, so a change there is not passed in silence. Comments, docstrings,
annotations, blank lines and imports are left out. So is what other facts are about: Triton's device functions, which
are counted and compiled, and the formulas, whose numbers are facts themselves.
"""

import ast
import hashlib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from sparq_perf.gate.deterministic.facts import Row, Rows, collect

PACKAGE = "sparq_kernels"
# The reference computes what is right, never what is timed; variants only name what is compiled.
LEFT_OUT = ("__init__.py", "reference.py", "traffic.py", "variants.py")
LEFT_OUT_FOLDERS = ("compiling",)
DEVICE = "jit"

_Definition = ast.FunctionDef | ast.AsyncFunctionDef
# Fields that say how something is written, not what it does, or that not every version of Python has.
_SILENT = ("returns", "annotation", "type_comment", "type_params", "kind", "ctx")


def code_facts(root: Path | None = None) -> Rows:
    """A digest of each function and constant; of the installed kernels, or of the package in a folder."""
    folder = root or Path(str(resources.files(PACKAGE)))
    paths = [
        path
        for path in sorted(folder.rglob("*.py"))
        if path.name not in LEFT_OUT and not set(LEFT_OUT_FOLDERS) & set(path.relative_to(folder).parts)
    ]
    return collect("code", (fact for path in paths for fact in _facts(path, folder)))


def _facts(path: Path, folder: Path) -> Iterator[tuple[str, Row]]:
    module = ".".join(path.relative_to(folder).with_suffix("").parts)
    digests: dict[str, list[str]] = {}
    for name, node in _pieces(ast.parse(path.read_text(encoding="utf-8")).body):
        digests.setdefault(name, []).append(_told(node))
    for name, told in digests.items():
        yield f"{module}.{name}", {"digest": hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]}


def _pieces(body: list[ast.stmt], inside: str = "") -> Iterator[tuple[str, ast.AST]]:
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)) or _is_docstring(node):
            continue
        if isinstance(node, _Definition):
            if not _is_device_function(node):
                yield inside + node.name, node
        elif isinstance(node, ast.ClassDef):
            for base in (*node.bases, *node.keywords, *node.decorator_list):
                yield inside + node.name, base
            yield from _pieces(node.body, f"{inside}{node.name}.")
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield inside + node.target.id, node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield inside + node.targets[0].id, node
        else:
            yield f"{inside}(statements)", node


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_device_function(node: _Definition) -> bool:
    return any(ast.unparse(each).split("(")[0] in (DEVICE, f"triton.{DEVICE}") for each in node.decorator_list)


def _told(node: ast.AST) -> str:
    """The tree in one line, the same in every version of Python."""
    parts = []
    for field, value in ast.iter_fields(node):
        if field in _SILENT or value is None or value == []:
            continue
        values = value if isinstance(value, list) else [value]
        told = [_told(each) if isinstance(each, ast.AST) else repr(each) for each in values if not _is_docstring(each)]
        parts.append(f"{field}={','.join(told)}")
    return f"{type(node).__name__}({' '.join(parts)})"
