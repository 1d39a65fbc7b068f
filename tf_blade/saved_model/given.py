"""What was given for a model's inputs, beside the names that the model has for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tf_blade.clusters.ranges import GivenRanges, parse_ranges
from tf_blade.samples import Arrays, Sample, all_as_arrays
from tf_blade.saved_model.arguments import Inputs
from tf_blade.saved_model.model import SavedModel
from tf_blade.saved_model.warmup import input_specs
from tf_blade.settings import Settings


def given_ranges(model: SavedModel, settings: Settings, arguments: Mapping[str, Inputs]) -> GivenRanges:
    """The ranges of sizes in the settings, for bodies whose arguments are such inputs.

    Raises:
        TfBladeError: one is no range.
        InvalidInputError: no signature that is optimized has such an input, or its dimension is another.
    """
    ranges = parse_ranges(settings.tensorrt_ranges)
    if not ranges:
        return GivenRanges()
    chosen = [name for name, _ in model.signatures() if settings.signatures is None or name in settings.signatures]
    return GivenRanges(ranges, {name: input_specs(model, name) for name in chosen}, arguments)


def given_samples(model: SavedModel, samples: Mapping[str, Sequence[Sample]]) -> dict[str, list[Arrays]]:
    """Sample inputs by signature, as arrays of the types that the model takes.

    Raises:
        UnknownSignatureError: there is no such signature.
        InvalidInputError: it does not take a sample.
    """
    names = [name for name, _ in model.signatures()]
    return all_as_arrays(samples, names, lambda name: input_specs(model, name), str(model.path))
