#include "custom_ops/runtime/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>

#include "custom_ops/runtime/slot_pool.h"

namespace tf_blade {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kHugePageThreshold = size_t{8} << 20;
constexpr size_t kMaxIdleBytes = size_t{1} << 30;
// Idle at once: more calls than these at once allocate each time.
constexpr size_t kMostArenas = 256;

std::atomic<size_t> idle_bytes{0};
std::atomic<int64_t> scratch_bytes{0};

// Never destroyed: kernels may outlive static destruction.
SlotPool<ScratchArena, kMostArenas>& Arenas() {
  static auto* const arenas = std::make_unique<SlotPool<ScratchArena, kMostArenas>>().release();
  return *arenas;
}

bool RoundUp(size_t bytes, size_t unit, size_t* rounded) {
  if (bytes > SIZE_MAX - unit) return false;
  *rounded = (std::max<size_t>(bytes, 1) + unit - 1) / unit * unit;
  return true;
}

}  // namespace

AlignedBlock AllocateAligned(size_t bytes) {
  const bool huge = bytes >= kHugePageThreshold;
  size_t rounded;
  if (!RoundUp(bytes, kMemoryAlignment, &rounded)) return nullptr;
  void* memory = nullptr;
  if (posix_memalign(&memory, huge ? kHugePage : kMemoryAlignment, rounded) != 0) return nullptr;
#ifdef MADV_HUGEPAGE
  // Advice only; whole pages, so that no page is backed that the block does not use.
  if (huge) madvise(memory, rounded / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  return AlignedBlock(memory);
}

void* BlockList::Allocate(size_t bytes) {
  AlignedBlock block = AllocateAligned(bytes);
  if (block == nullptr) return nullptr;
  blocks_.push_back({std::move(block), bytes});
  bytes_ += bytes;
  return blocks_.back().memory.get();
}

void BlockList::FreeSince(const void* memory) {
  const auto is_it = [memory](const Block& block) { return block.memory.get() == memory; };
  const auto first = std::find_if(blocks_.begin(), blocks_.end(), is_it);
  for (auto block = first; block != blocks_.end(); ++block) bytes_ -= block->bytes;
  blocks_.erase(first, blocks_.end());
}

void* ScratchArena::Allocate(size_t bytes) {
  size_t rounded;
  if (!RoundUp(bytes, kMemoryAlignment, &rounded)) return nullptr;
  // After the first block of its own all get one, so that what is in the arena is older than what is not.
  if (!overflow_.empty() || rounded > capacity_ - used_) return overflow_.Allocate(rounded);
  void* memory = static_cast<char*>(block_.get()) + used_;
  used_ += rounded;
  return memory;
}

void ScratchArena::NotePeak() { call_peak_ = std::max(call_peak_, used_ + overflow_.bytes()); }

void ScratchArena::Release(void* memory) {
  NotePeak();
  char* const begin = static_cast<char*>(block_.get());
  // Blocks begin at different addresses; `less` orders them where operators need not.
  const std::less<const void*> before;
  if (begin != nullptr && !before(memory, begin) && before(memory, begin + used_)) {
    overflow_ = BlockList();
    used_ = static_cast<size_t>(static_cast<char*>(memory) - begin);
  } else {
    overflow_.FreeSince(memory);
  }
}

void ScratchArena::Reset() {
  NotePeak();
  overflow_ = BlockList();
  used_ = 0;
  if (call_peak_ > capacity_) Resize(call_peak_);
  peak_ = std::max(peak_, call_peak_);
  busy_peak_ = std::max(busy_peak_, call_peak_);
  call_peak_ = 0;
  if (++calls_ < kWindow) return;
  if (capacity_ > 2 * peak_ + kMinShrinkBytes) Resize(peak_);
  peak_ = 0;
  calls_ = 0;
}

void ScratchArena::Resize(size_t bytes) {
  const auto former = static_cast<int64_t>(capacity_);
  block_ = nullptr;  // first, so that both never exist at once
  block_ = bytes == 0 ? nullptr : AllocateAligned(bytes);
  capacity_ = block_ == nullptr ? 0 : bytes;
  scratch_bytes.fetch_add(static_cast<int64_t>(capacity_) - former, std::memory_order_relaxed);
}

void ScratchArena::BecomeIdle() {
  if (capacity_ == 0) return;
  if (idle_bytes.fetch_add(capacity_, std::memory_order_relaxed) + capacity_ > kMaxIdleBytes) {
    idle_bytes.fetch_sub(capacity_, std::memory_order_relaxed);
    Trim();
  } else {
    idle_ = true;
  }
}

void ScratchArena::BecomeBusy() {
  busy_peak_ = 0;
  if (!idle_) return;
  idle_bytes.fetch_sub(capacity_, std::memory_order_relaxed);
  idle_ = false;
}

void ScratchArena::Trim() {
  BecomeBusy();
  Resize(0);
  used_ = 0;
}

std::unique_ptr<ScratchArena> BorrowArena() {
  std::unique_ptr<ScratchArena> arena = Arenas().TakeOrMake([] { return std::make_unique<ScratchArena>(); });
  arena->BecomeBusy();
  return arena;
}

void ReturnArena(std::unique_ptr<ScratchArena> arena) {
  arena->BecomeIdle();
  Arenas().Give(std::move(arena));
}

void FreeIdleArenas() {
  Arenas().ForEachIdle([](ScratchArena& arena) { arena.Trim(); });
}

int64_t ScratchBytes() { return scratch_bytes.load(std::memory_order_relaxed); }

}  // namespace tf_blade
