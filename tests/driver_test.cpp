// driver: what the program says of a GPU and its driver, by a driver that is not one.
#include "backends/libtorch/driver.h"

#include <dlfcn.h>
#include <doctest/doctest.h>
#include <stdlib.h>

#include "tests/support/op_graphs.h"

using namespace expgraph;
using namespace expgraph::libtorch;

namespace {

/// Sets a variable of the environment until its scope ends.
class Setting {
 public:
  Setting(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Setting() { unsetenv(name_); }
  Setting(const Setting&) = delete;
  Setting& operator=(const Setting&) = delete;

 private:
  const char* name_;
};

/// From here on "libcuda.so.1" is the driver that is not one: the loader knows it by that name.
void load_fake_driver() { REQUIRE(dlopen(EXPGRAPH_FAKE_DRIVER, RTLD_NOW | RTLD_LOCAL) != nullptr); }

std::string refusal() {
  return message_of([] { check_gpu(find_gpu().value()); });
}

}  // namespace

TEST_CASE("without a driver there is no GPU") {
  if (dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL) != nullptr) {
    MESSAGE("test skipped: this machine has a driver");
    return;
  }
  CHECK_FALSE(find_gpu());
}

TEST_CASE("a GPU is told by name, compute capability, memory and driver") {
  load_fake_driver();
  CHECK(find_gpu().value().describe() ==
        "Fake GPU, compute capability 9.0, 80.0 GiB, driver for CUDA 13.0");
  CHECK(refusal() == "no error");
}

TEST_CASE("a driver without a device is no GPU, one that does not work an error of one line") {
  load_fake_driver();
  {
    const Setting none("FAKE_DEVICES", "0");
    CHECK_FALSE(find_gpu());
  }
  {
    const Setting none("FAKE_INIT", "100");
    CHECK_FALSE(find_gpu());
  }
  const Setting broken("FAKE_INIT", "802");
  CHECK(refusal() ==
        "NVIDIA's driver does not work, cuInit gives 802 (system not yet initialized): "
        "EXPGRAPH_DEVICE=cpu runs on the CPU");
}

TEST_CASE("a GPU or a driver that is too old is an error of one line") {
  load_fake_driver();
  {
    const Setting old("FAKE_CAPABILITY", "75");
    CHECK(refusal() ==
          "Fake GPU has compute capability 7.5, 8.0 or more is needed: EXPGRAPH_DEVICE=cpu runs on "
          "the CPU");
  }
  const Setting old("FAKE_DRIVER", "12040");
  CHECK(refusal() ==
        "the driver of Fake GPU runs CUDA up to 12.4, 13.0 is needed: update it, or "
        "EXPGRAPH_DEVICE=cpu runs on the CPU");
}
