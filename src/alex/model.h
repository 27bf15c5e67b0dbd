// Fitting: the linear model of a leaf, and the range of a model node.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>

#include "alex/leaf.h"

namespace omendb::alex {

// A leaf whose ranks are predicted worse than this (mean, in entries) is plain, and small.
inline constexpr double kMaxError = 24;
// What inserts enlarge has a model better than this, in entries, or (DistanceOf) in slots.
inline constexpr double kGoodError = 6, kMaxDistance = 4;

// Least squares of rank over number, for entries in ascending order; of many, over some of them.
struct Fit {
  double slope = 0;      // ranks per number
  double intercept = 0;  // rank at the first number
  double error = 0;      // mean |predicted - real rank|

  static constexpr size_t kEnough = 64;  // entries that tell the line

  static Fit Of(const Slot* entries, size_t count) {
    Fit fit;
    const size_t stride = count < 2 * kEnough ? 1 : count / kEnough;
    const size_t steps = (count - 1) / stride + 1;
    const uint64_t first = entries[0].number;
    // Signed numbers become doubles in one instruction.
    const unsigned halve = (entries[count - 1].number - first) >> 63;
    auto number = [&](size_t step) {
      return static_cast<double>(
          static_cast<int64_t>((entries[step * stride].number - first) >> halve));
    };
    // Several sums of each kind, since one waits for its last addition. Numbers are counted from
    // one in the middle, and ranks from their mean, which keeps digits.
    constexpr size_t kSums = 4;
    const double middle = number(steps / 2), mean_step = (static_cast<double>(steps) - 1) / 2;
    double sums[kSums] = {}, products[kSums] = {}, squares[kSums] = {}, errors[kSums] = {};
    auto add = [&](size_t step, size_t to) {
      double x = number(step) - middle;
      sums[to] += x;
      products[to] += x * (static_cast<double>(static_cast<int64_t>(step)) - mean_step);
      squares[to] += x * x;
    };
    auto for_all = [&](auto&& function) {
      size_t step = 0;
      for (; step + kSums <= steps; step += kSums) {
        for (size_t to = 0; to < kSums; to++) function(step + to, to);
      }
      for (; step < steps; step++) function(step, 0);
    };
    auto all = [](const double* of) { return (of[0] + of[1]) + (of[2] + of[3]); };
    for_all(add);
    const double entries_seen = static_cast<double>(steps), sum = all(sums);
    const double variance = all(squares) - sum * sum / entries_seen;
    const double slope = variance > 0 ? all(products) / variance : 0;  // in steps
    const double intercept = mean_step - slope * (middle + sum / entries_seen);
    for_all([&](size_t step, size_t to) {
      double rank = static_cast<double>(static_cast<int64_t>(step));
      errors[to] += std::abs(intercept + slope * number(step) - rank);
    });
    const double ranks = static_cast<double>(stride);
    fit.slope = slope * ranks / (halve != 0 ? 2 : 1);
    fit.intercept = intercept * ranks;
    fit.error = all(errors) * ranks / entries_seen;
    return fit;
  }
};

// How far entries would be from where the fit's model sends them, in slots, in the mean: they take
// the next free slot there. A line that follows the entries only roughly may be good for this.
// Looks at some in the middle.
inline double DistanceOf(const Fit& fit, const Slot* entries, size_t count, double scale) {
  constexpr size_t kMost = 512;
  const size_t seen = std::min(count, kMost), from = (count - seen) / 2;
  const double slope = fit.slope * scale, intercept = fit.intercept * scale;
  double next = 0, distance = 0;
  for (size_t i = from; i < from + seen; i++) {
    double wish = intercept + slope * static_cast<double>(entries[i].number - entries[0].number);
    next = i == from ? wish : std::max(wish, next);
    distance += next - wish;
    next += 1;
  }
  return distance / static_cast<double>(seen);
}

// The model that spreads the fitted ranks by `scale` slots a rank, for numbers from `first` on to
// about `range` more.
inline Model ModelFrom(const Fit& fit, uint64_t first, uint64_t range, double scale) {
  Model model{first, 0, 0, 0};
  int bits = std::bit_width(range) + 1;
  model.shift = static_cast<uint8_t>(bits > 26 ? bits - 26 : 0);
  double slope = std::ldexp(fit.slope * scale, 32 + model.shift);
  model.slope = slope >= static_cast<double>(kMaxSlope) ? kMaxSlope : static_cast<uint64_t>(slope);
  model.intercept = static_cast<int64_t>(
      std::clamp(fit.intercept * scale, -1048576.0 * 512, 1048576.0 * 512) * 4294967296.0);
  return model;
}

// Leaf::error of a mean distance.
inline uint32_t ErrorWord(double mean) {
  return static_cast<uint32_t>(std::min(mean * 256, 4294967295.0));
}

// Keeps only the first `count` entries of a packed leaf, gives it the model of their fit and
// spreads them by `scale` slots a rank. REQUIRES: the leaf's lock, 0 < count.
inline void Refit(Leaf* leaf, size_t count, double scale, const Fit& fit) {
  uint64_t first = leaf->slots[0].number;
  Model model = ModelFrom(fit, first, leaf->slots[count - 1].number - first, scale);
  bool plain = fit.error > kMaxError;
  Store(leaf->plain, static_cast<uint8_t>(plain));
  Store(leaf->base, model.base);
  Store(leaf->slope, model.slope);
  Store(leaf->intercept, model.intercept);
  Store(leaf->shift, model.shift);
  Store(leaf->count, static_cast<uint32_t>(count));
  if (scale <= 1) {
    Store(leaf->error, ErrorWord(fit.error));
    Store(leaf->begin, uint32_t{0});
    Store(leaf->end, static_cast<uint32_t>(count));
    return;
  }
  // From the last one on, since none moves to the left.
  size_t next = leaf->size, end = 0;
  Slot after{};
  double error = 0;
  for (size_t i = count; i-- > 0;) {
    Slot slot = leaf->slots[i];
    int64_t wish =
        plain ? static_cast<int64_t>(static_cast<double>(i) * scale)
              : Predict(model.base, model.slope, model.intercept, model.shift, slot.number);
    size_t place = static_cast<size_t>(
        std::clamp(wish, static_cast<int64_t>(i), static_cast<int64_t>(next) - 1));
    error += std::abs(static_cast<double>(wish) - static_cast<double>(place));
    if (i + 1 == count) end = place + 1;
    for (size_t j = place + 1; j < next && i + 1 < count; j++) {
      SetSlot(leaf, j, after.number, after.value | kGap);
    }
    SetSlot(leaf, place, slot.number, slot.value);
    next = place;
    after = slot;
  }
  Store(leaf->error, ErrorWord(error / static_cast<double>(count)));
  // Last: a slot that was not used yet may have an entry whose record is gone.
  Store(leaf->begin, static_cast<uint32_t>(next));
  Store(leaf->end, static_cast<uint32_t>(end));
}

// Ranges of numbers for a model node over entries in ascending order that are not all equal. It
// covers their bulk; what lies far outside falls to its edges, where nodes of its own separate it.
// No child gets everything.
struct Ranges {
  uint64_t base;
  uint8_t shift;
  size_t size;

  static Ranges Around(uint64_t number) {  // below, at, above
    if (number == 0) return {0, 0, 2};     // nothing is below
    uint64_t base = number - 1;
    return {base, 0, UINT64_MAX - base >= 2 ? size_t{3} : size_t{UINT64_MAX - base} + 1};
  }
  static Ranges Of(const Slot* entries, size_t count, size_t wanted) {
    uint64_t min = entries[0].number, max = entries[count - 1].number;
    size_t edge = count >= 4096 ? count / 32 : count / 4;
    uint64_t low = entries[edge].number, high = entries[count - 1 - edge].number;
    if (low == high) return Around(low);
    uint64_t bulk = high - low, margin = bulk > UINT64_MAX / 4 ? UINT64_MAX : bulk * 4;
    if (low - min > margin) {
      low -= bulk;
    } else {
      low = min;
    }
    if (max - high > margin) {
      high += bulk;
    } else {
      high = max;
    }
    int shift = std::bit_width((high - low) / wanted);
    while (shift > 0 && ((high - low) >> (shift - 1)) < wanted) shift--;
    return {low, static_cast<uint8_t>(shift), static_cast<size_t>((high - low) >> shift) + 1};
  }
};

}  // namespace omendb::alex

#include "base/pure.h"
