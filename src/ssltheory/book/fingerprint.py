"""What the code behind a record means, as hashes: has it changed since?

The meaning of code is its syntax tree in which every reference into this package is replaced by the hash of the
definition that it reaches. So it does not matter where a definition lies, what its module is called or under which
name it is imported, and a definition that no notebook reaches makes no record stale. What is asked of modules that
only describe, check, draw or store (``off_path``) has no meaning, nor what they are given.
"""

import ast
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import ssltheory
from ssltheory.book.meaning import (
    OFF,
    Define,
    Definition,
    Reference,
    Text,
    Writer,
    bindings,
    owners,
)
from ssltheory.errors import InputError

NAME = "ssltheory"
PACKAGE = Path(ssltheory.__file__).resolve().parent
OFF_PATH = {"book", "errors", "progress"}


def code_hashes(notebook: Path, package: Path = PACKAGE) -> dict[str, str]:
    """Hashes of the meaning of a notebook's code, without its parameters cell, whose values a record keeps.

    Args:
        notebook: its file; its stem is the chapter's id.
        package: the folder of the package that it imports.

    Returns:
        "notebook" -> the hash that decides, of the code and all that it reaches. To tell what has changed: "cells"
        and the name of each definition reached -> the hash of its own text, with no more than the names of others.

    Code that refers to what the package does not have is an ``InputError``.
    """
    tree = _notebook_tree(notebook)
    files = tuple((path, path.stat().st_mtime_ns) for path in sorted(package.rglob("*.py")))
    code = _package(package, files)
    text = code.notebook(tree.body, notebook.stem)
    reach = frozenset[Definition]().union(*map(code.reach, _references(text)))
    own = {name: _hash(code.text(d)) for name, d in _by_name(reach).items()}
    return {"notebook": _hash(text, code.digest), "cells": _hash(text)} | own


