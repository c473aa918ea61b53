// Incremental UTF-8: bytes in, whole characters out. Ill-formed bytes become U+FFFD exactly as the
// decoder of the WHATWG Encoding Standard (section 8.1.1) replaces them, so any split of the bytes
// gives the same text as the whole.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace infercept {

class Detokenizer {
 public:
  // Appends to `text` every character that became final. An unfinished one is kept back.
  void Append(std::string_view bytes, std::string& text);
  // The bytes end here: an unfinished character becomes U+FFFD. Leaves the decoder as new.
  void Flush(std::string& text);

 private:
  void AppendByte(uint8_t byte, std::string& text);
  void BeginCharacter(uint8_t byte, std::string& text);

  std::string pending_;       // Bytes of the unfinished character, at most 3.
  uint8_t bytes_needed_ = 0;  // Continuation bytes that it still lacks; 0 iff pending_ is empty.
  uint8_t lower_ = 0x80;      // Bounds of the next continuation byte.
  uint8_t upper_ = 0xBF;
};

// The whole text of some bytes.
std::string DecodeUtf8(std::string_view bytes);

}  // namespace infercept
