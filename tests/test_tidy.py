"""Checks the style of the project from its syntax trees: sizes, docstrings, annotations, banned things, links."""

from __future__ import annotations

import ast
import re
import statistics
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

import vecdb
import vecdb.errors

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("vecdb", "tests", "benchmarks", "examples", "models", "proto")
GENERATED = ROOT / "vecdb" / "_pb"

FUNCTION_LINES_MAX = 70
FUNCTION_LINES_MEDIAN_MAX = 12
FILE_LINES_MAX = 500
LINE_CHARS_MAX = 120

BANNED_MODULE_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "misc", "lib"}
BANNED_IMPORTS = {"pickle", "marshal", "shelve", "subprocess", "dill", "cloudpickle"}
BANNED_CALLS = {"eval", "exec", "compile", "__import__"}
RANGES = {"CODE_MAX", "INT32_MAX", "LABEL_MAX", "CHOSEN_MAX", "POOL_MAX"}
"""The range of a type or a place in a layout: facts, not choices."""
LIMIT_NAME = re.compile(r"(^|_)(MAX|MIN|LIMIT|DEFAULT|TIMEOUT|INTERVAL)(_|$)")
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
STATE_HEADING = re.compile(r"^(Promises|Invariants|Concurrency):", re.MULTILINE)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _python_files(*folders: str) -> list[Path]:
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in found if GENERATED not in path.parents)


