"""What the code behind a record means, as hashes: has it changed since?

The meaning of code is its syntax tree without comments, docstrings and layout. What counts is the notebook's
cells and, of this package, what they use: a paper's module in ``theory`` as a whole, of the modules that the
chapters share only the definitions that are reached (a new loss makes no old record stale), and nothing of those
that only describe, check, draw or store (``OFF_PATH``).
"""

import ast
import hashlib
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
OFF_PATH = {"appendices", "capacity", "chapters", "claims", "cli", "compare", "engines"}
OFF_PATH |= {"errors", "explorers", "figures", "fingerprint", "pages", "pdf", "progress"}
OFF_PATH |= {"provenance", "records", "repository", "runner", "scoreboard", "sweeps"}
WHOLE = None  # instead of a definition's name: all of its module
Use = tuple[str, str | None]  # module and definition


def code_hashes(notebook: Path) -> dict[str, str]:
    """Hash of the meaning of a notebook's code (without its parameters cell, whose values a record keeps) and of
    each module on its measurement path, by name."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    sources = [
        "".join(cell["source"])
        for cell in cells
        if cell["cell_type"] == "code"
        and not {"parameters", "injected-parameters"} & set(cell["metadata"].get("tags", []))
    ]
    tree = _notebook_tree("\n".join(sources))
    meanings: dict[str, list[str]] = {}
    seen: set[Use] = set()
    ahead = set(_uses([tree], _bindings(tree)))
    while ahead:
        use = ahead.pop()
        seen.add(use)
        module, _ = use
        code = _defining(use)
        meanings.setdefault(module, []).extend(map(meaning, code))
        module_tree = _tree(_file(module))
        own = {name: (module, name) for name in _definitions(module_tree)}
        ahead |= set(_uses(code, own | _bindings(module_tree))) - seen
    hashes = {module: _hash("\n".join(sorted(set(parts)))) for module, parts in meanings.items()}
    return {"notebook": _hash(meaning(tree))} | dict(sorted(hashes.items()))


def changes(then: dict[str, str], now: dict[str, str]) -> list[str]:
    """Names of what differs between two sets of hashes, sorted."""
    return sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))


def meaning(tree: ast.AST) -> str:
    """A syntax tree as text, the same for code that does the same: no docstrings, positions or empty fields."""
    if isinstance(tree, ast.Constant):
        return repr(tree.value)
    fields = []
    for name, value in ast.iter_fields(tree):
        if name == "body" and _has_docstring(tree):
            value = value[1:]
        if isinstance(value, ast.AST):
            fields.append(f"{name}={meaning(value)}")
        elif isinstance(value, list) and value:
            parts = [meaning(v) if isinstance(v, ast.AST) else repr(v) for v in value]
            fields.append(f"{name}=[{','.join(parts)}]")
        elif value not in (None, [], ""):
            fields.append(f"{name}={value!r}")
    return f"{type(tree).__name__}({','.join(fields)})"


def _has_docstring(tree: ast.AST) -> bool:
    kinds = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return isinstance(tree, kinds) and ast.get_docstring(tree, clean=False) is not None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _notebook_tree(source: str) -> ast.Module:
    """The code of a notebook; a line that only IPython understands (``%time``, ``!pip``) stands as its text."""
    try:
        return ast.parse(source)
    except SyntaxError:
        plain = re.sub(r"(?m)^([ \t]*)([%!].*)$", lambda m: m[1] + repr(m[2]), source)
        return ast.parse(plain)


@cache
def _parsed(path: Path, modified: int) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _tree(path: Path) -> ast.Module:
    return _parsed(path, path.stat().st_mtime_ns)


def _file(module: str) -> Path:
    """``ssltheory.theory.stepwise`` -> its file, which is not there if there is no such module."""
    stem = PACKAGE.joinpath(*module.split(".")[1:])
    plain = stem.with_suffix(".py")
    return plain if plain.is_file() else stem / "__init__.py"


def _on_path(module: str) -> bool:
    parts = module.split(".")
    return (
        parts[0] == "ssltheory"
        and len(parts) > 1
        and parts[1] not in OFF_PATH
        and _file(module).is_file()
    )


def _definitions(tree: ast.Module) -> dict[str, ast.stmt]:
    """What a module defines at its top level, by name."""
    found: dict[str, ast.stmt] = {}
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found[node.name] = node
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = node
    return found


def _defining(use: Use) -> list[ast.stmt]:
    """The statements that a use stands for: one definition, or the module but for its imports."""
    module, name = use
    tree = _tree(_file(module))
    definitions = _definitions(tree)
    if name in definitions:
        # An ``if`` at the top guards an import or a main.
        plain = (ast.Import, ast.ImportFrom, ast.If)
        loose = [n for n in tree.body if n not in definitions.values() and not isinstance(n, plain)]
        return [definitions[name], *(n for n in loose if not _is_text(n))]
    return [n for n in tree.body if not _is_text(n)]


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


@cache
def _bindings(tree: ast.AST) -> dict[str, Use]:
    """What the imports anywhere in a tree bind: a name -> a module as a whole, or a definition in one."""
    bound: dict[str, Use] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound[alias.asname or alias.name] = (alias.name, WHOLE)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                use = (inner, WHOLE) if _on_path(inner) else (node.module, alias.name)
                bound[alias.asname or alias.name] = use
    return {name: use for name, use in bound.items() if _on_path(use[0])}


def _uses(code: list, bound: dict[str, Use]) -> Iterator[Use]:
    """The uses that code makes of what is bound; ``module.name`` of a shared module is a use of that name alone."""
    for statement in code:
        bases = set()
        for node in ast.walk(statement):
            if isinstance(node, ast.Attribute) and (use := bound.get(ast.unparse(node.value))):
                bases.add(id(node.value))
                module, name = use
                whole = name is not WHOLE or module.startswith("ssltheory.theory")
                yield use if whole else (module, node.attr)
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and id(node) not in bases and node.id in bound:
                module, name = bound[node.id]
                yield (module, WHOLE) if module.startswith("ssltheory.theory") else (module, name)