def changes(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What has changed between two answers of ``code_hashes``: names of definitions, "notebook"; [] if nothing.

    A definition whose hash both have, under whatever name, has not changed.
    """
    if then.get("notebook") == now.get("notebook"):
        return []
    if "cells" not in then or "cells" not in now:  # none, or by other rules
        return ["notebook"]
    names = {name for name, own in then.items() if own not in now.values()}
    names |= {name for name, own in now.items() if own not in then.values()}
    if "cells" in names or names == {"notebook"}:
        return sorted(names - {"cells"})
    return sorted(names - {"notebook"})


def off_path(module: str) -> bool:
    """Whether a module of the package, by its full name, only describes, checks, draws or stores."""
    match module.split(".")[1:]:
        case ["chapters"] | ["chapters", _, "claims" | "readings" | "figures" | "explorer"]:
            return True
        case parts:
            return not OFF_PATH.isdisjoint(parts[:1])


class _Code(NamedTuple):
    """The top level of a module: statements that bind or change a name, by name; imports."""

    definitions: dict[str, list[ast.stmt]]
    imports: dict[str, Reference]


class _Package:
    """The definitions of a package, their texts and hashes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.code = cache(self._code)
        self.text = cache(self._text)
        self.reach = cache(self._reach)
        self._digests: dict[Definition, str] = {}
        self._moved: dict[str, str] = {}  # old names of modules, which still work
        for node in self._walk(NAME, "MOVED"):
            if isinstance(node, ast.Dict):
                moved = ast.literal_eval(node)
                self._moved |= {f"{NAME}.{old}": f"{NAME}.{new}" for old, new in moved.items()}

    def notebook(self, body: list[ast.stmt], chapter: str) -> Text:
        """The text of a notebook's code, in which methods of the chapter's parameters are references, too."""
        model = self._model(chapter)
        methods = self._methods(*model) if model else {}
        refer = partial(self._refer, f"the notebook {chapter}")
        return Writer(bindings(body)[1], refer, methods=methods).write(*body)

    def digest(self, definition: Definition) -> str:
        """Hash of a definition and all that it reaches, whichever is asked for first.

        Definitions that reach one another start from nothing and take each other's hashes, all at once, twice as
        often as there are of them: then no two are alike that differ in anything they reach.
        """
        if definition not in self._digests:
            circle = {d for d in self.reach(definition) if definition in self.reach(d)}
            self._digests |= dict.fromkeys(circle, "")
            for _ in range(2 * len(circle)):
                self._digests |= {d: _hash(self.text(d), self.digest) for d in circle}
        return self._digests[definition]

    def _reach(self, definition: Definition) -> frozenset[Definition]:
        """A definition and all that it refers to, directly or not."""
        seen: set[Definition] = set()
        ahead = {definition}
        while ahead:
            seen.add(one := ahead.pop())
            ahead |= _references(self.text(one)) - seen
        return frozenset(seen)

    def _text(self, definition: Definition) -> Text:
        module, name = definition
        code = self.code(module)
        names = {known: (module, known) for known in sorted(code.definitions | code.imports)}
        refer = partial(self._refer, f"{module}.{name}".rstrip("."))
        if not name:
            return [part for known in names for part in (f"{known}=", *refer(module, known))]
        imported = refer(*code.imports[name]) if name in code.imports else []
        methods = self._methods(module, name.partition(".")[0]) if "." in name else {}
        return imported + Writer(names, refer, name, methods).write(*code.definitions[name])

    def _refer(self, user: str, module: str, *path: str) -> Text:
        """The text of a reference: the definition that it reaches, through re-exports to their source.

        Raises:
            InputError: if the package does not have it.
        """
        if module.partition(".")[0] != NAME:
            return [".".join([module, *path])]
        module = self._module(*module.split("."))
        while path and self._is_module(module, path[0]):
            module, path = self._module(module, path[0]), path[1:]
        if off_path(module):
            return [OFF]
        if not path and self._file(module).is_file():
            return [Definition(module, "")]
        code, name = self.code(module), "".join(path[:1])
        if name in code.definitions:
            return [Definition(module, name), *(f".{attribute}" for attribute in path[1:])]
        if name in code.imports:
            return self._refer(user, *code.imports[name], *path[1:])
        missing = ".".join([module, *path[:1]])
        raise InputError(f"{user} uses {missing}, which does not exist: correct that name")

    def _is_module(self, module: str, name: str) -> bool:
        """Whether a name asked of a module is a module in it, and not bound there to something else."""
        code, itself = self.code(module), (module, name)
        bound = name in code.definitions or code.imports.get(name, itself) != itself
        return not bound and self._file(self._module(module, name)).is_file()

    def _module(self, module: str, *parts: str) -> str:
        """The full name that a module has today."""
        for part in parts:
            module = self._moved.get(f"{module}.{part}", f"{module}.{part}")
        return module

    def _model(self, chapter: str) -> Definition | None:
        """The class of a chapter's parameters; None if the package has no such chapter."""
        module = f"{NAME}.chapters.{chapter.partition('-')[2].replace('-', '_')}"
        for node in self._walk(module, "CHAPTER"):
            match node:
                case ast.keyword(arg="parameters", value=ast.Name(id=name)):
                    model = self._refer(module, module, name)[0]
                    return model if isinstance(model, Definition) else None
        return None

    def _walk(self, module: str, name: str) -> list[ast.AST]:
        statements = self.code(module).definitions.get(name, [])
        return [node for statement in statements for node in ast.walk(statement)]

    def _methods(self, module: str, model: str) -> dict[str, Definition]:
        names = [name for name in self.code(module).definitions if name.startswith(f"{model}.")]
        return {name.partition(".")[2]: Definition(module, name) for name in names}

    def _code(self, module: str) -> _Code:
        file = self._file(module)
        body = ast.parse(file.read_text(encoding="utf-8")).body if file.is_file() else []
        names, imports = bindings(body)
        definitions: dict[str, list[ast.stmt]] = {name: [] for name in names}
        for statement in body:
            for name in owners(statement, names):
                definitions[name].append(statement)
            if isinstance(statement, ast.ClassDef):
                for node in statement.body:
                    if isinstance(node, Define):
                        definitions.setdefault(f"{statement.name}.{node.name}", []).append(node)
        return _Code(definitions, imports)

    def _file(self, module: str) -> Path:
        """``ssltheory.theory.stepwise`` -> its file, which is not there if there is no such module."""
        stem = self.root.joinpath(*module.split(".")[1:])
        plain = stem.with_suffix(".py")
        return plain if plain.is_file() else stem / "__init__.py"


@lru_cache(maxsize=4)
def _package(root: Path, files: tuple[tuple[Path, int], ...]) -> _Package:
    return _Package(root)


def _notebook_tree(notebook: Path) -> ast.Module:
    """The code of a notebook; a line that only IPython understands (``%time``, ``!pip``) stands as its text."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    tags = {"parameters", "injected-parameters"}
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    code = [cell for cell in code if not tags & set(cell["metadata"].get("tags", []))]
    source = "\n".join("".join(cell["source"]) for cell in code)
    try:
        return ast.parse(source)
    except SyntaxError:
        plain = re.sub(r"(?m)^([ \t]*)([%!].*)$", lambda m: f"{m[1]}ipython({m[2]!r})", source)
        return ast.parse(plain)


def _references(text: Text) -> set[Definition]:
    return {part for part in text if isinstance(part, Definition)}


def _by_name(definitions: Iterable[Definition]) -> dict[str, Definition]:
    """Definitions by their names; by the full ones where two have the same."""
    names = {d: d.name or d.module.rpartition(".")[2] for d in sorted(definitions)}
    often = Counter([*names.values(), "notebook", "cells"])
    full = {d: f"{d.module}.{d.name}".removeprefix(f"{NAME}.").rstrip(".") for d in names}
    return {name if often[name] == 1 else full[d]: d for d, name in names.items()}


def _hash(text: Text, refer: Callable[[Definition], str] = lambda d: d.name) -> str:
    """Hash of a text in which something stands for each definition: its name, for the text's own meaning."""
    parts = (part if isinstance(part, str) else f"§{refer(part)}" for part in text)
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]
