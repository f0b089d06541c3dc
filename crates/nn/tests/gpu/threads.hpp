// Threads of a GPU as fibers on one CPU thread: kernel sources run here as they are, with barriers and
// exchange between lanes, so that they are tested where there is no GPU.
//
// A fiber runs until it waits; then the next one does. All threads of a block that are not done must meet
// at `sync_block`, all lanes of a subgroup at `sync_lanes`: a thread that others wait for in vain is an
// error, which ends the process.
#pragma once
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <vector>

namespace gpu {

constexpr int LANES = 32;  // of a subgroup: a warp, a SIMD group

struct Meeting {
  int arrived = 0;
  int members = 0;
  long round = 0;
};

struct Block {
  explicit Block(int threads) : contexts(threads), stacks(threads), done(threads, false) {
    block.members = threads;
    lanes.resize((threads + LANES - 1) / LANES);
    slots.resize(threads);
    for (int thread = 0; thread < threads; ++thread) ++lanes[thread / LANES].members;
  }

  static constexpr size_t STACK = 64 << 10;
  ucontext_t scheduler;
  std::vector<ucontext_t> contexts;
  std::vector<std::unique_ptr<char[]>> stacks;
  std::vector<bool> done;
  Meeting block;
  std::vector<Meeting> lanes;
  std::vector<double> slots;
  int current = 0;
  bool moved = false;  // whether anyone came to a meeting, or to the end, in this round
  std::function<void(int)> body;
};

inline thread_local Block* here = nullptr;

inline void yield() { swapcontext(&here->contexts[here->current], &here->scheduler); }

inline void open_if_full(Meeting& meeting) {
  if (meeting.members > 0 && meeting.arrived == meeting.members) {
    meeting.arrived = 0;
    ++meeting.round;
  }
}

inline void meet(Meeting& meeting) {
  const long round = meeting.round;
  ++meeting.arrived;
  here->moved = true;
  open_if_full(meeting);
  while (meeting.round == round) yield();
}

inline int thread() { return here->current; }
inline int lane() { return here->current % LANES; }
inline void sync_block() { meet(here->block); }
inline void sync_lanes() { meet(here->lanes[here->current / LANES]); }

// What lane `from` of this subgroup passes as `value`; its own where there is no such lane.
template <class T>
T from_lane(T value, int from) {
  const int first = here->current / LANES * LANES;
  here->slots[here->current] = static_cast<double>(value);
  sync_lanes();
  const int source = first + from;
  const bool exists = from >= 0 && from < LANES && source < static_cast<int>(here->slots.size());
  const T got = exists ? static_cast<T>(here->slots[source]) : value;
  sync_lanes();
  return got;
}

inline void enter() {
  Block* block = here;
  const int thread = block->current;
  block->body(thread);
  block->done[thread] = true;
  block->moved = true;
  // Whoever is done no longer takes part in meetings.
  --block->block.members;
  --block->lanes[thread / LANES].members;
  open_if_full(block->block);
  open_if_full(block->lanes[thread / LANES]);
  swapcontext(&block->contexts[thread], &block->scheduler);
}

// Runs `body(thread)` on as many threads of one block.
inline void run_block(int threads, std::function<void(int)> body) {
  Block block(threads);
  block.body = std::move(body);
  Block* outer = here;
  here = &block;
  for (int thread = 0; thread < threads; ++thread) {
    block.stacks[thread].reset(new char[Block::STACK]);
    getcontext(&block.contexts[thread]);
    block.contexts[thread].uc_stack.ss_sp = block.stacks[thread].get();
    block.contexts[thread].uc_stack.ss_size = Block::STACK;
    block.contexts[thread].uc_link = nullptr;
    makecontext(&block.contexts[thread], enter, 0);
  }
  for (int left = threads; left > 0;) {
    block.moved = false;
    for (int thread = 0; thread < threads; ++thread) {
      if (block.done[thread]) continue;
      block.current = thread;
      swapcontext(&block.scheduler, &block.contexts[thread]);
      if (block.done[thread]) --left;
    }
    if (left > 0 && !block.moved) {
      std::fprintf(stderr, "threads of a block wait for each other for ever\n");
      std::abort();
    }
  }
  here = outer;
}

}  // namespace gpu
