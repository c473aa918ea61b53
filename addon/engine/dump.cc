#include "engine/dump.h"

#include "engine/json_writer.h"

namespace infercept {
namespace {

std::string BlockText(const BlockRef& block) {
  std::string text;
  if (block.on_device()) text += "d" + std::to_string(Index(block.device));
  if (block.on_host()) text += "h" + std::to_string(Index(block.host));
  return text;
}

void WriteSequence(JsonWriter& json, const Sequence& sequence) {
  json.BeginObject()
      .Field("id", Index(sequence.id))
      .Field("status", StatusName(sequence.status))
      .Field("priority", sequence.priority)
      .Field("keep", sequence.keep)
      .Field("suspended", sequence.suspended)
      .Field("tokens", sequence.tokens.size())
      .Field("computed", sequence.computed)
      .Key("blocks")
      .BeginArray();
  for (uint32_t i = 0; i < sequence.blocks.size(); ++i) json.Value(BlockText(sequence.blocks[i]));
  json.EndArray().EndObject();
}

void WritePools(JsonWriter& json, const SchedulerStats& stats) {
  json.Key("device")
      .BeginObject()
      .Field("blocks", stats.device_blocks)
      .Field("free", stats.device_blocks_free)
      .Field("cached", stats.device_blocks_cached)
      .EndObject();
  json.Key("host")
      .BeginObject()
      .Field("blocks", stats.host_blocks)
      .Field("free", stats.host_blocks_free)
      .EndObject();
}

void WriteCost(JsonWriter& json, const CostModel& cost) {
  const CostProfile& profile = cost.profile();
  json.Key("cost")
      .BeginObject()
      .Field("stepSeconds", profile.step)
      .Field("perQueryTokenSeconds", profile.per_query_token)
      .Field("perKvTokenSeconds", profile.per_kv_token)
      .Field("copyOutBlockSeconds", profile.copy_block[0])
      .Field("copyInBlockSeconds", profile.copy_block[1])
      .Field("saturationTokens", cost.SaturationTokens())
      .EndObject();
}

void WriteStep(JsonWriter& json, const StepRecord& step) {
  json.BeginObject()
      .Field("step", step.step)
      .Field("slices", step.slices)
      .Field("tokens", step.tokens)
      .Field("decodes", step.decodes)
      .Field("swapOutBlocks", step.swap_out_blocks)
      .Field("swapInBlocks", step.swap_in_blocks)
      .Field("computeNs", step.compute)
      .Field("swapOutNs", step.swap_out)
      .Field("swapInNs", step.swap_in)
      .Field("totalNs", step.total)
      .EndObject();
}

void WriteScheduler(JsonWriter& json, const Scheduler& scheduler) {
  json.Key("scheduler").BeginObject();
  WritePools(json, scheduler.Stats());
  WriteCost(json, scheduler.cost_model());
  json.Key("sequences").BeginArray();
  for (const Sequence* sequence : scheduler.Sequences()) WriteSequence(json, *sequence);
  json.EndArray().EndObject();
}

}  // namespace

std::string DumpJson(const DumpSource& source) {
  JsonWriter json;
  json.BeginObject().Field("state", source.failure.ok() ? "ready" : "failed");
  if (!source.failure.ok()) {
    json.Key("failure")
        .BeginObject()
        .Field("code", CodeName(source.failure.code()))
        .Field("message", std::string_view(source.failure.message()))
        .EndObject();
  }
  if (source.scheduler != nullptr) WriteScheduler(json, *source.scheduler);
  json.Key("steps").BeginArray();
  for (const StepRecord& step : source.steps) WriteStep(json, step);
  json.EndArray().EndObject();
  return json.Take();
}

std::string DurationsJson(std::span<const LearnedDurations> learned) {
  JsonWriter json;
  json.BeginArray();
  for (const LearnedDurations& durations : learned) {
    json.BeginObject().Field("kind", Index(durations.kind)).Key("bins").BeginArray();
    for (const LearnedDurations::Bin& bin : durations.bins) {
      json.BeginArray().Value(bin.seconds).Value(bin.weight).EndArray();
    }
    json.EndArray().EndObject();
  }
  return json.EndArray().Take();
}

}  // namespace infercept
