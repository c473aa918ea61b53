#include "kernels/cpu/attention_plan.h"

#include <algorithm>

#include "base/check.h"

namespace infercept::cpu {
namespace {

// States of one slice row that can be stored, in splits: 64 sequences of 4,096 tokens that share
// their beginnings; longer contexts add their own. A slice that gets none is neither cut nor
// shared. What is never touched is never committed.
constexpr size_t kStoredSplits = 1024;

// Tasks per thread that a call is cut into, at least: the last ones to end are a small part then.
constexpr uint32_t kTasksPerThread = 4;
// A part of a cut piece has this many splits, unless threads would have nothing to do: every split
// beyond the first piece's has states to store and to merge.
constexpr uint32_t kPartSplits = 4;

// Reading a key and its value costs as much as computing with them for this many queries (F16, read
// from memory: 4 head_dim bytes at 23 GB/s per thread; 4 head_dim operations at 230 GFLOPS).
constexpr uint32_t kReadCost = 10;

template <typename T>
std::span<T> Take(std::span<std::byte>& scratch, size_t count) {
  const size_t bytes = DivCeil<size_t>(count * sizeof(T), 64) * 64;
  IC_CHECK(bytes <= scratch.size());
  T* taken = reinterpret_cast<T*>(scratch.data());
  scratch = scratch.subspan(bytes);
  return {taken, count};
}

// Every row may be a member, a piece of its own, and part of a shared one.
size_t PiecesMax(uint32_t rows, uint32_t threads) {
  return 2 * size_t{rows} + kTasksPerThread * threads + 1;
}

uint32_t CountRows(std::span<const AttentionSlice> slices) {
  uint32_t rows = 0;
  for (const AttentionSlice& slice : slices) rows += slice.rows;
  return rows;
}

class Planner {
 public:
  Planner(const AttentionPlanShape& shape, uint32_t rows, std::span<std::byte> scratch)
      : shape_(shape),
        group_heads_(shape.heads / shape.kv_heads),
        members_(Take<AttentionMember>(scratch, rows)),
        pieces_(Take<AttentionPiece>(scratch, PiecesMax(rows, shape.threads))),
        states_(Take<float>(scratch, scratch.size() / 64 * 64 / sizeof(float))),
        shared_pieces_left_(rows) {}

  AttentionPlan Plan(std::span<const AttentionSlice> slices) {
    AddMembers(slices);
    const uint32_t shareable = OrderMembers();
    if (shareable > 1) {
      FindShared(shareable);
      AddPieces(0, shareable, 0);
    }
    for (uint32_t i = shareable > 1 ? shareable : 0; i < member_count_; ++i) AddOwnPieces(i, 0);
    if (shape_.threads > 1) CutPieces();
    const std::span<AttentionPiece> pieces = pieces_.first(piece_count_);
    std::ranges::sort(pieces, std::ranges::greater(), &AttentionPiece::cost);
    return {members_.first(member_count_), pieces, stores_states_};
  }

 private:
  void AddMembers(std::span<const AttentionSlice> slices) {
    for (const AttentionSlice& slice : slices) {
      if (slice.rows == 0) continue;
      IC_CHECK(member_count_ < members_.size());
      members_[member_count_++] = {
          .slice = &slice,
          .splits = DivCeil(slice.first_position + slice.rows, kSplitKeys),
          .whole_splits = (slice.first_position + 1) / kSplitKeys,
      };
    }
  }

  uint32_t Queries(const AttentionMember& member) const {
    return member.slice->rows * group_heads_;
  }

  // Of the layer's group, in the splits that a member sees whole.
  uint32_t WholeBlocks(const AttentionMember& member) const {
    return DivCeil(member.whole_splits * kSplitKeys, shape_.block_tokens);
  }
  BlockId BlockOf(const AttentionMember& member, uint32_t i) const {
    return member.slice->block_table[size_t{i} * shape_.groups + shape_.group];
  }
  // How many first ones of them two members have in common.
  uint32_t CommonBlocks(const AttentionMember& a, const AttentionMember& b) const {
    const uint32_t most = std::min(WholeBlocks(a), WholeBlocks(b));
    uint32_t i = 0;
    while (i < most && BlockOf(a, i) == BlockOf(b, i)) ++i;
    return i;
  }
  bool BlocksBefore(const AttentionMember& a, const AttentionMember& b) const {
    const uint32_t common = CommonBlocks(a, b);
    if (common == WholeBlocks(b)) return false;
    return common == WholeBlocks(a) || BlockOf(a, common) < BlockOf(b, common);
  }

