// allocator: keeps the memory of tensors on the CPU from one step to the next.
#pragma once

namespace expgraph::libtorch {

/// From now on large tensors of this process's LibTorch get blocks that others gave back. Without
/// it the system takes each back at once, and hands it out again page by page, zeroed.
void keep_tensor_memory();

}  // namespace expgraph::libtorch
