#include "custom_ops/engine_op/portable_functions.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "custom_ops/engine_op/portable_call.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/platform/hash.h"

namespace tf_blade {
namespace {

using tensorflow::AttrValue;
using tensorflow::FunctionDef;
using tensorflow::FunctionLibraryDefinition;
using tensorflow::Graph;
using tensorflow::NameAttrList;
using tensorflow::Node;
using tensorflow::NodeDef;

// Functions with the same value implement the same: Grappler exchanges them for each other.
constexpr char kInterface[] = "api_implements";

bool NamesFunctions(const AttrValue& value) { return value.has_func() || value.list().func_size() > 0; }

void AddNames(const AttrValue& value, std::vector<std::string>* names);

void AddNames(const NameAttrList& function, std::vector<std::string>* names) {
  names->push_back(function.name());
  for (const auto& [unused, value] : function.attr()) AddNames(value, names);
}

void AddNames(const AttrValue& value, std::vector<std::string>* names) {
  if (value.has_func()) AddNames(value.func(), names);
  for (const NameAttrList& function : value.list().func()) AddNames(function, names);
}

std::string InterfaceOf(const FunctionDef& function) {
  const auto found = function.attr().find(kInterface);
  return found == function.attr().end() ? "" : found->second.s();
}

bool HasPortableCall(const FunctionLibraryDefinition& library) {
  for (const std::string& name : library.ListFunctionNames()) {
    const auto record = library.FindRecord(name);
    if (record == nullptr) continue;
    const auto& nodes = record->fdef().node_def();
    if (std::any_of(nodes.begin(), nodes.end(), IsPortableCall)) return true;
  }
  return false;
}

void Extend(const std::vector<std::string>& items, std::vector<std::string>* all) {
  all->insert(all->end(), items.begin(), items.end());
}

// The function, if it is one, by name from the library that has it to another.
absl::Status Share(const FunctionLibraryDefinition& from, const std::string& name, FunctionLibraryDefinition* to) {
  const tensorflow::OpRegistrationData* known = nullptr;
  if (to->LookUp(name, &known).ok()) return absl::OkStatus();
  return to->AddFunctionRecord(from.FindRecord(name));
}

}  // namespace

EngineFunctions::EngineFunctions(const FunctionLibraryDefinition& library, const Graph& graph, bool is_compiled,
                                 const Decide& decide)
    : library_(library) {
  if (!HasPortableCall(library)) return;
  std::vector<std::string> reached;
  std::vector<std::string> compiled;
  for (const Node* node : graph.op_nodes()) {
    const std::vector<std::string> names = FunctionsOf(node->def());
    Extend(names, &reached);
    if (is_compiled || IsCompiled(node->def().attr())) Extend(names, &compiled);
  }
  Reach(std::move(reached));
  MarkCompiled(std::move(compiled));
  for (auto& [unused, function] : functions_) {
    for (const NodeDef& node : function.record->fdef().node_def()) {
      if (IsPortableCall(node) && decide(node, function.is_compiled)) function.calls.insert(node.name());
    }
  }
  MarkCopied();
  NameCopies();
}

std::vector<std::string> EngineFunctions::FunctionsOf(const NodeDef& node) const {
  std::vector<std::string> names = {node.op()};
  for (const auto& [unused, value] : node.attr()) AddNames(value, &names);
  // TensorFlow differentiates the function itself where it has no gradient function. It cannot differentiate engines.
  const bool is_gradient = node.op() == FunctionLibraryDefinition::kGradientOp;
  const auto is_no_use = [&](const std::string& name) {
    return !library_.Contains(name) || (is_gradient && library_.FindGradient(name).empty());
  };
  names.erase(std::remove_if(names.begin(), names.end(), is_no_use), names.end());
  return names;
}

std::vector<std::string> EngineFunctions::OtherImplementations(const FunctionDef& function) const {
  std::vector<std::string> names;
  const std::string interface = InterfaceOf(function);
  if (interface.empty()) return names;
  for (const std::string& name : library_.ListFunctionNames()) {
    const auto record = library_.FindRecord(name);
    if (record != nullptr && InterfaceOf(record->fdef()) == interface) names.push_back(name);
  }
  return names;
}

void EngineFunctions::Reach(std::vector<std::string> names) {
  while (!names.empty()) {
    const std::string name = names.back();
    names.pop_back();
    auto record = library_.FindRecord(name);
    if (record == nullptr || functions_.count(name) > 0) continue;
    Function& function = functions_[name];
    function.record = std::move(record);
    const FunctionDef& definition = function.record->fdef();
    std::vector<std::string> uses = OtherImplementations(definition);
    for (const NodeDef& node : definition.node_def()) Extend(FunctionsOf(node), &uses);
    function.gradient = library_.FindGradient(name);
    if (!function.gradient.empty()) uses.push_back(function.gradient);
    function.uses.insert(uses.begin(), uses.end());
    Extend(uses, &names);
  }
}

void EngineFunctions::MarkCompiled(std::vector<std::string> names) {
  for (const auto& [name, function] : functions_) {
    const FunctionDef& definition = function.record->fdef();
    if (IsCompiled(definition.attr())) names.push_back(name);
    for (const NodeDef& node : definition.node_def()) {
      if (IsCompiled(node.attr())) Extend(FunctionsOf(node), &names);
    }
  }
  while (!names.empty()) {
    const auto found = functions_.find(names.back());
    names.pop_back();
    if (found == functions_.end() || found->second.is_compiled) continue;
    found->second.is_compiled = true;
    names.insert(names.end(), found->second.uses.begin(), found->second.uses.end());
  }
}

void EngineFunctions::MarkCopied() {
  std::map<std::string, std::vector<std::string>> users;
  std::vector<std::string> names;
  for (const auto& [name, function] : functions_) {
    if (!function.calls.empty()) names.push_back(name);
    for (const std::string& use : function.uses) users[use].push_back(name);
  }
  while (!names.empty()) {
    const std::string name = names.back();
    names.pop_back();
    Function& function = functions_.at(name);
    if (function.is_copied) continue;
    function.is_copied = true;
    Extend(users[name], &names);
  }
}

// A copy is fixed by what it and all copies that it uses are made of, so that is what its name is made of.
void EngineFunctions::NameCopies() {
  std::map<std::string, uint64_t> hashes;
  for (const auto& [name, function] : functions_) {
    if (!function.is_copied) continue;
    uint64_t hash = tensorflow::Hash64Combine(tensorflow::Hash64(name), FunctionDefHash(function.record->fdef()));
    for (const std::string& call : function.calls) hash = tensorflow::Hash64Combine(hash, tensorflow::Hash64(call));
    hashes[name] = hash;
  }
  for (const auto& [name, unused] : hashes) {
    std::set<std::string> used;
    std::vector<std::string> names = {name};
    while (!names.empty()) {
      const std::string next = names.back();
      names.pop_back();
      if (hashes.count(next) == 0 || !used.insert(next).second) continue;
      const std::set<std::string>& uses = functions_.at(next).uses;
      names.insert(names.end(), uses.begin(), uses.end());
    }
    uint64_t hash = 0;
    for (const std::string& item : used) hash = tensorflow::Hash64Combine(hash, hashes.at(item));
    functions_.at(name).suffix = absl::StrCat("_blade_", absl::Hex(hash, absl::kZeroPad16));
  }
}

// Empty where there is none.
std::string EngineFunctions::NameOfCopy(const std::string& name) const {
  const auto found = functions_.find(name);
  return found == functions_.end() || !found->second.is_copied ? "" : absl::StrCat(name, found->second.suffix);
}

bool EngineFunctions::Redirect(NameAttrList* function) const {
  bool changed = false;
  const std::string copy = NameOfCopy(function->name());
  if (!copy.empty()) {
    function->set_name(copy);
    changed = true;
  }
  for (auto& [unused, value] : *function->mutable_attr()) changed = Redirect(&value) || changed;
  return changed;
}

bool EngineFunctions::Redirect(AttrValue* value) const {
  if (!NamesFunctions(*value)) return false;
  if (value->has_func()) return Redirect(value->mutable_func());
  bool changed = false;
  for (NameAttrList& function : *value->mutable_list()->mutable_func()) changed = Redirect(&function) || changed;
  return changed;
}

std::optional<NodeDef> EngineFunctions::Redirected(const NodeDef& node) const {
  const std::vector<std::string> names = FunctionsOf(node);
  const auto has_copy = [this](const std::string& name) { return !NameOfCopy(name).empty(); };
  if (std::none_of(names.begin(), names.end(), has_copy)) return std::nullopt;
  NodeDef changed = node;
  const std::string copy = NameOfCopy(node.op());
  if (!copy.empty()) changed.set_op(copy);
  for (auto& [unused, value] : *changed.mutable_attr()) Redirect(&value);
  return changed;
}

FunctionDef EngineFunctions::Copy(const Function& function) const {
  FunctionDef copy = WithEngines(function.record->fdef(), function.calls);
  copy.mutable_signature()->set_name(NameOfCopy(copy.signature().name()));
  for (NodeDef& node : *copy.mutable_node_def()) {
    if (std::optional<NodeDef> redirected = Redirected(node)) node = *std::move(redirected);
  }
  // Or else Grappler would exchange it for an original.
  const auto interface = copy.mutable_attr()->find(kInterface);
  if (interface != copy.mutable_attr()->end()) interface->second.mutable_s()->append(function.suffix);
  return copy;
}

absl::Status EngineFunctions::AddTo(FunctionLibraryDefinition* library, Graph* graph) const {
  for (const auto& [name, function] : functions_) {
    if (!function.is_copied) continue;
    const std::string copy = NameOfCopy(name);
    absl::Status status = library->AddFunctionDef(Copy(function), function.record->stack_traces());
    if (status.ok()) status = Share(*library, copy, graph->mutable_flib_def());
    if (!status.ok()) return status;
    if (function.gradient.empty()) continue;
    const std::string copy_of_gradient = NameOfCopy(function.gradient);
    tensorflow::GradientDef gradient;
    gradient.set_function_name(copy);
    gradient.set_gradient_func(copy_of_gradient.empty() ? function.gradient : copy_of_gradient);
    status = library->AddGradientDef(gradient);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace tf_blade
