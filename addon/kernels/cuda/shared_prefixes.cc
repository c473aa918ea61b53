#include "kernels/cuda/shared_prefixes.h"

#include <algorithm>
#include <cstring>

namespace infercept::cuda {

uint32_t ManyQueries(uint32_t head_dim) { return head_dim <= 128 ? 128 : 64; }

uint32_t SharedTokensMax(const AttentionPlanShape& shape) {
  return ManyQueries(shape.head_dim) / shape.group_heads;
}

void SharedPrefixes::Find(std::span<const AttentionSlice> slices, const AttentionPlanShape& shape) {
  slices_ = slices;
  shape_ = shape;
  states_left_ = shape.state_rows_max;
  tasks_left_ = 0;
  prefixes_.clear();
  shared_.clear();
  splits_.assign(slices.size(), 0);
  members_.clear();
  for (uint32_t i = 0; i < slices.size(); ++i) {
    tasks_left_ += slices[i].rows;
    if (CanShare(slices[i])) members_.push_back({0, i, slices[i].first_position / kSplitTokens});
  }
  if (members_.size() < 2) return;
  std::span<Member> members(members_);
  Order(members, 0);
  uint32_t tokens = 0;
  while (!members.empty()) {
    std::span<Member> group = members.first(Run(members, 0));
    members = members.subspan(group.size());
    if (group.size() < 2) continue;
    const uint32_t states_left = states_left_;
    const auto others =
        std::ranges::partition(group, [this](const Member& member) { return TakeStates(member); });
    group = group.first(group.size() - others.size());
    Share(group, 0, tokens);
    if (group.empty() || splits_[group[0].slice] == 0) {  // they do not share after all
      states_left_ = states_left;
      continue;
    }
    for (const Member& member : group) shared_.push_back(member.slice);
    tokens += Tokens(group);
  }
}

// A slice of more than half a block's queries would have a block to itself anyway.
bool SharedPrefixes::CanShare(const AttentionSlice& slice) const {
  return slice.rows > 0 && slice.rows * 2 <= SharedTokensMax(shape_) &&
         slice.first_position >= kSplitTokens && slice.block_table != nullptr &&
         slice.block_table[0] != kNoBlock;  // what is gone in all layers looks alike
}

std::span<const BlockId> SharedPrefixes::Blocks(const Member& member, uint32_t split) const {
  const uint32_t first = split * kSplitTokens / shape_.block_tokens;
  const uint32_t end = DivCeil((split + 1) * kSplitTokens, shape_.block_tokens);
  return {slices_[member.slice].block_table + size_t{first} * shape_.groups,
          size_t{end - first} * shape_.groups};
}

bool SharedPrefixes::Agree(const Member& a, const Member& b, uint32_t split) const {
  if (split >= a.whole_splits || split >= b.whole_splits) return false;
  const std::span blocks = Blocks(a, split);
  return std::memcmp(blocks.data(), Blocks(b, split).data(), blocks.size_bytes()) == 0;
}

// By the last block of the split, of the first group: where contents part, blocks are different
// from there on. Of other groups it may be gone.
void SharedPrefixes::Order(std::span<Member> members, uint32_t split) {
  for (Member& member : members) {
    member.key = UINT32_MAX;
    if (split >= member.whole_splits) continue;
    member.key = Index(Blocks(member, split).last(shape_.groups).front());
  }
  std::ranges::sort(members, [](const Member& a, const Member& b) {
    return a.key != b.key ? a.key < b.key : a.slice < b.slice;
  });
}

size_t SharedPrefixes::Run(std::span<const Member> members, uint32_t split) const {
  size_t count = 1;
  while (count < members.size() && members[count].key == members[0].key &&
         Agree(members[0], members[count], split)) {
    ++count;
  }
  return count;
}

bool SharedPrefixes::TakeStates(const Member& member) {
  const AttentionSlice& slice = slices_[member.slice];
  const uint64_t splits = DivCeil(slice.first_position + slice.rows, kSplitTokens);
  const uint64_t rows = splits * slice.rows * shape_.group_heads;
  if (rows > states_left_) return false;
  states_left_ -= static_cast<uint32_t>(rows);
  return true;
}

uint32_t SharedPrefixes::Tokens(std::span<const Member> members) const {
  uint32_t tokens = 0;
  for (const Member& member : members) tokens += slices_[member.slice].rows;
  return tokens;
}

void SharedPrefixes::Share(std::span<Member> members, uint32_t from, uint32_t first_token) {
  if (members.size() < 2) return;
  const auto agree = [&](uint32_t split) {
    return std::ranges::all_of(
        members, [&](const Member& member) { return Agree(members[0], member, split); });
  };
  uint32_t split = from;
  while (agree(split)) ++split;
  if (split > from &&
      !Add(members, {.first_token = first_token, .split_begin = from, .split_end = split})) {
    return;
  }
  Order(members, split);
  while (!members.empty()) {
    const std::span<Member> group = members.first(Run(members, split));
    Share(group, split, first_token);
    first_token += Tokens(group);
    members = members.subspan(group.size());
  }
}

bool SharedPrefixes::Add(std::span<const Member> members, const SharedPrefix& prefix) {
  const uint32_t tokens = Tokens(members);
  const uint32_t tasks = DivCeil(tokens, SharedTokensMax(shape_));
  if (tasks > tasks_left_) return false;
  tasks_left_ -= tasks;
  uint32_t least = members[0].slice;
  for (const Member& member : members) {
    splits_[member.slice] = prefix.split_end;
    if (slices_[member.slice].first_position < slices_[least].first_position) least = member.slice;
  }
  prefixes_.push_back(prefix);
  prefixes_.back().slice = least;
  prefixes_.back().tokens = tokens;
  return true;
}

}  // namespace infercept::cuda
