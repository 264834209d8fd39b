"""Named tuples by reference: compiled functions hand a pointer on, rather than each of a hundred arrays.

numba passes a tuple as all of its values, which takes as long to compile as to call. A `Ref`
is the address of one in its owner's frame; attributes are looked up where it lies, and those
that are named tuples are `Ref` again. Compiled functions do not tell the difference.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.imputils import impl_ret_borrowed, lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import intrinsic, register_model

__all__ = ["Ref", "by_ref"]


class Ref(types.Type):
    """The address of a named tuple of type `to`."""

    def __init__(self, to: Any) -> None:
        self.to = to
        super().__init__(name=f"Ref({to})")

    def type_of(self, name: str) -> Any:
        """What an attribute is."""
        kind = self.to.types[self.to.fields.index(name)]
        return Ref(kind) if isinstance(kind, types.BaseNamedTuple) else kind


@register_model(Ref)
class _RefModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Ref) -> None:
        super().__init__(dmm, fe_type, dmm.lookup(fe_type.to).get_value_type().as_pointer())


@infer_getattr
class _RefAttribute(AttributeTemplate):
    key = Ref

    def generic_resolve(self, ref: Ref, name: str) -> Any:
        return ref.type_of(name) if name in ref.to.fields else None


@lower_getattr_generic(Ref)  # type: ignore[untyped-decorator]
def _look_up(context: Any, builder: Any, ref: Ref, value: Any, name: str) -> Any:
    place = cgutils.gep_inbounds(builder, value, 0, ref.to.fields.index(name))
    kind = ref.type_of(name)
    if isinstance(kind, Ref):
        return place
    loaded = builder.load(place)
    loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
    return impl_ret_borrowed(context, builder, kind, loaded)


@intrinsic  # type: ignore[untyped-decorator]
def by_ref(typing: Any, value: Any) -> Any:
    """Put a named tuple into this function's frame, where nobody changes it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = cgutils.alloca_once_value(builder, arguments[0])
        # Loads are said to be invariant: none may be moved to before the tuple is there, so hide where that is.
        hide = ir.FunctionType(place.type, [place.type])
        return builder.asm(hide, "", "=r,0,~{memory}", [place], side_effect=True)

    return Ref(value)(value), generate
