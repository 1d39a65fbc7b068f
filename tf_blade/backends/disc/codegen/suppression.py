"""Non-maximum suppression, by nms.h."""

from __future__ import annotations

from tf_blade.backends.disc.codegen.affine import count, dim_mul
from tf_blade.backends.disc.codegen.call import Call
from tf_blade.backends.disc.codegen.kernel import WorkSpace
from tf_blade.backends.disc.codegen.library import LibraryContext, emitter
from tf_blade.symbolic import minimum

_CANDIDATE, _BOX, _RESULT = 12, 20, 12  # bytes of nms.h's structs


@emitter("nms")
def nms(context: LibraryContext) -> list[Call]:
    """Picks into scratch memory first, which has room for all boxes; then the picks are copied."""
    op = context.op
    boxes, scores, *limits = op.operands
    indices, kept, valid = op.results
    n = scores.shape[0]
    picked, final = WorkSpace("int32_t", n, 4), WorkSpace("float", n, 4)
    most, *others = (f"*{context.pointer(item)}" for item in limits)
    spaces = [WorkSpace("NmsCandidate", n, _CANDIDATE), picked, final]
    if not op.attrs["overlaps"]:
        spaces.append(WorkSpace("NmsBox", n, _BOX))
    name = "nms_with_overlaps" if op.attrs["overlaps"] else "nms"
    pointers = ", ".join(context.pointer(item) for item in (boxes, scores))
    scratch = ", ".join(context.pointer(item) for item in spaces)
    to = context.pointer(valid)
    picking = context.call(
        "int64_t count = 0;",
        f"const NmsLimits limits{{{', '.join([most, *others])}}};",
        f"code = {name}(ral, {pointers}, {context.dim(n)}, limits, {scratch}, &count);",
        f"*{to} = static_cast<int32_t>(count);",
        f"found[0] = {most if op.attrs['pad'] else 'count'};",
        found=op.attrs["found"],
    )
    valid_again, size = context.pointer(valid), context.dim(indices.shape[0])
    copies = [
        f"nms_copy({context.pointer(source)}, *{valid_again}, {context.pointer(target)}, {size});"
        for source, target in ((picked, indices), (final, kept))
    ]
    return [picking, context.call(*copies, heavy=False)]


@emitter("combined_nms")
def combined_nms(context: LibraryContext) -> Call:
    op = context.op
    boxes, scores, overlap, score = op.operands
    batch, n, classes = scores.shape
    slots = dim_mul(count((batch, classes)), minimum(op.attrs["per_class"], n))
    fields = {
        "boxes": context.pointer(boxes),
        "scores": context.pointer(scores),
        "batch": context.dim(batch),
        "n": context.dim(n),
        "sets": context.dim(boxes.shape[2]),
        "classes": context.dim(classes),
        "per_class": context.dim(op.attrs["per_class"]),
        "total": context.dim(op.attrs["total"]),
        "size": context.dim(op.attrs["size"]),
        "overlap": f"*{context.pointer(overlap)}",
        "score": f"*{context.pointer(score)}",
        "clip": str(op.attrs["clip"]).lower(),
        "results": context.pointer(WorkSpace("NmsResult", slots, _RESULT)),
    }
    for name, value in zip(("boxes", "scores", "classes", "counts"), op.results, strict=True):
        fields[f"out_{name}"] = context.pointer(value)
    return context.call(
        "CombinedNmsArgs args;",
        *(f"args.{key} = {value};" for key, value in fields.items()),
        "code = combined_nms(ral, args);",
    )
