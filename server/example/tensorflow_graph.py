"""The graph beside a checkpoint: its variables, and the nodes that save and restore them.

Source: tensorflow/core/protobuf/{meta_graph,saver}.proto, tensorflow/core/framework/{node_def,attr_value,tensor}.proto.
`tf.compat.v1.train.import_meta_graph` reads it and restores every variable.
"""

from collections.abc import Mapping, Sequence

from server.example.protobuf import integer, message, text, varint

FLOAT, _STRING = 1, 7  # DataType
_GRAPH_VERSION = 27  # of TensorFlow 1.12, which the original checkpoints were made with
_SAVER_V2 = 2

Shape = tuple[int, ...]


def meta_graph(shapes: Mapping[str, Shape]) -> bytes:
    """Return a serialized MetaGraphDef of float32 variables with these names and shapes."""
    nodes = [_variable(name, shape) for name, shape in shapes.items()]
    nodes += [*_save_nodes(list(shapes)), *_restore_nodes(list(shapes))]
    graph = b"".join(message(1, node) for node in nodes) + message(4, integer(1, _GRAPH_VERSION))
    return message(1, text(5, "1.12.0")) + message(2, graph) + message(3, _saver())


def shape_fields(shape: Shape) -> bytes:
    """Return the fields of a TensorShapeProto."""
    return b"".join(message(2, integer(1, size)) for size in shape)


def _saver() -> bytes:
    return (
        text(1, "save/Const:0")
        + text(2, "save/control_dependency:0")
        + text(3, "save/restore_all")
        + integer(7, _SAVER_V2)
    )


def _variable(name: str, shape: Shape) -> bytes:
    attributes = {
        "dtype": _type(FLOAT),
        "shape": message(7, shape_fields(shape)),
        "container": text(2, ""),
        "shared_name": text(2, ""),
    }
    return _node(name, "VariableV2", [], attributes)


def _save_nodes(names: Sequence[str]) -> list[bytes]:
    """Return the nodes that write all variables to the file named by `save/Const`."""
    inputs = ["save/Const", "save/SaveV2/tensor_names", "save/SaveV2/shape_and_slices", *names]
    return [
        _string_constant("save/Const", ["model"], ()),
        _string_constant("save/SaveV2/tensor_names", names, (len(names),)),
        _string_constant("save/SaveV2/shape_and_slices", [""] * len(names), (len(names),)),
        _node("save/SaveV2", "SaveV2", inputs, {"dtypes": _float_types(len(names))}),
        _node("save/control_dependency", "Identity", ["save/Const", "^save/SaveV2"], {"T": _type(_STRING)}),
    ]


def _restore_nodes(names: Sequence[str]) -> list[bytes]:
    """Return the nodes that read all variables from that file."""
    sources = ["save/Const", "save/RestoreV2/tensor_names", "save/RestoreV2/shape_and_slices"]
    assignments = [f"save/Assign_{number}" for number in range(len(names))]
    switches = {"T": _type(FLOAT), "use_locking": integer(5, 1), "validate_shape": integer(5, 1)}
    return [
        _string_constant(sources[1], names, (len(names),)),
        _string_constant(sources[2], [""] * len(names), (len(names),)),
        _node("save/RestoreV2", "RestoreV2", sources, {"dtypes": _float_types(len(names))}),
        *(
            _node(assignment, "Assign", [name, f"save/RestoreV2:{number}"], switches)
            for number, (assignment, name) in enumerate(zip(assignments, names, strict=True))
        ),
        _node("save/restore_all", "NoOp", [f"^{assignment}" for assignment in assignments], {}),
    ]


def _string_constant(name: str, values: Sequence[str], shape: Shape) -> bytes:
    tensor = integer(1, _STRING) + message(2, shape_fields(shape)) + b"".join(text(8, value) for value in values)
    return _node(name, "Const", [], {"dtype": _type(_STRING), "value": message(8, tensor)})


def _node(name: str, operation: str, inputs: Sequence[str], attributes: Mapping[str, bytes]) -> bytes:
    """Return a NodeDef. attributes: a serialized AttrValue for each name."""
    pairs = (message(5, text(1, key) + message(2, value)) for key, value in sorted(attributes.items()))
    return text(1, name) + text(2, operation) + b"".join(text(3, source) for source in inputs) + b"".join(pairs)


def _type(data_type: int) -> bytes:
    return integer(6, data_type)


def _float_types(count: int) -> bytes:
    return message(1, message(6, varint(FLOAT) * count))
