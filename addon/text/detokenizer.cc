#include "text/detokenizer.h"

namespace infercept {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

}  // namespace

void Detokenizer::Append(std::string_view bytes, std::string& text) {
  for (const char byte : bytes) AppendByte(static_cast<uint8_t>(byte), text);
}

void Detokenizer::Flush(std::string& text) {
  if (bytes_needed_ > 0) text += kReplacement;
  *this = Detokenizer();
}

void Detokenizer::AppendByte(uint8_t byte, std::string& text) {
  if (bytes_needed_ == 0) return BeginCharacter(byte, text);
  if (byte < lower_ ||
      byte > upper_) {  // the unfinished character ends here; this byte begins anew
    Flush(text);
    return BeginCharacter(byte, text);
  }
  lower_ = 0x80;
  upper_ = 0xBF;
  pending_ += static_cast<char>(byte);
  if (--bytes_needed_ == 0) {
    text += pending_;
    pending_.clear();
  }
}

// Sets what may follow a lead byte. The bounds exclude overlong forms, surrogates, and what is
// above U+10FFFF (The Unicode Standard, table 3-7).
void Detokenizer::BeginCharacter(uint8_t byte, std::string& text) {
  if (byte < 0x80) {
    text += static_cast<char>(byte);
    return;
  }
  if (byte < 0xC2 || byte > 0xF4) {
    text += kReplacement;
    return;
  }
  bytes_needed_ = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
  lower_ = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
  upper_ = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
  pending_ = static_cast<char>(byte);
}

std::string DecodeUtf8(std::string_view bytes) {
  std::string text;
  Detokenizer detokenizer;
  detokenizer.Append(bytes, text);
  detokenizer.Flush(text);
  return text;
}

}  // namespace infercept
