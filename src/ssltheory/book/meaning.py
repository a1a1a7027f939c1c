"""The meaning of code as text: its syntax tree, in which each reference into a package is a definition.

Without meaning are layout, comments, docstrings, ``pass``, type hints outside of class bodies, the names under which
something is imported and those of local variables, which are numbered in the order in which they appear.
"""

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

OFF = "§off"  # the text of a reference whose meaning does not count, nor what it is called with

Import = ast.Import | ast.ImportFrom
Define = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Named = Define | ast.ExceptHandler | ast.MatchAs | ast.MatchStar
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
Empty = Import | ast.Global | ast.Nonlocal | ast.Pass  # what they do shows in the names


class Definition(NamedTuple):
    """A definition by the full name of its module and its own: ``Class.method`` for a method, "" for all of it."""

    module: str
    name: str


Text = list[str | Definition]
Reference = tuple[
    str, ...
]  # a module's full name, then what is asked of it: ("torch", "nn", "ReLU")


@dataclass
class _Scope:
    """A function, class or comprehension. Texts of the names it binds, "" until a local appears; its imports."""

    texts: dict[str, str]
    imports: Mapping[str, Reference]
    of_class: bool


class Writer:
    """Writes syntax trees as text.

    Args:
        names: what the names at the top level stand for.
        refer: the text of a reference.
        own: the name at the top level whose definition is written; None: a notebook, whose names stay.
        methods: definitions that an attribute of this name means, whatever it is asked of.
    """

    def __init__(
        self,
        names: Mapping[str, Reference],
        refer: Callable[..., Text],
        own: str | None = None,
        methods: Mapping[str, Definition] | None = None,
    ) -> None:
        self._names, self._refer, self._own, self._methods = names, refer, own, methods or {}
        self._scopes: list[_Scope] = []
        self._locals = 0

    def write(self, *nodes: ast.AST | None) -> Text:
        """The text of some trees, one after another."""
        texts = map(self._write, nodes)
        return [part for text in texts if text for part in (*text, ",")]

    def _write(self, node: ast.AST | None) -> Text:
        match node:
            case None:
                return ["-"]
            case ast.Constant():
                return [repr(node.value)]
            case ast.Expr(value=ast.Constant()):
                return []
            case ast.Name(id=name):
                return self._load(name) if isinstance(node.ctx, ast.Load) else [self._binding(name)]
            case ast.arg():
                return [node.arg]
            case ast.Attribute():
                return self._attribute(node)
            case ast.Call():
                called = self._write(node.func)
                arguments = self.write(*node.args, *node.keywords)
                return called if called == [OFF] else ["Call(", *called, ":", *arguments, ")"]
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                return self._function(node)
            case ast.ClassDef():
                return self._class(node)
            case ast.AnnAssign(target=target, value=value) if not self._in_class():
                return self._fields(ast.Assign(targets=[target], value=value)) if value else []
            case ast.JoinedStr(values=values):  # Python 3.12 adds empty strings
                parts = [v for v in values if not (isinstance(v, ast.Constant) and v.value == "")]
                return ["JoinedStr(", *self.write(*parts), ")"]
        if isinstance(node, Comprehension):
            return self._comprehension(node)
        return [] if isinstance(node, Empty) else self._fields(node)

    def _fields(self, node: ast.AST) -> Text:
        text: Text = [type(node).__name__, "("]
        for field, value in ast.iter_fields(node):
            if field == "ctx" or value in (None, [], ""):
                continue
            text.append(f"{field}=")
            if isinstance(value, list) and not isinstance(value[0], str):
                text += ["[", *self.write(*value), "]"]
            elif isinstance(value, ast.AST):
                text += self.write(value)
            elif field in ("name", "rest"):  # of an exception, or of a part of a pattern
                text += [self._binding(value), ","]
            else:
                text += [repr(value), ","]
        return [*text, ")"]

    def _load(self, name: str) -> Text:
        meant = self._meant_by(name)
        return [meant] if isinstance(meant, str) else self._refer(*meant)

    def _attribute(self, node: ast.Attribute) -> Text:
        base: ast.expr = node.value
        path = [node.attr]
        while isinstance(base, ast.Attribute):
            path.insert(0, base.attr)
            base = base.value
        if isinstance(base, ast.Name) and not isinstance(meant := self._meant_by(base.id), str):
            return self._refer(*meant, *path)
        return [*self._write(node.value), ".", self._methods.get(node.attr, node.attr)]

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Text:
        text: Text = [type(node).__name__, "("]
        body: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else [*node.body]
        if not isinstance(node, ast.Lambda):
            text += [self._binding(node.name), "@", *self.write(*node.decorator_list)]
        text += self._fields(node.args)
        a = node.args
        parameters = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
        names, imports = bindings(body)
        texts = dict.fromkeys(names, "") | {argument.arg: argument.arg for argument in parameters}
        with self._scope(texts, imports):
            return [*text, ":", *self.write(*body), ")"]

    def _class(self, node: ast.ClassDef) -> Text:
        text = ["ClassDef(", self._binding(node.name), "@", *self.write(*node.decorator_list)]
        text += [":", *self.write(*node.bases, *node.keywords)]
        names, imports = bindings(node.body)
        with self._scope({name: name for name in names}, imports, of_class=True):
            return [*text, ":", *self.write(*node.body), ")"]

    def _comprehension(self, node: Comprehension) -> Text:
        loops = node.generators
        first = self.write(loops[0].iter)  # it alone stands outside
        texts = dict.fromkeys(bindings([loop.target for loop in loops])[0], "")
        with self._scope(texts, {}):
            text: Text = [type(node).__name__, "(", *first]
            for k, loop in enumerate(loops):
                text += ["for", *self.write(loop.target, *([loop.iter] if k else []))]
                text += ["async" if loop.is_async else "", "if", *self.write(*loop.ifs)]
            results = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
            return [*text, ":", *self.write(*results), ")"]

    @contextmanager
    def _scope(
        self, texts: dict[str, str], imports: Mapping[str, Reference], of_class: bool = False
    ) -> Iterator[None]:
        self._scopes.append(_Scope(texts, imports, of_class))
        yield
        self._scopes.pop()

    def _in_class(self) -> bool:
        return bool(self._scopes) and self._scopes[-1].of_class

    def _meant_by(self, name: str) -> str | Reference:
        """What a name stands for; its text if it is a parameter, a local or a notebook's own."""
        for scope in reversed(self._scopes):
            if scope.of_class and scope is not self._scopes[-1]:
                continue  # a method does not see the names of its class
            if name in scope.imports:
                return scope.imports[name]
            if name in scope.texts:
                if not scope.texts[name]:
                    self._locals += 1
                    scope.texts[name] = f"§{self._locals}"
                return scope.texts[name]
        return self._names.get(name, name)

    def _binding(self, name: str) -> str:
        """The text of a name where it is bound."""
        if self._scopes:
            meant = self._meant_by(name)
            return meant if isinstance(meant, str) else name
        if self._own is None:
            return name
        return "§self" if name == self._own else "§other"


