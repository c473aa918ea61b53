// The only include of napi.h, so that its configuration cannot be missed: the macros come from
// CMakeLists.txt, and this file refuses to compile without the ones that our safety rests on.
#pragma once

#if !defined(NAPI_VERSION) || NAPI_VERSION != 9
#error "NAPI_VERSION must be 9: later versions crash older Node releases at load."
#endif
#ifndef NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#error "Without NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS worker.terminate() can abort the process."
#endif

#include <napi.h>
