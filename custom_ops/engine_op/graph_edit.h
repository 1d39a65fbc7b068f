// Changes of TensorFlow's graphs.
#ifndef TF_BLADE_CUSTOM_OPS_ENGINE_OP_GRAPH_EDIT_H_
#define TF_BLADE_CUSTOM_OPS_ENGINE_OP_GRAPH_EDIT_H_

#include "absl/status/status.h"
#include "tensorflow/core/framework/node_def.pb.h"
#include "tensorflow/core/graph/graph.h"

namespace tf_blade {

// Puts a new node in the place of one with the same inputs and outputs. Nothing has changed where that fails.
absl::Status ReplaceNode(tensorflow::Graph* graph, tensorflow::Node* from, const tensorflow::NodeDef& definition);

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_ENGINE_OP_GRAPH_EDIT_H_
