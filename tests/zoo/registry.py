"""The registries of zoo models, small and full-size."""

from __future__ import annotations

import dataclasses

import keras

from tests.zoo import encoder, sequence, structure, vision
from tests.zoo.base import ZooModel

_BATCH = (2, 1, 3, 5, 8)
_LENGTH = (7, 16, 33, 1, 64)
_SMALL_VIT = dataclasses.replace(encoder.SMALL, classes=10)
_MEDIUM = encoder.EncoderSize(layers=4, width=256, heads=4, inner=1024, vocabulary=5000, positions=512)

_TEXT_DIMS = {"batch": _BATCH, "length": _LENGTH}


def _registry(*models: ZooModel) -> dict[str, ZooModel]:
    return {model.name: model for model in models}


SMALL = _registry(
    ZooModel(
        "encoder_keras",
        encoder.keras_encoder(encoder.SMALL, seed=1),
        encoder.token_inputs(encoder.SMALL),
        _TEXT_DIMS,
        engine_flops=0.95,
    ),
    ZooModel(
        "encoder_module",
        encoder.module_encoder(encoder.SMALL, seed=2),
        encoder.token_inputs(encoder.SMALL),
        _TEXT_DIMS,
        engine_flops=0.95,
    ),
    ZooModel(
        "text_classifier",
        encoder.text_classifier(encoder.SMALL, seed=3),
        encoder.text_inputs,
        {"batch": _BATCH, "words": (4, 1, 9, 20, 40)},
    ),
    ZooModel(
        "decoder_step",
        encoder.decoder_step(encoder.SMALL, seed=4),
        encoder.decoder_inputs(encoder.SMALL),
        {"batch": (1, 2, 3, 4, 7), "past": (5, 0, 1, 17, 64)},
    ),
    ZooModel(
        "vit",
        vision.vit(_SMALL_VIT, 32, 8, seed=5),
        vision.image_inputs("image", 32),
        {"batch": _BATCH},
        engine_flops=0.95,
    ),
    ZooModel(
        "resnet50",
        vision.application(keras.applications.ResNet50, 64, 10, seed=6),
        vision.image_inputs("image", 64),
        {"batch": (2, 1, 3, 4, 5)},
        engine_flops=0.95,
    ),
    ZooModel(
        "mobilenet_v3",
        vision.application(keras.applications.MobileNetV3Small, 96, 10, seed=7),
        vision.image_inputs("image", 96),
        {"batch": (2, 1, 3, 4, 5)},
        engine_flops=0.95,
    ),
    ZooModel(
        "efficientnet_b0",
        vision.application(keras.applications.EfficientNetB0, 64, 10, seed=8),
        vision.image_inputs("image", 64),
        {"batch": (2, 1, 3, 4, 5)},
    ),
    ZooModel(
        "unet",
        vision.unet(8, 2, seed=9),
        vision.unet_inputs,
        {"batch": (1, 2, 3, 4, 5), "height": (16, 33, 9, 4, 48), "width": (16, 32, 7, 5, 64)},
        engine_flops=0.95,
    ),
    ZooModel("detector", vision.detector(8, 16, 4, seed=10), vision.detector_inputs(8, 16), {"batch": _BATCH}),
    ZooModel(
        "ranking", sequence.ranking(50, 8, (64, 32), seed=11), sequence.ranking_inputs, {"batch": (4, 1, 2, 17, 64)}
    ),
    ZooModel("gru", sequence.gru(200, 32, seed=12), sequence.id_inputs(200), _TEXT_DIMS),
    ZooModel("lstm", sequence.lstm(200, 32, seed=13), sequence.id_inputs(200), _TEXT_DIMS),
    ZooModel(
        "text_cnn",
        sequence.text_cnn(200, 32, seed=14),
        sequence.id_inputs(200),
        {"batch": _BATCH, "length": (7, 16, 33, 5, 64)},
    ),
    ZooModel("chain", sequence.chain(16, 256, seed=15), sequence.chain_inputs(16, 256), {"batch": _BATCH}),
    ZooModel("labeller", structure.labeller(seed=16), structure.labeller_inputs, {"batch": _BATCH}),
    ZooModel(
        "three_signatures",
        structure.three_signatures(seed=17),
        structure.three_signature_inputs,
        {"batch": _BATCH, "others": (1, 2, 4, 6, 9)},
    ),
    *(
        ZooModel(f"tf1_{kind}", structure.tf1_graph(variables=kind, seed=18), structure.tf1_inputs, {"batch": _BATCH})
        for kind in ("resource", "ref", "frozen")
    ),
)

