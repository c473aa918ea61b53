#include "saved_profile.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <stdexcept>

#include "engine/json_writer.h"

namespace infercept::bench {
namespace {

double BlockBytes(const MachineProfile& profile) {
  return static_cast<double>(profile.bytes_per_token * kBlockTokens);
}

void WriteCopies(const MachineProfile& profile, CopyDirection direction, JsonWriter& json) {
  const auto at = static_cast<size_t>(direction);
  json.Field("copyStart", profile.costs.copy_start[at])
      .Field("secondsPerCopiedByte", profile.costs.copy_block[at] / BlockBytes(profile));
}

std::string ReadText(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Objects of numbers and strings, not of objects: all that a profile is.
class FlatObject {
 public:
  explicit FlatObject(std::string text) : text_(std::move(text)) {}

  std::optional<double> Find(const std::string& key) const {
    const size_t at = text_.find('"' + key + '"');
    if (at == std::string::npos) return std::nullopt;
    const size_t colon = text_.find(':', at);
    if (colon == std::string::npos) return std::nullopt;
    char* end = nullptr;
    const double value = std::strtod(text_.c_str() + colon + 1, &end);
    return end == text_.c_str() + colon + 1 ? std::nullopt : std::optional(value);
  }
  double Get(const std::string& key) const {
    const std::optional<double> value = Find(key);
    if (!value || *value < 0) throw std::runtime_error("the profile has no number \"" + key + '"');
    return *value;
  }
  uint32_t Count(const std::string& key) const { return static_cast<uint32_t>(Get(key)); }

 private:
  std::string text_;
};

// Cuts the object that a key stands for out of the text.
std::optional<FlatObject> CutOut(const std::string& key, std::string& text) {
  const size_t begin = text.find('"' + key + '"');
  if (begin == std::string::npos) return std::nullopt;
  const size_t end = std::min(text.find('}', begin), text.size() - 1);
  FlatObject object(text.substr(begin + key.size() + 2, end - begin));
  text.erase(begin, end - begin + 1);
  return object;
}

void ReadCopies(const FlatObject& object, CopyDirection direction, MachineProfile& profile) {
  const auto at = static_cast<size_t>(direction);
  profile.costs.copy_start[at] = object.Get("copyStart");
  profile.costs.copy_block[at] = object.Get("secondsPerCopiedByte") * BlockBytes(profile);
}

}  // namespace

MachineProfile ProfileOf(const std::string& name, const EngineInfo& info,
                         const CostProfile& costs) {
  return {name,
          costs,
          info.bytes_per_token,
          info.device_blocks * info.block_tokens,
          info.host_blocks * info.block_tokens,
          info.saturation_tokens};
}

std::string ProfileJson(const MachineProfile& profile) {
  JsonWriter json;
  json.BeginObject()
      .Field("name", std::string_view(profile.name))
      .Field("step", profile.costs.step)
      .Field("perQueryToken", profile.costs.per_query_token)
      .Field("perKvToken", profile.costs.per_kv_token)
      .Field("queryTile", profile.costs.query_tile);
  WriteCopies(profile, CopyDirection::kOut, json);
  json.Key("copyIn").BeginObject();
  WriteCopies(profile, CopyDirection::kIn, json);
  json.EndObject()
      .Field("bytesPerToken", profile.bytes_per_token)
      .Field("deviceTokens", profile.device_tokens)
      .Field("hostTokens", profile.host_tokens)
      .Field("saturationTokens", profile.saturation_tokens)
      .EndObject();
  return json.Take();
}

MachineProfile ReadProfile(const std::string& path) {
  std::string text = ReadText(path);
  const std::optional<FlatObject> copy_in = CutOut("copyIn", text);
  const FlatObject object(std::move(text));
  MachineProfile profile;
  profile.name = path;
  profile.bytes_per_token = object.Count("bytesPerToken");
  profile.device_tokens = object.Count("deviceTokens");
  profile.host_tokens = object.Count("hostTokens");
  profile.saturation_tokens = static_cast<uint32_t>(object.Find("saturationTokens").value_or(0));
  profile.costs.step = object.Get("step");
  profile.costs.per_query_token = object.Get("perQueryToken");
  profile.costs.per_kv_token = object.Get("perKvToken");
  profile.costs.query_tile =
      std::max(1u, static_cast<uint32_t>(object.Find("queryTile").value_or(1)));
  ReadCopies(object, CopyDirection::kOut, profile);
  ReadCopies(copy_in ? *copy_in : object, CopyDirection::kIn, profile);
  return profile;
}

void SaveText(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text << '\n';
  file.close();
  if (!file) throw std::runtime_error("cannot write " + path);
}

}  // namespace infercept::bench