  // Members that could share come first, those with equal beginnings side by side. Returns how
  // many. Slices of more rows than a task share within themselves.
  uint32_t OrderMembers() {
    const std::span<AttentionMember> members = members_.first(member_count_);
    const auto others = std::ranges::partition(members, [&](const AttentionMember& member) {
      // Beginnings that are gone are not shared, though they look alike.
      return member.whole_splits > 0 && Queries(member) <= kTaskQueries &&
             BlockOf(member, 0) != kNoBlock;
    });
    const auto shareable = static_cast<uint32_t>(others.begin() - members.begin());
    std::ranges::sort(
        members.first(shareable),
        [&](const AttentionMember& a, const AttentionMember& b) { return BlocksBefore(a, b); });
    return shareable;
  }

  void FindShared(uint32_t count) {
    for (uint32_t i = 1; i < count; ++i) {
      const uint32_t equal = CommonBlocks(members_[i - 1], members_[i]);
      members_[i].shared_splits =
          std::min({equal * shape_.block_tokens / kSplitKeys, members_[i - 1].whole_splits,
                    members_[i].whole_splits});
    }
    for (uint32_t i = 0; i < count; ++i) {
      const bool with_next = i + 1 < count && members_[i + 1].shared_splits > 0;
      if ((members_[i].shared_splits == 0 && !with_next) || ReserveStates(members_[i])) continue;
      members_[i].shared_splits = 0;
      if (with_next) members_[i + 1].shared_splits = 0;
    }
  }

  bool ReserveStates(AttentionMember& member) {
    const size_t floats =
        size_t{member.splits} * member.slice->rows * shape_.heads * shape_.state_floats;
    if (floats > states_.size()) return false;
    member.states = states_.data();
    states_ = states_.subspan(floats);
    stores_states_ = true;
    return true;
  }

  // The splits from `from` on of members that share those before. Depth: one level per split at
  // most.
  void AddPieces(uint32_t begin, uint32_t end, uint32_t from) {
    if (end - begin == 1) return AddOwnPieces(begin, from);
    uint32_t common = members_[begin + 1].shared_splits;
    for (uint32_t i = begin + 2; i < end; ++i) {
      common = std::min(common, members_[i].shared_splits);
    }
    if (common > from && !AddSharedPieces(begin, end, from, common)) {
      for (uint32_t i = begin; i < end; ++i) AddOwnPieces(i, from);
      return;
    }
    uint32_t group = begin;
    for (uint32_t i = begin + 1; i <= end; ++i) {
      if (i < end && members_[i].shared_splits > common) continue;
      AddPieces(group, i, common);
      group = i;
    }
  }

  // As many members per piece as its task may have queries. False: no room for so many pieces.
  bool AddSharedPieces(uint32_t begin, uint32_t end, uint32_t split_begin, uint32_t split_end) {
    if (end - begin > shared_pieces_left_) return false;
    shared_pieces_left_ -= end - begin;
    for (uint32_t first = begin; first < end;) {
      uint32_t rows = 0;
      uint32_t i = first;
      for (; i < end; ++i) {
        if ((rows + members_[i].slice->rows) * group_heads_ > kTaskQueries && i > first) break;
        rows += members_[i].slice->rows;
      }
      AddPiece({.first_member = first,
                .members = i - first,
                .rows = rows,
                .split_begin = split_begin,
                .split_end = split_end});
      first = i;
    }
    return true;
  }

