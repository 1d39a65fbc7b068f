"""A model server with BladeEngineOp linked in."""

def model_server(name, main, **kwargs):
    """Declares a server like TensorFlow Serving's own, with the op beside it.

    Args:
      name: of the binary.
      main: a library with everything of a server, its main function included.
      **kwargs: further attributes of the binary.
    """
    native.cc_binary(
        name = name,
        # Custom ops that the server loads, and whoever reads the op's statistics, find the symbols of the program.
        linkopts = ["-rdynamic"],
        stamp = 1,
        deps = [
            main,
            "//custom_ops:blade_engine_op",
        ],
        **kwargs
    )
