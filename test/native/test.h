// A small test vocabulary, spelt as GoogleTest spells it (decision 0007 says why it is not
// GoogleTest).
//
//   TEST(BlockPool, CountsReferences) { EXPECT_EQ(pool.free(), 3u); }
//
// EXPECT_* records a failure and goes on; ASSERT_* leaves the test. Extra context: EXPECT_TRUE(x)
// << "seed " << seed;
#pragma once

#include <cmath>
#include <functional>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>

namespace infercept::test {

struct Registration {
  Registration(const char* suite, const char* name, const char* file, void (*body)());
};

// Reports on destruction of the full expression, so that `<<` can add to it.
class Failure {
 public:
  Failure(const char* file, int line, std::string text) : file_(file), line_(line) {
    text_ << text;
  }
  ~Failure();
  template <typename T>
  Failure& operator<<(const T& value) {
    text_ << value;
    return *this;
  }

 private:
  const char* file_;
  int line_;
  std::ostringstream text_;
};

struct Voidify {  // Lets ASSERT_* return from a void function after streaming.
  void operator&(const Failure&) const {}
};

template <typename T>
std::string Show(const T& value) {
  std::ostringstream stream;
  if constexpr (std::is_enum_v<T>) {
    stream << static_cast<long long>(value);
  } else if constexpr (requires { stream << value; }) {
    stream.precision(17);
    stream << value;
  } else {
    stream << "<" << sizeof(T) << " bytes>";
  }
  return stream.str();
}

template <typename A, typename B>
std::string Compare(const char* operation, const char* a_text, const char* b_text, const A& a,
                    const B& b) {
  return std::string(a_text) + " " + operation + " " + b_text + "\n    left:  " + Show(a) +
         "\n    right: " + Show(b) + " ";
}

}  // namespace infercept::test

#define TEST(suite, name)                                                     \
  static void suite##_##name##_Body();                                        \
  static const ::infercept::test::Registration suite##_##name##_registration( \
      #suite, #name, __FILE__, suite##_##name##_Body);                        \
  static void suite##_##name##_Body()

#define IC_TEST_FAIL_(text) ::infercept::test::Failure(__FILE__, __LINE__, text)
#define IC_TEST_CHECK_(condition, text) \
  if (condition) {                      \
  } else                                \
    IC_TEST_FAIL_(text)
#define IC_TEST_REQUIRE_(condition, text) \
  if (condition) {                        \
  } else                                  \
    return ::infercept::test::Voidify() & IC_TEST_FAIL_(text)
#define IC_TEST_TEXT_(operation, a, b) ::infercept::test::Compare(#operation, #a, #b, (a), (b))

#define EXPECT_TRUE(a) IC_TEST_CHECK_(static_cast<bool>(a), #a " is false ")
#define EXPECT_FALSE(a) IC_TEST_CHECK_(!static_cast<bool>(a), #a " is true ")
#define EXPECT_EQ(a, b) IC_TEST_CHECK_((a) == (b), IC_TEST_TEXT_(==, a, b))
#define EXPECT_NE(a, b) IC_TEST_CHECK_((a) != (b), IC_TEST_TEXT_(!=, a, b))
#define EXPECT_LT(a, b) IC_TEST_CHECK_((a) < (b), IC_TEST_TEXT_(<, a, b))
#define EXPECT_LE(a, b) IC_TEST_CHECK_((a) <= (b), IC_TEST_TEXT_(<=, a, b))
#define EXPECT_GT(a, b) IC_TEST_CHECK_((a) > (b), IC_TEST_TEXT_(>, a, b))
#define EXPECT_GE(a, b) IC_TEST_CHECK_((a) >= (b), IC_TEST_TEXT_(>=, a, b))
#define EXPECT_NEAR(a, b, tolerance) \
  IC_TEST_CHECK_(std::abs((a) - (b)) <= (tolerance), IC_TEST_TEXT_(~, a, b))
#define EXPECT_THROW(statement, exception)                                \
  do {                                                                    \
    bool thrown_ = false;                                                 \
    try {                                                                 \
      statement;                                                          \
    } catch (const exception&) {                                          \
      thrown_ = true;                                                     \
    }                                                                     \
    IC_TEST_CHECK_(thrown_, #statement " did not throw " #exception " "); \
  } while (false)
#define ASSERT_TRUE(a) IC_TEST_REQUIRE_(static_cast<bool>(a), #a " is false ")
#define ASSERT_EQ(a, b) IC_TEST_REQUIRE_((a) == (b), IC_TEST_TEXT_(==, a, b))
#define ASSERT_LE(a, b) IC_TEST_REQUIRE_((a) <= (b), IC_TEST_TEXT_(<=, a, b))
#define ASSERT_GT(a, b) IC_TEST_REQUIRE_((a) > (b), IC_TEST_TEXT_(>, a, b))