  void AddOwnPieces(uint32_t index, uint32_t split_begin) {
    const AttentionSlice& slice = *members_[index].slice;
    const uint32_t task_rows = std::max(1u, kTaskQueries / group_heads_);
    for (uint32_t row = 0; row < slice.rows; row += task_rows) {
      const uint32_t rows = std::min(task_rows, slice.rows - row);
      AddPiece({.first_member = index,
                .first_row = row,
                .rows = rows,
                .split_begin = split_begin,
                .split_end = DivCeil(slice.first_position + row + rows, kSplitKeys)});
    }
  }

  void AddPiece(AttentionPiece piece) {
    if (piece.split_begin == piece.split_end) return;
    IC_CHECK(piece_count_ < pieces_.size());
    SetSplits(piece, piece.split_begin, piece.split_end);
    pieces_[piece_count_++] = piece;
  }

  // Also says what that costs, and to the members which piece is their first.
  void SetSplits(AttentionPiece& piece, uint32_t begin, uint32_t end) {
    piece.split_begin = begin;
    piece.split_end = end;
    const AttentionSlice& slice = *members_[piece.first_member].slice;
    const uint32_t seen = slice.first_position + piece.first_row + piece.rows;
    const uint64_t keys = std::min(seen, end * kSplitKeys) - begin * kSplitKeys;
    piece.cost = keys * (uint64_t{piece.rows} * group_heads_ + kReadCost);
    if (begin != 0) return;
    for (AttentionMember& member : members_.subspan(piece.first_member, piece.members)) {
      member.first_splits = end;
    }
  }

  // Cuts what would keep one thread busy while others wait.
  void CutPieces() {
    const uint32_t count = piece_count_;
    uint64_t total = 0;
    for (const AttentionPiece& piece : pieces_.first(count)) total += piece.cost;
    const uint64_t target = total * shape_.kv_heads / (kTasksPerThread * shape_.threads) + 1;
    const bool few = count * shape_.kv_heads < 2 * shape_.threads;
    for (uint32_t i = 0; i < count; ++i) {
      AttentionPiece& piece = pieces_[i];
      const uint32_t splits = piece.split_end - piece.split_begin;
      const auto wanted = static_cast<uint32_t>(DivCeil(piece.cost, target));
      const uint32_t parts = std::min(wanted, few ? splits : splits / kPartSplits);
      if (parts > 1 && CanStoreStates(piece)) Cut(i, parts);
    }
  }

  bool CanStoreStates(const AttentionPiece& piece) {
    AttentionMember& member = members_[piece.first_member];
    if (member.states != nullptr) return true;
    return piece.rows == member.slice->rows && ReserveStates(member);
  }

  void Cut(uint32_t index, uint32_t parts) {
    const AttentionPiece whole = pieces_[index];
    const uint32_t splits = whole.split_end - whole.split_begin;
    for (uint32_t part = 0; part < parts; ++part) {
      IC_CHECK(part == 0 || piece_count_ < pieces_.size());
      AttentionPiece& piece = part == 0 ? pieces_[index] : pieces_[piece_count_++];
      piece = whole;
      SetSplits(piece, whole.split_begin + splits * part / parts,
                whole.split_begin + splits * (part + 1) / parts);
    }
  }

  const AttentionPlanShape shape_;
  const uint32_t group_heads_;
  std::span<AttentionMember> members_;
  std::span<AttentionPiece> pieces_;
  std::span<float> states_;      // that nobody has yet
  uint32_t shared_pieces_left_;  // That there is surely room for.
  uint32_t member_count_ = 0;
  uint32_t piece_count_ = 0;
  bool stores_states_ = false;
};

}  // namespace

size_t AttentionPlanBytes(const AttentionLimits& limits, uint32_t state_floats) {
  const size_t splits = kStoredSplits + DivCeil(limits.context_tokens, kSplitKeys);
  return limits.rows * sizeof(AttentionMember) +
         PiecesMax(limits.rows, limits.threads) * sizeof(AttentionPiece) +
         splits * limits.heads * state_floats * sizeof(float) + 3 * 64;
}

AttentionPlan PlanAttention(std::span<const AttentionSlice> slices, const AttentionPlanShape& shape,
                            std::span<std::byte> scratch) {
  return Planner(shape, CountRows(slices), scratch).Plan(slices);
}

}  // namespace infercept::cpu
