// Code between IC_TARGET_REGION("features") and IC_END_TARGET_REGION is compiled for these
// instructions; the rest of the file, and every header before it, for the baseline. Unlike a flag
// per file this cannot leak: the linker keeps one copy of an inline function, and with a flag that
// copy may need instructions that the machine lacks.
#pragma once

#define IC_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define IC_TARGET_REGION(features) \
  IC_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define IC_END_TARGET_REGION _Pragma("clang attribute pop")
#else
#define IC_TARGET_REGION(features) _Pragma("GCC push_options") IC_PRAGMA(GCC target(features))
#define IC_END_TARGET_REGION _Pragma("GCC pop_options")
#endif
