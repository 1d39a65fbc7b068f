// Aligned memory for engines: an arena for one call's scratch, and blocks that live as long as a state.
#ifndef TF_BLADE_CUSTOM_OPS_RUNTIME_MEMORY_H_
#define TF_BLADE_CUSTOM_OPS_RUNTIME_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

namespace tf_blade {

constexpr size_t kMemoryAlignment = 64;

struct FreeDeleter {
  void operator()(void* memory) const { std::free(memory); }
};
using AlignedBlock = std::unique_ptr<void, FreeDeleter>;

// 64-byte aligned; large blocks ask for huge pages. Null when memory is out. A size of 0 gives a valid block.
AlignedBlock AllocateAligned(size_t bytes);

// Memory that is freed all at once, with its owner.
class BlockList {
 public:
  void* Allocate(size_t bytes);
  size_t bytes() const { return bytes_; }
  bool empty() const { return blocks_.empty(); }

  // Frees the block that begins at `memory` and all that were allocated since; nothing if there is no such block.
  void FreeSince(const void* memory);

 private:
  struct Block {
    AlignedBlock memory;
    size_t bytes;
  };

  std::vector<Block> blocks_;
  size_t bytes_ = 0;
};

// A stack of memory that keeps its memory from call to call. What does not fit goes to blocks of its own; the next call
// then finds an arena that is large enough for all of it. When `kWindow` calls in a row needed less than half of it, it
// shrinks to what they needed.
class ScratchArena {
 public:
  static constexpr int kWindow = 256;
  static constexpr size_t kMinShrinkBytes = size_t{1} << 20;

  ScratchArena() = default;
  ScratchArena(const ScratchArena&) = delete;
  ScratchArena& operator=(const ScratchArena&) = delete;
  ~ScratchArena() { Trim(); }

  // Null when memory is out.
  void* Allocate(size_t bytes);

  // Takes back `memory`, which Allocate gave since the last Reset, and all that it gave since.
  void Release(void* memory);

  // Ends a call: all memory handed out is free again.
  void Reset();

  // Called while no one uses the arena. The process as a whole keeps only so much memory in idle arenas; beyond that
  // an arena that goes idle gives its memory back.
  void BecomeIdle();
  void BecomeBusy();

  // Gives back what it holds between calls.
  void Trim();

  // What it holds between calls.
  size_t capacity() const { return capacity_; }
  // The most that a call needed since it became busy.
  size_t busy_peak() const { return busy_peak_; }

 private:
  void NotePeak();
  void Resize(size_t bytes);

  AlignedBlock block_;
  size_t capacity_ = 0;
  size_t used_ = 0;
  size_t call_peak_ = 0;  // of this call
  size_t peak_ = 0;       // of the calls of this window
  size_t busy_peak_ = 0;
  int calls_ = 0;  // in this window
  bool idle_ = false;
  BlockList overflow_;
};

// The arenas of this process. A call borrows one for as long as it runs, whatever its engine: so there are as many as
// calls at once, not as many for each engine, and a call finds what the one before it has left in the processor's
// cache. Those that were not needed lately are freed.
std::unique_ptr<ScratchArena> BorrowArena();
void ReturnArena(std::unique_ptr<ScratchArena> arena);

// Gives back what arenas hold that no call has borrowed.
void FreeIdleArenas();

// What all arenas hold now, between calls and in them.
int64_t ScratchBytes();

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_RUNTIME_MEMORY_H_
