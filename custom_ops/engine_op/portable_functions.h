// Functions of a portable model with engine ops in them, each beside the function that it was made of. The originals
// stay as they are: a session keeps its library of functions, and what is added to its graph later brings them again.
#ifndef TF_BLADE_CUSTOM_OPS_ENGINE_OP_PORTABLE_FUNCTIONS_H_
#define TF_BLADE_CUSTOM_OPS_ENGINE_OP_PORTABLE_FUNCTIONS_H_

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tensorflow/core/framework/attr_value.pb.h"
#include "tensorflow/core/framework/function.h"
#include "tensorflow/core/framework/function.pb.h"
#include "tensorflow/core/framework/node_def.pb.h"
#include "tensorflow/core/graph/graph.h"

namespace tf_blade {

// Copies of functions in which portable calls are engine ops, and of all functions that lead to these.
class EngineFunctions {
 public:
  // Whether a call becomes an engine op. XLA compiles what it is in, or does not.
  using Decide = std::function<bool(const tensorflow::NodeDef& call, bool is_compiled)>;

  // Of the functions that the graph calls. XLA compiles the graph, or does not. `decide` is asked once for each
  // portable call of these functions.
  EngineFunctions(const tensorflow::FunctionLibraryDefinition& library, const tensorflow::Graph& graph,
                  bool is_compiled, const Decide& decide);

  // Adds the copies to the library and to the graph's own, where it does not see them yet. The same copies have the
  // same names each time, and others have others.
  absl::Status AddTo(tensorflow::FunctionLibraryDefinition* library, tensorflow::Graph* graph) const;

  // The node with copies in the places of the functions that it names; nothing where it names none that has a copy.
  std::optional<tensorflow::NodeDef> Redirected(const tensorflow::NodeDef& node) const;

 private:
  struct Function {
    tensorflow::core::RefCountPtr<tensorflow::FunctionRecord> record;
    std::string gradient;         // the function that computes its gradients, if one is given
    std::set<std::string> uses;   // what it calls or names, its gradient function, and its other implementations
    std::set<std::string> calls;  // of its nodes, those that become engine ops
    bool is_compiled = false;
    bool is_copied = false;
    std::string suffix;  // of the copy's name
  };

  // The functions that a node names and that copies may take the places of.
  std::vector<std::string> FunctionsOf(const tensorflow::NodeDef& node) const;
  std::vector<std::string> OtherImplementations(const tensorflow::FunctionDef& function) const;
  // These functions and all that they use become known.
  void Reach(std::vector<std::string> names);
  // Functions that XLA compiles, with all that they use: these, and those that are marked so or called so.
  void MarkCompiled(std::vector<std::string> names);
  void MarkCopied();
  void NameCopies();

  std::string NameOfCopy(const std::string& name) const;
  tensorflow::FunctionDef Copy(const Function& function) const;
  bool Redirect(tensorflow::NameAttrList* function) const;
  bool Redirect(tensorflow::AttrValue* value) const;

  const tensorflow::FunctionLibraryDefinition& library_;
  std::map<std::string, Function> functions_;
};

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_ENGINE_OP_PORTABLE_FUNCTIONS_H_
