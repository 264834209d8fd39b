"""Arrays of one item, as arguments of compiled functions: what is the same for all need not be read for each.

Imports numba: only by those who compile.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

from numba import types
from numba.core import cgutils
from numba.core.imputils import impl_ret_untracked
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import NativeValue, lower_builtin, models, register_model, typeof_impl, unbox

__all__ = ["Same"]


@dataclass(frozen=True)
class Same:
    """To compiled functions an int64 array of so many equal items, which takes no memory: it has items and a length."""

    length: int
    item: int


class _SameType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Same")


@typeof_impl.register(Same)  # type: ignore[untyped-decorator]
def _typeof(value: Same, context: Any) -> Any:
    return _same


@register_model(_SameType)
class _SameModel(models.StructModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, [("length", types.int64), ("item", types.int64)])


@unbox(_SameType)  # type: ignore[untyped-decorator]
def _unbox(kind: Any, value: Any, c: Any) -> Any:
    native = cgutils.create_struct_proxy(kind)(c.context, c.builder)
    for name in ("length", "item"):
        number = c.pyapi.object_getattr_string(value, name)
        setattr(native, name, c.pyapi.long_as_longlong(number))
        c.pyapi.decref(number)
    return NativeValue(native._getvalue(), is_error=cgutils.is_not_null(c.builder, c.pyapi.err_occurred()))


@infer_global(operator.getitem)
class _Item(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        if isinstance(args[0], _SameType) and isinstance(args[1], types.Integer):
            return types.int64(args[0], types.int64)
        return None


@infer_global(len)
class _Length(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        return types.int64(args[0]) if isinstance(args[0], _SameType) else None


@lower_builtin(operator.getitem, _SameType, types.Integer)  # type: ignore[untyped-decorator]
def _item(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    native = cgutils.create_struct_proxy(_same)(context, builder, arguments[0])
    return impl_ret_untracked(context, builder, signature.return_type, native.item)


@lower_builtin(len, _SameType)  # type: ignore[untyped-decorator]
def _length(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    native = cgutils.create_struct_proxy(_same)(context, builder, arguments[0])
    return impl_ret_untracked(context, builder, signature.return_type, native.length)


_same = _SameType()
