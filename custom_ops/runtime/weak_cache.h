// Values that are shared while someone uses them, each made once even when many ask for it at the same time.
#ifndef TF_BLADE_CUSTOM_OPS_RUNTIME_WEAK_CACHE_H_
#define TF_BLADE_CUSTOM_OPS_RUNTIME_WEAK_CACHE_H_

#include <condition_variable>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tf_blade {

template <typename Key, typename Value>
class WeakCache {
 public:
  using Result = absl::StatusOr<std::shared_ptr<const Value>>;

  // The value of `key`: the one in use, or what `make()` gives. One caller makes it, without any lock held; the others
  // wait and get the same result, be it an error. An error is not kept. An exception in `make` becomes an error for
  // all.
  template <typename Make>
  Result GetOrMake(const Key& key, const Make& make) {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto found = slots_.find(key);
    if (found != slots_.end()) {
      const std::shared_ptr<Attempt> attempt = found->second.attempt;
      if (attempt != nullptr) {
        attempt_over_.wait(lock, [&attempt] { return attempt->over; });
        return attempt->result;
      }
      if (std::shared_ptr<const Value> value = found->second.value.lock()) return value;
    }
    DropExpired();
    const auto attempt = std::make_shared<Attempt>();
    slots_[key].attempt = attempt;
    lock.unlock();
    Result result = MakeOrError(make);
    lock.lock();
    if (result.ok()) {
      slots_[key] = {*result, nullptr};
    } else {
      slots_.erase(key);
    }
    attempt->result = result;
    attempt->over = true;
    attempt_over_.notify_all();
    return result;
  }

 private:
  struct Attempt {
    bool over = false;
    Result result = absl::UnknownError("not made yet");
  };
  struct Slot {
    std::weak_ptr<const Value> value;
    std::shared_ptr<Attempt> attempt;  // while being made
  };

  template <typename Make>
  static Result MakeOrError(const Make& make) {
    try {
      return make();
    } catch (const std::bad_alloc&) {
      return absl::ResourceExhaustedError("no memory");
    } catch (const std::exception& error) {
      return absl::InternalError(error.what());
    } catch (...) {
      return absl::InternalError("an exception of unknown type");
    }
  }

  void DropExpired() {
    for (auto it = slots_.begin(); it != slots_.end();) {
      const bool dead = it->second.attempt == nullptr && it->second.value.expired();
      it = dead ? slots_.erase(it) : std::next(it);
    }
  }

  std::mutex mutex_;
  std::condition_variable attempt_over_;
  std::map<Key, Slot> slots_;
};

}  // namespace tf_blade

#endif  // TF_BLADE_CUSTOM_OPS_RUNTIME_WEAK_CACHE_H_
