// emulation: a launch -> its blocks one after another, the threads of a block as fibers that
// run until they wait at a barrier, in an order that the test chooses.
#include "tests/support/cuda/emulation.h"

#include <fmt/format.h>
#include <ucontext.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <vector>

#include "tests/support/cuda/cuda_runtime.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#else
static void __sanitizer_start_switch_fiber(void**, const void*, size_t) {}
static void __sanitizer_finish_switch_fiber(void*, const void**, size_t*) {}
#endif

namespace expgraph::cuda {
constexpr size_t kSharedBytes = 48 * 1024;  // what every device gives without being asked
constexpr size_t kGuardBytes = 4096;
alignas(16) unsigned char dynamic_shared[kSharedBytes + kGuardBytes];
}  // namespace expgraph::cuda

namespace expgraph::emulation {
namespace {

constexpr size_t kWarp = 32;
constexpr size_t kStack = 256 * 1024;  // with room for a sanitizer's frames
constexpr unsigned char kUntouched = 0xff;

enum class State { ready, at_block_barrier, at_warp_barrier, done };

struct Fiber {
  ucontext_t context{};
  std::unique_ptr<char[]> stack = std::make_unique_for_overwrite<char[]>(kStack);
  void* sanitizer = nullptr;
  dim3 index;
  State state = State::done;
  int where = 0;  // line of the barrier it waits at
  std::vector<unsigned char> shown;
};

/// The one block that runs.
struct Block {
  Order order = Order::forward;
  std::mt19937 random;
  Report report;
  std::vector<Fiber> fibers;
  size_t threads = 0;
  size_t now = 0;
  ucontext_t scheduler{};
  void* sanitizer = nullptr;
  const void* scheduler_stack = nullptr;
  size_t scheduler_bytes = 0;
  const std::function<void()>* body = nullptr;
};
Block& block() {
  static Block one;
  return one;
}

void leave(State state, int where) {
  Block& b = block();
  Fiber& fiber = b.fibers[b.now];
  fiber.state = state;
  fiber.where = where;
  __sanitizer_start_switch_fiber(&fiber.sanitizer, b.scheduler_stack, b.scheduler_bytes);
  swapcontext(&fiber.context, &b.scheduler);
  __sanitizer_finish_switch_fiber(fiber.sanitizer, nullptr, nullptr);
}

void run_fiber() {
  Block& b = block();
  __sanitizer_finish_switch_fiber(nullptr, &b.scheduler_stack, &b.scheduler_bytes);
  (*b.body)();
  b.fibers[b.now].state = State::done;
  // It returns to the scheduler by uc_link, so that its stack is left clean for the next block.
  __sanitizer_start_switch_fiber(nullptr, b.scheduler_stack, b.scheduler_bytes);
}

void resume(size_t k) {
  Block& b = block();
  Fiber& fiber = b.fibers[k];
  b.now = k;
  threadIdx = fiber.index;
  fiber.state = State::ready;
  __sanitizer_start_switch_fiber(&b.sanitizer, fiber.stack.get(), kStack);
  swapcontext(&b.scheduler, &fiber.context);
  __sanitizer_finish_switch_fiber(b.sanitizer, nullptr, nullptr);
}

void start_fibers() {
  Block& b = block();
  b.threads = size_t{blockDim.x} * blockDim.y * blockDim.z;
  if (b.fibers.size() < b.threads) b.fibers.resize(b.threads);
  for (size_t k = 0; k < b.threads; ++k) {
    Fiber& fiber = b.fibers[k];
    fiber.index = dim3(static_cast<unsigned>(k % blockDim.x),
                       static_cast<unsigned>(k / blockDim.x % blockDim.y),
                       static_cast<unsigned>(k / blockDim.x / blockDim.y));
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = &b.scheduler;
    makecontext(&fiber.context, run_fiber, 0);
    fiber.state = State::ready;
    fiber.sanitizer = nullptr;
  }
}

std::vector<size_t> order_of_threads() {
  Block& b = block();
  std::vector<size_t> order(b.threads);
  std::iota(order.begin(), order.end(), size_t{0});
  if (b.order == Order::backward) std::ranges::reverse(order);
  if (b.order == Order::shuffled) std::ranges::shuffle(order, b.random);
  return order;
}

std::string place(size_t k) {
  const Fiber& fiber = block().fibers[k];
  const std::string who = fmt::format("thread ({},{}) of block ({},{},{})", fiber.index.x,
                                      fiber.index.y, blockIdx.x, blockIdx.y, blockIdx.z);
  if (fiber.state == State::done) return who + " has ended";
  return fmt::format("{} waits at line {} for its {}", who, fiber.where,
                     fiber.state == State::at_block_barrier ? "block" : "warp");
}

/// Lets threads begin .. end go on from a barrier that all of them wait at; false when they do not.
bool release(size_t begin, size_t end, State barrier) {
  std::vector<Fiber>& fibers = block().fibers;
  for (size_t k = begin; k < end; ++k) {
    if (fibers[k].state != barrier || fibers[k].where != fibers[begin].where) return false;
  }
  for (size_t k = begin; k < end; ++k) fibers[k].state = State::ready;
  return true;
}

/// Why no thread can go on.
std::string stuck() {
  const Block& b = block();
  for (size_t k = 1; k < b.threads; ++k) {
    const Fiber &one = b.fibers[k - 1], &other = b.fibers[k];
    if (one.state == other.state && one.where == other.where) continue;
    return fmt::format("{}, but {}", place(k - 1), place(k));
  }
  return "threads of a warp wait at different places";
}

/// Runs one block until all threads have ended; the fault that stops it, or "".
std::string run_block() {
  Block& b = block();
  start_fibers();
  while (true) {
    for (const size_t k : order_of_threads()) {
      if (b.fibers[k].state == State::ready) resume(k);
    }
    const auto has_ended = [](const Fiber& fiber) { return fiber.state == State::done; };
    const auto live = b.fibers.begin() + static_cast<ptrdiff_t>(b.threads);
    if (std::all_of(b.fibers.begin(), live, has_ended)) return "";
    bool released = release(0, b.threads, State::at_block_barrier);
    for (size_t warp = 0; warp < b.threads && !released; warp += kWarp) {
      const size_t end = std::min(warp + kWarp, b.threads);
      released = release(warp, end, State::at_warp_barrier);
    }
    if (released) continue;
    const std::string fault = stuck();
    b.fibers.clear();  // their stacks are in the middle of something
    return fault;
  }
}

/// Programs launch from threads of their own.
std::mutex& one_launch() {
  static std::mutex mutex;
  return mutex;
}

bool is_launchable(const cudaLaunchConfig_t& config) {
  const dim3 &grid = config.gridDim, &threads = config.blockDim;
  const bool filled =
      grid.x > 0 && grid.y > 0 && grid.z > 0 && threads.x > 0 && threads.y > 0 && threads.z > 0;
  return filled && grid.y <= 65535 && grid.z <= 65535 && grid.x <= 2147483647u &&
         uint64_t{threads.x} * threads.y * threads.z <= 1024 && threads.z <= 64 &&
         config.dynamicSmemBytes <= cuda::kSharedBytes;
}

}  // namespace

cudaError_t run(const cudaLaunchConfig_t& config, const std::function<void()>& thread) {
  if (!is_launchable(config)) return cudaErrorInvalidConfiguration;
  const std::lock_guard lock(one_launch());
  Block& b = block();
  ++b.report.launches;
  b.body = &thread;
  gridDim = config.gridDim;
  blockDim = config.blockDim;
  const uint64_t across = gridDim.x, layer = across * gridDim.y;
  for (uint64_t k = 0; k < layer * gridDim.z && b.report.fault.empty(); ++k) {
    blockIdx = dim3(static_cast<unsigned>(k % across), static_cast<unsigned>(k % layer / across),
                    static_cast<unsigned>(k / layer));
    std::memset(cuda::dynamic_shared, kUntouched, sizeof cuda::dynamic_shared);
    b.report.fault = run_block();
    b.report.threads += static_cast<int64_t>(b.threads);
    const unsigned char* guard = cuda::dynamic_shared + config.dynamicSmemBytes;
    const auto touched = [](unsigned char byte) { return byte != kUntouched; };
    if (std::any_of(guard, guard + cuda::kGuardBytes, touched)) {
      b.report.fault =
          fmt::format("a write behind the {} bytes of shared memory of block ({},{},{})",
                      config.dynamicSmemBytes, blockIdx.x, blockIdx.y, blockIdx.z);
    }
  }
  return cudaSuccess;
}

void wait_for_block(int where) { leave(State::at_block_barrier, where); }
void wait_for_warp(int where) { leave(State::at_warp_barrier, where); }

void show(const void* bytes, size_t size) {
  const auto* from = static_cast<const unsigned char*>(bytes);
  block().fibers[block().now].shown.assign(from, from + size);
}

void look(unsigned lane_mask, void* bytes, size_t size) {
  const Block& b = block();
  const size_t lane = b.now % kWarp ^ lane_mask;
  const size_t other = b.now / kWarp * kWarp + lane;
  // A lane that is not there shows what nobody wrote.
  std::memset(bytes, kUntouched, size);
  if (other < b.threads && b.fibers[other].shown.size() == size) {
    std::memcpy(bytes, b.fibers[other].shown.data(), size);
  }
}

void start(Order order) {
  Block& b = block();
  b.order = order;
  b.random.seed(1);
  b.report = {};
}

Report report() {
  const std::lock_guard lock(one_launch());
  return block().report;
}

}  // namespace expgraph::emulation
