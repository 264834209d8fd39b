"""Named tuples by reference: compiled functions hand a pointer on, rather than each of a hundred arrays.

numba passes a tuple as all of its values, which takes as long to compile as to call. A `Ref`
is the address of one; attributes are looked up where it lies, and those that are named tuples
are `Ref` again. Compiled functions do not tell the difference. `Refs` are several of one type.
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

__all__ = ["ROOM", "Ref", "Refs", "pick", "refs", "store"]


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


ROOM = 1 << 11
"""Words of a place that a named tuple is put into."""


class Refs(types.Type):
    """Where the first of several named tuples of type `to` lies, each ROOM words after the one before."""

    def __init__(self, to: Any) -> None:
        self.to = to
        super().__init__(name=f"Refs({to})")


@register_model(Refs)
class _RefsModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Refs) -> None:
        super().__init__(dmm, fe_type, ir.IntType(64))


@intrinsic  # type: ignore[untyped-decorator]
def store(typing: Any, value: Any, place: Any) -> Any:
    """Put a named tuple at an address, where nobody changes it while it is read."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, place = arguments
        if context.get_abi_sizeof(value.type) > 8 * ROOM:
            raise TypeError("a named tuple is larger than what is set aside for it")
        builder.store(value, builder.inttoptr(place, value.type.as_pointer()))
        return context.get_dummy_value()

    return types.void(value, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def refs(typing: Any, like: Any, place: Any) -> Any:
    """The tuples that were stored from an address on, of the type of `like`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return arguments[1]

    return Refs(like)(like, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def pick(typing: Any, tuples: Any, number: Any) -> Any:
    """One of them."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        apart = ir.Constant(ir.IntType(64), 8 * ROOM)
        place = builder.add(arguments[0], builder.mul(arguments[1], apart))
        return builder.inttoptr(place, context.get_value_type(signature.return_type))

    return Ref(tuples.to)(tuples, types.int64), generate