def bindings(nodes: Iterable[ast.AST]) -> tuple[set[str], dict[str, Reference]]:
    """What code binds in its own scope: names, and imports with what they stand for."""
    names: set[str] = set()
    imports: dict[str, Reference] = {}
    outer: set[str] = set()
    for node in _scope(nodes):
        match node:
            case ast.Import():
                for alias in node.names:
                    module = alias.name if alias.asname else alias.name.partition(".")[0]
                    imports[alias.asname or module] = (module,)
            case ast.ImportFrom():
                for alias in node.names:
                    imports[alias.asname or alias.name] = (str(node.module), alias.name)
            case ast.Global() | ast.Nonlocal():
                outer.update(node.names)
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.MatchMapping(rest=str(name)):
                names.add(name)
        if isinstance(node, Named) and node.name:
            names.add(node.name)
    return names - outer, imports


def _scope(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes of a scope: not what lies inside of its functions, classes and comprehensions."""
    for node in nodes:
        yield node
        if isinstance(node, Comprehension):  # but for a name that := binds
            yield from (n.target for n in ast.walk(node) if isinstance(n, ast.NamedExpr))
        elif not isinstance(node, Define | ast.Lambda):
            yield from _scope(ast.iter_child_nodes(node))


def owners(statement: ast.stmt, names: set[str]) -> set[str]:
    """Of the names at the top of a module those whose definition a statement belongs to.

    It is what the statement defines or assigns to; of any other, e.g. ``TABLE["a"] = 1``, all that it mentions, or
    all there are if it mentions none.
    """
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
            return set()
        case ast.If(body=body, orelse=[]) if all(isinstance(node, Import) for node in body):
            return set()
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return {statement.name}
    nodes = list(ast.walk(statement))
    stored = [node for node in nodes if isinstance(getattr(node, "ctx", None), ast.Store)]
    parts = any(isinstance(node, ast.Attribute | ast.Subscript) for node in stored)
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign) and not parts:
        return bindings([statement])[0]
    return names & {getattr(node, "id", getattr(node, "name", "")) for node in nodes} or names
