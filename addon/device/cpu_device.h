// The processor that the program itself runs on, as a device: its memory is the host's. What is
// enqueued on a compute stream is done by the calling thread before the call returns; a copy stream
// has a thread of its own, so that copies run beside the computation.
#pragma once

#include "device/device.h"

namespace infercept {

// There is one of each; they have no state.
Device& CpuDevice();
Stream& CpuStream();  // of StreamUse::kCompute

}  // namespace infercept
