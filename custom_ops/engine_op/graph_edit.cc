#include "custom_ops/engine_op/graph_edit.h"

#include <vector>

namespace tf_blade {

using tensorflow::Edge;
using tensorflow::Graph;
using tensorflow::Node;
using tensorflow::NodeDef;

namespace {

void MoveEdges(Graph* graph, Node* from, Node* to) {
  // Edges vanish with their nodes.
  for (const Edge* edge : std::vector<const Edge*>(from->in_edges().begin(), from->in_edges().end())) {
    graph->AddEdge(edge->src(), edge->src_output(), to, edge->dst_input());
  }
  for (const Edge* edge : std::vector<const Edge*>(from->out_edges().begin(), from->out_edges().end())) {
    Node* const reader = edge->dst();
    const int output = edge->src_output();
    const int input = edge->dst_input();
    graph->RemoveEdge(edge);
    graph->AddEdge(to, output, reader, input);
  }
}

}  // namespace

absl::Status ReplaceNode(Graph* graph, Node* from, const NodeDef& definition) {
  absl::Status status;
  Node* const to = graph->AddNode(definition, &status);
  if (!status.ok()) return status;
  to->set_assigned_device_name(from->assigned_device_name());
  to->SetStackTrace(from->GetStackTrace());
  MoveEdges(graph, from, to);
  graph->RemoveNode(from);
  return status;
}

}  // namespace tf_blade
