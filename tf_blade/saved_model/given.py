"""What was given for a model's inputs, beside the names that the model has for them."""

from __future__ import annotations

from tf_blade.clusters.ranges import GivenRanges, parse_ranges
from tf_blade.saved_model.model import SavedModel
from tf_blade.saved_model.warmup import input_specs
from tf_blade.settings import Settings


def given_ranges(model: SavedModel, settings: Settings) -> GivenRanges:
    """The ranges of sizes in the settings.

    Raises:
        TfBladeError: one is no range.
        InvalidInputError: no signature that is optimized has such an input, or its dimension is another.
    """
    ranges = parse_ranges(settings.tensorrt_ranges)
    if not ranges:
        return GivenRanges()
    chosen = {
        name: item for name, item in model.signatures() if settings.signatures is None or name in settings.signatures
    }
    placeholders = {
        info.name.partition(":")[0]: name for item in chosen.values() for name, info in item.inputs.items() if info.name
    }
    return GivenRanges(ranges, {name: input_specs(model, name) for name in chosen}, placeholders)
