"""TensorFlow, XLA, ONNX Runtime, OpenVINO and tf_blade side by side on CPU: `python -m benchmarks.cpu.peers`.

rows → convert → worker processes, one a framework → rounds in turns → results.json, Markdown, charts.
docs/performance.md tells what the figures mean.
"""