FULL = _registry(
    ZooModel(
        "encoder_base",
        encoder.module_encoder(encoder.BASE, seed=1),
        encoder.token_inputs(encoder.BASE),
        {"batch": (1, 2, 4, 8, 3), "length": (128, 384, 64, 17, 33)},
        bench=({"batch": 1, "length": 128}, {"batch": 8, "length": 64}),
        engine_flops=0.95,
    ),
    ZooModel(
        "encoder_base_keras",
        encoder.keras_encoder(encoder.BASE, seed=1),
        encoder.token_inputs(encoder.BASE),
        {"batch": (1, 2, 4, 8, 3), "length": (128, 384, 64, 17, 33)},
        bench=({"batch": 1, "length": 128}, {"batch": 8, "length": 64}),
        engine_flops=0.95,
    ),
    ZooModel(
        "encoder_medium",
        encoder.module_encoder(_MEDIUM, seed=2),
        encoder.token_inputs(_MEDIUM),
        {"batch": (1, 2, 4, 8, 3), "length": (128, 384, 64, 17, 33)},
        bench=({"batch": 1, "length": 128}, {"batch": 8, "length": 64}),
        engine_flops=0.95,
    ),
    ZooModel(
        "text_classifier",
        encoder.text_classifier(encoder.BASE, seed=3),
        encoder.text_inputs,
        {"batch": (1, 2, 3, 4, 8), "words": (126, 62, 30, 14, 254)},
        bench=({"batch": 1, "words": 126}, {"batch": 8, "words": 62}),
    ),
    ZooModel(
        "decoder_step",
        encoder.decoder_step(encoder.BASE, seed=4),
        encoder.decoder_inputs(encoder.BASE),
        {"batch": (1, 2, 3, 4, 8), "past": (64, 0, 16, 128, 255)},
        bench=({"batch": 1, "past": 64}, {"batch": 8, "past": 255}),
    ),
    ZooModel(
        "vit",
        vision.vit(dataclasses.replace(encoder.BASE, classes=1000), 224, 16, seed=5),
        vision.image_inputs("image", 224),
        {"batch": (1, 2, 3, 4, 5)},
        bench=({"batch": 1}, {"batch": 4}),
        engine_flops=0.95,
    ),
    ZooModel(
        "resnet50",
        vision.application(keras.applications.ResNet50, 224, 1000, seed=6),
        vision.image_inputs("image", 224),
        {"batch": (1, 2, 3, 4, 8)},
        bench=({"batch": 1}, {"batch": 8}),
        engine_flops=0.95,
    ),
    ZooModel(
        "mobilenet_v3",
        vision.application(keras.applications.MobileNetV3Small, 224, 1000, seed=7),
        vision.image_inputs("image", 224),
        {"batch": (1, 2, 3, 4, 8)},
        bench=({"batch": 1}, {"batch": 8}),
        engine_flops=0.95,
    ),
    ZooModel(
        "efficientnet_b0",
        vision.application(keras.applications.EfficientNetB0, 224, 1000, seed=8),
        vision.image_inputs("image", 224),
        {"batch": (1, 2, 3, 4, 8)},
        bench=({"batch": 1}, {"batch": 8}),
    ),
    ZooModel(
        "unet",
        vision.unet(32, 4, seed=9),
        vision.unet_inputs,
        {"batch": (1, 2, 3, 4, 5), "height": (128, 256, 64, 96, 160), "width": (128, 256, 64, 96, 160)},
        bench=({"batch": 1, "height": 256, "width": 256},),
        engine_flops=0.95,
    ),
    ZooModel(
        "detector",
        vision.detector(32, 128, 20, seed=10),
        vision.detector_inputs(32, 128),
        {"batch": (1, 2, 3, 4, 8)},
        bench=({"batch": 1}, {"batch": 8}),
    ),
    ZooModel(
        "ranking",
        sequence.ranking(10000, 16, (512, 256), seed=11),
        sequence.ranking_inputs,
        {"batch": (32, 1, 128, 512, 7)},
        bench=({"batch": 1}, {"batch": 32}, {"batch": 512}),
    ),
    ZooModel(
        "gru",
        sequence.gru(5000, 256, seed=12),
        sequence.id_inputs(5000),
        {"batch": (1, 2, 4, 8, 3), "length": (64, 32, 16, 128, 17)},
        bench=({"batch": 1, "length": 64}, {"batch": 8, "length": 64}),
    ),
    ZooModel(
        "lstm",
        sequence.lstm(5000, 256, seed=13),
        sequence.id_inputs(5000),
        {"batch": (1, 2, 4, 8, 3), "length": (64, 32, 16, 128, 17)},
        bench=({"batch": 1, "length": 64}, {"batch": 8, "length": 64}),
    ),
    ZooModel(
        "text_cnn",
        sequence.text_cnn(5000, 128, seed=14),
        sequence.id_inputs(5000),
        {"batch": (1, 2, 4, 8, 3), "length": (64, 32, 16, 128, 17)},
        bench=({"batch": 1, "length": 64}, {"batch": 8, "length": 64}),
    ),
    ZooModel(
        "chain",
        sequence.chain(128, 1024, seed=15),
        sequence.chain_inputs(128, 1024),
        {"batch": (8, 1, 2, 4, 16)},
        bench=({"batch": 8},),
    ),
)


def get(name: str, *, full: bool = False) -> ZooModel:
    """A model by name; raises KeyError with the names there are."""
    registry = FULL if full else SMALL
    if name not in registry:
        raise KeyError(f"no {'full-size' if full else 'small'} zoo model {name!r}; there are {', '.join(registry)}")
    return registry[name]
