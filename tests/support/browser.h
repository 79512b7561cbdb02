// browser: a headless Chromium -> pages opened and looked at, over its debugging pipe.
#pragma once

#include <sys/types.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/temporary_folder.h"

namespace expgraph {

/// The program to start; none when this machine has no Chromium.
std::optional<std::string> find_chromium();

/// One browser with one tab. Throws std::runtime_error when it does not answer.
class Browser {
 public:
  using Json = nlohmann::ordered_json;

  explicit Browser(const std::string& program);
  ~Browser();
  Browser(const Browser&) = delete;
  Browser& operator=(const Browser&) = delete;

  /// A command of the DevTools protocol to the tab, and its result.
  Json call(const std::string& method, Json parameters = Json::object());
  /// Loads a file and waits for it.
  void open(const std::string& path);
  /// The value of an expression in the page.
  Json evaluate(const std::string& expression);

  /// Errors, warnings and exceptions of the page so far, as text.
  const std::vector<std::string>& complaints() const { return complaints_; }
  /// Addresses that the page asked for so far, itself included.
  const std::vector<std::string>& requests() const { return requests_; }

 private:
  void send(const Json& message);
  Json receive();
  void note(const Json& event);
  void wait_for(const std::string& event);

  TemporaryFolder profile_;
  pid_t process_ = -1;
  int commands_ = -1, answers_ = -1;
  int last_id_ = 0;
  std::string session_, buffer_;
  std::vector<std::string> complaints_, requests_, events_;
};

}  // namespace expgraph