PACKAGE = _python_files("vecdb")
EVERYTHING = _python_files(*FOLDERS)
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))])


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def _lines(node: Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _is_public(name: str) -> bool:
    return not name.startswith("_")


def _called_name(call: ast.Call) -> str:
    """`np.load(...)` -> "np.load"."""
    return ast.unparse(call.func)


def _at(path: Path, node: ast.expr | ast.stmt) -> str:
    return f"{_name(path)}:{node.lineno}"


package_file = pytest.mark.parametrize("path", PACKAGE, ids=_name)
any_file = pytest.mark.parametrize("path", EVERYTHING, ids=_name)
document = pytest.mark.parametrize("path", DOCUMENTS, ids=_name)


# --- sizes ----------------------------------------------------------------------------------------------------------


@any_file
def test_no_function_is_longer_than_a_screen(path: Path) -> None:
    long = [
        f"{_at(path, node)} {node.name}: {_lines(node)}"
        for node in _functions(_tree(path))
        if _lines(node) > FUNCTION_LINES_MAX
    ]
    assert not long


def test_half_of_all_functions_are_short() -> None:
    lengths = [_lines(node) for path in PACKAGE for node in _functions(_tree(path))]
    assert statistics.median(lengths) <= FUNCTION_LINES_MEDIAN_MAX


@any_file
def test_no_file_is_longer_than_the_limit(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= FILE_LINES_MAX


@any_file
def test_no_line_is_longer_than_the_limit(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert not [f"{_name(path)}:{number}" for number, line in enumerate(lines, 1) if len(line) > LINE_CHARS_MAX]


# --- documentation and types ----------------------------------------------------------------------------------------


@any_file
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(_tree(path)) or not path.read_text(encoding="utf-8").strip()


def _holds_state(tree: ast.Module) -> bool:
    """True when a method other than __init__ assigns to self, or a function rebinds a global."""
    for node in _functions(tree):
        if node.name == "__init__":
            continue
        for inner in ast.walk(node):
            targets = inner.targets if isinstance(inner, ast.Assign) else []
            if isinstance(inner, ast.Global) or any(ast.unparse(target).startswith("self.") for target in targets):
                return True
    return False


@package_file
def test_a_module_with_state_says_what_it_promises(path: Path) -> None:
    tree = _tree(path)
    if _holds_state(tree):
        assert STATE_HEADING.search(ast.get_docstring(tree) or "")


@package_file
def test_public_functions_and_classes_have_docstrings(path: Path) -> None:
    public = [node for node in _tree(path).body if isinstance(node, Function | ast.ClassDef) and _is_public(node.name)]
    assert not [f"{_at(path, node)} {node.name}" for node in public if not ast.get_docstring(node)]


@pytest.mark.parametrize("module", ["collection", "database"])
def test_every_public_method_of_the_api_has_a_docstring(module: str) -> None:
    path = ROOT / "vecdb" / "engine" / f"{module}.py"
    classes = [node for node in _tree(path).body if isinstance(node, ast.ClassDef) and _is_public(node.name)]
    methods = [node for parent in classes for node in parent.body if isinstance(node, Function)]
    documented = [node for node in methods if ast.get_docstring(node)]
    overloads = [node for node in methods if any(ast.unparse(line) == "overload" for line in node.decorator_list)]
    missing = [node.name for node in methods if _is_public(node.name) and node not in (*documented, *overloads)]
    assert classes
    assert not missing


@package_file
def test_every_argument_and_result_is_annotated(path: Path) -> None:
    bare = []
    for node in _functions(_tree(path)):
        given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        given += [extra for extra in (node.args.vararg, node.args.kwarg) if extra]
        bare += [
            f"{_at(path, node)} {node.name}({argument.arg})"
            for argument in given
            if argument.annotation is None and argument.arg not in {"self", "cls"}
        ]
        if node.returns is None:
            bare.append(f"{_at(path, node)} {node.name} -> ?")
    assert not bare


# --- banned things --------------------------------------------------------------------------------------------------


@any_file
def test_no_module_is_named_after_nothing(path: Path) -> None:
    assert path.stem not in BANNED_MODULE_NAMES


def _imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {(node.module or "").partition(".")[0]}
    return set()


@package_file
def test_the_package_imports_nothing_that_runs_stored_code(path: Path) -> None:
    found = set().union(*(_imported(node) for node in ast.walk(_tree(path))))
    assert not found & BANNED_IMPORTS


@package_file
def test_the_package_calls_nothing_banned(path: Path) -> None:
    calls = [node for node in ast.walk(_tree(path)) if isinstance(node, ast.Call)]
    assert not [f"{_at(path, call)} {_called_name(call)}" for call in calls if _called_name(call) in BANNED_CALLS]


@any_file
def test_arrays_are_loaded_without_pickle(path: Path) -> None:
    calls = [node for node in ast.walk(_tree(path)) if isinstance(node, ast.Call)]
    loads = [call for call in calls if _called_name(call) in {"np.load", "numpy.load"}]
    safe = {"allow_pickle": "False"}
    options = [{word.arg: ast.unparse(word.value) for word in call.keywords} for call in loads]
    assert not [
        _at(path, call) for call, given in zip(loads, options, strict=True) if not safe.items() <= given.items()
    ]


@any_file
def test_kernels_keep_nan_and_infinity_honest(path: Path) -> None:
    """`fastmath=True` lets the compiler assume that there are none; the project names harmless flags instead."""
    words = [node for node in ast.walk(_tree(path)) if isinstance(node, ast.keyword) and node.arg == "fastmath"]
    assert not [f"{_name(path)}:{word.value.lineno}" for word in words if ast.unparse(word.value) == "True"]


@package_file
def test_no_address_is_taken_of_what_nobody_keeps(path: Path) -> None:
    """The memory of `make().address` is free, and soon another's, when a kernel reads it."""
    addressed = (node for node in ast.walk(_tree(path)) if isinstance(node, ast.Attribute))
    found = [node for node in addressed if node.attr in {"address", "ctypes"} and not _is_kept(node.value)]
    assert not [_at(path, node) for node in found]


def _is_kept(node: ast.expr) -> bool:
    """Whether it is a name, or an attribute of one."""
    return isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and _is_kept(node.value))


@package_file
def test_limits_and_defaults_live_in_config(path: Path) -> None:
    if path.name == "config.py":
        return
    found = []
    for node in _tree(path).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        names = [name for name in names if LIMIT_NAME.search(name) and name not in RANGES]
        value = getattr(node, "value", None)
        if (
            names
            and value is not None
            and any(isinstance(part, ast.Constant) and isinstance(part.value, int | float) for part in ast.walk(value))
        ):
            found.append(f"{_at(path, node)} {names[0]}")
    assert not found


@pytest.mark.parametrize("path", [*EVERYTHING, *DOCUMENTS], ids=_name)
def test_nothing_is_left_unfinished(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert not [f"{_name(path)}:{number}" for number, line in enumerate(lines, 1) if UNFINISHED.search(line)]


# --- names ----------------------------------------------------------------------------------------------------------


def _public_names() -> set[str]:
    """What vecdb/__init__.py binds for its users: its imports from vecdb, its functions, its lazy names."""
    names: set[str] = set()
    for node in _tree(ROOT / "vecdb" / "__init__.py").body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "vecdb":
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in {"_MODULES", "_SUBMODULES"}:
            homes = ast.literal_eval(node.value)
            names |= set(chain.from_iterable(homes.values())) if isinstance(homes, dict) else set(homes)
        elif isinstance(node, Function | ast.ClassDef):
            names.add(node.name)
    return {name for name in names if _is_public(name)}


def test_the_package_exports_exactly_its_public_names_sorted() -> None:
    assert vecdb.__all__ == sorted(_public_names())


@pytest.mark.parametrize("name", vecdb.__all__)
def test_every_exported_name_can_be_had(name: str) -> None:
    assert getattr(vecdb, name) is not None


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert vecdb.__version__ == project["version"]
    assert f"## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@any_file
def test_the_name_of_a_test_is_a_sentence(path: Path) -> None:
    tests = [
        node for node in _functions(_tree(path)) if path.name.startswith("test_") and node.name.startswith("test_")
    ]
    assert not [f"{_at(path, node)} {node.name}" for node in tests if len(node.name.split("_")) < 4]


# --- the error tree -------------------------------------------------------------------------------------------------

ERRORS = {
    name: kind
    for name, kind in vars(vecdb.errors).items()
    if isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == "vecdb.errors"
}


def _drawn_tree() -> dict[str, str | None]:
    """Each class drawn in the docstring of errors.py and the class it is drawn under."""
    drawn: dict[str, str | None] = {}
    above: list[tuple[int, str]] = []
    for line in (vecdb.errors.__doc__ or "").splitlines():
        match = re.match(r"^[\s│├└─]*([A-Z]\w+)\b", line)
        if match is None or match[1] not in ERRORS:
            continue
        column = match.start(1)
        above = [entry for entry in above if entry[0] < column]
        drawn[match[1]] = above[-1][1] if above else None
        above.append((column, match[1]))
    return drawn


def test_every_error_is_exported() -> None:
    assert set(vecdb.errors.__all__) == set(ERRORS)


def test_the_drawn_error_tree_is_the_real_one() -> None:
    bases = {
        name: next((base.__name__ for base in kind.__mro__[1:] if base.__name__ in ERRORS), None)
        for name, kind in ERRORS.items()
    }
    assert _drawn_tree() == bases


def test_every_error_has_its_own_reason() -> None:
    reasons = [kind.__dict__.get("reason") for kind in ERRORS.values()]
    assert None not in reasons
    assert len(set(reasons)) == len(reasons)


@package_file
def test_exceptions_are_defined_in_one_module_only(path: Path) -> None:
    if path.name == "errors.py":
        return
    classes = [node for node in ast.walk(_tree(path)) if isinstance(node, ast.ClassDef)]
    assert not [
        node.name for node in classes if any(re.search(r"(Error|Exception)$", ast.unparse(base)) for base in node.bases)
    ]


# --- documents ------------------------------------------------------------------------------------------------------


def _without_code(text: str) -> str:
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def _anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    titles = re.findall(r"^#+\s+(.+?)\s*$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@document
def test_relative_links_lead_somewhere(path: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", _without_code(path.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        place = (path.parent / file).resolve() if file else path
        if not place.exists() or (anchor and anchor not in _anchors(place)):
            broken.append(target)
    assert not broken
