// Checks of what only we can cause. A failed check throws InternalError, which the engine thread
// turns into its sticky error and the binding into ERR_INTERNAL: the host process never dies for a
// bug of ours.
#pragma once

#include <stdexcept>
#include <string>

namespace infercept {

class InternalError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] inline void FailCheck(const char* expression, const char* file, int line) {
  throw InternalError(std::string(file) + ":" + std::to_string(line) +
                      ": check failed: " + expression);
}

}  // namespace infercept

// Always on.
#define IC_CHECK(expression) \
  ((expression) ? static_cast<void>(0) : ::infercept::FailCheck(#expression, __FILE__, __LINE__))

// Debug and sanitizer builds, for checks on hot paths.
#ifdef NDEBUG
#define IC_DCHECK(expression) static_cast<void>(0)
#else
#define IC_DCHECK(expression) IC_CHECK(expression)
#endif
