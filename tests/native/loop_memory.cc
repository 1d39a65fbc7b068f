// A loop's scratch memory against a host that counts: prints what fails; exits with 1 then.
#include "custom_ops/disc/cpu/loop.h"

#include <cstdio>
#include <memory>
#include <vector>

namespace {

int failures = 0;

void Expect(bool condition, const char* what) {
  if (condition) return;
  std::printf("failed: %s\n", what);
  ++failures;
}

// Gives memory, and takes a block back with all younger ones.
struct Host {
  std::vector<std::unique_ptr<char[]>> blocks;
  size_t most = 0;
  int strangers = 0;

  BladeRal Ral() {
    BladeRal ral = {};
    ral.context = this;
    ral.alloc = [](void* self, size_t bytes) -> void* {
      auto& host = *static_cast<Host*>(self);
      host.blocks.push_back(std::make_unique<char[]>(bytes + 1));
      if (host.blocks.size() > host.most) host.most = host.blocks.size();
      return host.blocks.back().get();
    };
    ral.release = [](void* self, void* memory) {
      auto& host = *static_cast<Host*>(self);
      size_t index = 0;
      while (index < host.blocks.size() && host.blocks[index].get() != memory) ++index;
      host.strangers += index == host.blocks.size();
      host.blocks.resize(index);
    };
    return ral;
  }
};

// Turns with 100 blocks each, more than are kept: the host never holds more than one turn's.
void TestTurnsUseTheSameMemory(bool release_in_turn) {
  Host host;
  const BladeRal ral = host.Ral();
  {
    blade::LoopMemory memory(&ral);
    const BladeRal* const loop = memory.ral();
    for (int turn = 0; turn < 50; ++turn) {
      memory.restart();
      std::vector<char*> blocks;
      for (int i = 0; i < 100; ++i) blocks.push_back(static_cast<char*>(loop->alloc(loop->context, 8)));
      for (int i = 0; i < 100; ++i) *blocks[i] = static_cast<char>(i);
      for (int i = 0; i < 100; ++i) Expect(*blocks[i] == i, "memory of its own");
      if (release_in_turn) loop->release(loop->context, blocks[turn * 2]);
    }
    Expect(host.most == 100, "no more than a turn needs");
  }
  Expect(host.blocks.empty() && host.strangers == 0, "all goes back, once");
}

// A block that is too small is replaced by a younger one: what is released beyond the blocks must not take it along.
void TestReplacedBlocksStay() {
  Host host;
  const BladeRal ral = host.Ral();
  blade::LoopMemory memory(&ral);
  const BladeRal* const loop = memory.ral();
  std::vector<void*> blocks;
  for (int i = 0; i < 80; ++i) blocks.push_back(loop->alloc(loop->context, 8));
  loop->release(loop->context, blocks[10]);
  Expect(host.blocks.size() == 64, "what was beyond the blocks is the host's again");
  auto* const larger = static_cast<char*>(loop->alloc(loop->context, 800));
  memory.restart();
  for (int i = 0; i < 10; ++i) Expect(loop->alloc(loop->context, 8) == blocks[i], "the same memory");
  Expect(loop->alloc(loop->context, 800) == larger && host.blocks.back().get() == larger, "which the host still holds");
  Expect(loop->alloc(loop->context, 0) != nullptr, "a block without bytes");
}

void TestBlocksWithoutBytes() {
  Host host;
  const BladeRal ral = host.Ral();
  blade::LoopMemory memory(&ral);
  Expect(memory.ral()->alloc(memory.ral()->context, 0) != nullptr, "a first block without bytes");
}

}  // namespace

int main() {
  TestTurnsUseTheSameMemory(false);
  TestTurnsUseTheSameMemory(true);
  TestReplacedBlocksStay();
  TestBlocksWithoutBytes();
  return failures == 0 ? 0 : 1;
}
