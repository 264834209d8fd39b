"""Functions that compiled ones call, as drafts: optimised and made machine code of with their caller, once.

numba optimises every function on its own, again in each function that it is called by, and
makes machine code of each of these versions. Here, who is called is kept as it was written;
who is called from Python has all that it reaches linked in, and only then is anything optimised.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from numba.core import ir, types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler, DefaultPassBuilder
from numba.core.compiler_machinery import FunctionPass, PassManager, register_pass
from numba.core.cpu import _dynfunc
from numba.core.ir_utils import build_definitions
from numba.core.typed_passes import (
    AnnotateTypes,
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.typing.context import Context
from numba.core.untyped_passes import FixupArgs, IRProcessing, ReconstructSSA, TranslateByteCode

__all__ = ["PASSES", "DraftCompiler", "WholeCompiler"]


class _Library(JITCodeLibrary):
    """Links what the drafts that it calls call as well."""

    def add_linking_library(self, library: Any) -> None:
        for each in _reached(library):
            super().add_linking_library(each)

    def _optimize_functions(self, ll_module: Any) -> None:
        pass

    def _optimize_final_module(self) -> None:
        manager, builder = self._codegen._module_pass_manager(loop_vectorize=False, slp_vectorize=False)
        manager.run(self._final_module, builder)


class _Draft(_Library):
    """Neither optimised nor made machine code of."""

    def finalize(self) -> None:
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        return 0


def _reached(library: Any) -> Iterator[Any]:
    """A library, and all that it calls if it is a draft."""
    yield library
    if isinstance(library, _Draft):
        yield from dict.fromkeys(library._linking_libraries)


class _Typing(Context):
    """numba's, but what an operator does with some types is found out once, not of all its overloads at each use."""

    def __init__(self, context: Any) -> None:
        self.__dict__ = vars(context)
        self.known: dict[tuple[Any, ...], Any] = {}

    def resolve_function_type(self, func: Any, args: Any, kws: Any) -> Any:
        """The signature."""
        if kws or isinstance(func, types.Dispatcher):
            return super().resolve_function_type(func, args, kws)
        key = (func, tuple(arg.literal_type if isinstance(arg, types.IntegerLiteral) else arg for arg in args))
        if key not in self.known:
            self.known[key] = super().resolve_function_type(*key, kws)
        return self.known[key]


@functools.cache
def _typing(context: Any) -> _Typing:
    """One for all compilers: overloads that were compiled for it are not compiled again."""
    return _Typing(context)


class WholeCompiler(Compiler):
    """numba's compiler for a function that is called from Python."""

    library_class: type[_Library] = _Library

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.state.typingctx = _typing(self.state.typingctx)

    def _compile_core(self) -> Any:
        if self.state.library is None:
            codegen = self.state.targetctx.codegen()
            self.state.library = self.library_class(codegen, self.state.func_id.func_qualname)
            self.state.library.enable_object_caching()
        return super()._compile_core()

    def define_pipelines(self) -> list[Any]:
        """Ours need little of what numba can; others get all of it."""
        if self.state.func_id.modname.startswith(_OURS):
            manager = PassManager("drafts")
            for each in PASSES:
                manager.add_pass(each, each.__name__)
        else:
            manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
            manager.add_pass_after(_FoldNames, IRProcessing)
        manager.finalize()
        return [manager]


class DraftCompiler(WholeCompiler):
    """numba's compiler for a function that is called by compiled ones only."""

    library_class = _Draft

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.state.targetctx = self.state.targetctx.subtarget(get_executable=_nothing_to_call)


def _nothing_to_call(library: Any, fndesc: Any, env: Any) -> Any:
    """What stands for the function where callers look for it."""
    name = fndesc.qualname.rpartition(".")[2]
    return _dynfunc.make_function(fndesc.lookup_module(), name, name, 0, env, (library,))


@register_pass(mutates_CFG=False, analysis_only=False)
class _FoldNames(FunctionPass):
    """A field of a global named tuple of numbers is that number, before anything is made of the tuple."""

    _name = "fold_names"

    def __init__(self) -> None:
        pass

    def run_pass(self, state: Any) -> bool:
        """Replace them, block by block."""
        for block in state.func_ir.blocks.values():
            block.body = _folded(block.body)
        state.func_ir._definitions = build_definitions(state.func_ir.blocks)
        return True


def _folded(body: list[Any]) -> list[Any]:
    names: dict[str, Any] = {}
    kept = []
    for statement in body:
        value = statement.value if isinstance(statement, ir.Assign) else None
        if isinstance(value, ir.Global) and _is_names(value.value):
            names[statement.target.name] = value.value
        elif isinstance(value, ir.Expr) and value.op == "getattr" and value.value.name in names:
            number = getattr(names[value.value.name], value.attr)
            kept.append(ir.Assign(ir.Const(number, value.loc), statement.target, statement.loc))
        elif not (isinstance(statement, ir.Del) and statement.value in names):
            kept.append(statement)
    return kept


def _is_names(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_fields") and all(type(number) is int for number in value)


@register_pass(mutates_CFG=False, analysis_only=False)
class _CountFromStart(FunctionPass):
    """An index that is worked out counts from the start, so none is asked whether it is negative.

    One that is written down may count from the end: what it means is known when it is compiled.
    """

    _name = "count_from_start"

    def __init__(self) -> None:
        pass

    def run_pass(self, state: Any) -> bool:
        """Call what reads and writes arrays with unsigned indices."""
        for of, signature in list(state.calltypes.items()):
            if isinstance(of, ir.SetItem) or (isinstance(of, ir.Expr) and of.op == "getitem"):
                array, index, *rest = signature.args
                written = isinstance(state.typemap[of.index.name], types.Literal)
                if isinstance(array, types.Array) and isinstance(index, types.Integer) and not written:
                    del state.calltypes[of]
                    state.calltypes[of] = signature.replace(args=(array, types.uintp, *rest))
        return True


_OURS = ("storage.", "workbench.")
# What makes a function of ours, in order.
PASSES = (
    TranslateByteCode,
    FixupArgs,
    IRProcessing,
    _FoldNames,
    ReconstructSSA,
    NopythonTypeInference,
    _CountFromStart,
    PreLowerStripPhis,
    IRLegalization,
    AnnotateTypes,
    NativeLowering,
    NoPythonBackend,
)
