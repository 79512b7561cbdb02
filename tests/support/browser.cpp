// browser: a headless Chromium -> pages opened and looked at, over its debugging pipe.
#include "tests/support/browser.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace expgraph {
namespace {

constexpr int kSeconds = 60;                // for an answer, on a busy machine
constexpr int kCommands = 3, kAnswers = 4;  // the pipe's ends in Chromium

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error("chromium: " + what); }

std::array<int, 2> make_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) fail("no pipe");
  return ends;
}

}  // namespace

std::optional<std::string> find_chromium() {
  for (const char* place :
       {"/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"}) {
    if (access(place, X_OK) == 0) return place;
  }
  return std::nullopt;
}

Browser::Browser(const std::string& program) {
  const std::array<int, 2> commands = make_pipe(), answers = make_pipe();
  const std::string profile = "--user-data-dir=" + profile_.path.string();
  std::vector<std::string> words = {program,
                                    "--headless=new",
                                    "--no-sandbox",
                                    "--disable-gpu",
                                    "--disable-dev-shm-usage",
                                    "--no-first-run",
                                    "--disable-extensions",
                                    "--disable-background-networking",
                                    "--disable-component-update",
                                    "--hide-scrollbars",
                                    "--remote-debugging-pipe",
                                    profile,
                                    "about:blank"};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  process_ = fork();
  if (process_ == 0) {
    // First out of the way: an end may itself have the number 3 or 4.
    const int in = fcntl(commands[0], F_DUPFD, 10), out = fcntl(answers[1], F_DUPFD, 10);
    const int nothing = ::open("/dev/null", O_RDWR);
    dup2(nothing, STDOUT_FILENO);
    dup2(nothing, STDERR_FILENO);
    dup2(in, kCommands);
    dup2(out, kAnswers);
    setpgid(0, 0);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  close(commands[0]);
  close(answers[1]);
  commands_ = commands[1];
  answers_ = answers[0];
  if (process_ < 0) fail("cannot be started");
  const Json target = call("Target.createTarget", {{"url", "about:blank"}});
  const Json attached =
      call("Target.attachToTarget", {{"targetId", target.at("targetId")}, {"flatten", true}});
  session_ = attached.at("sessionId");
  for (const char* domain : {"Page", "Runtime", "Log", "Network"}) {
    call(fmt::format("{}.enable", domain));
  }
}

Browser::~Browser() {
  close(commands_);
  close(answers_);
  if (process_ <= 0) return;
  kill(-process_, SIGKILL);
  waitpid(process_, nullptr, 0);
}

void Browser::send(const Json& message) {
  const std::string text = message.dump() + '\0';
  size_t sent = 0;
  while (sent < text.size()) {
    const ssize_t n = write(commands_, text.data() + sent, text.size() - sent);
    if (n <= 0) fail("has gone");
    sent += static_cast<size_t>(n);
  }
}

Browser::Json Browser::receive() {
  while (true) {
    const size_t end = buffer_.find('\0');
    if (end != std::string::npos) {
      const Json message = Json::parse(buffer_.substr(0, end));
      buffer_.erase(0, end + 1);
      return message;
    }
    pollfd ready{answers_, POLLIN, 0};
    if (poll(&ready, 1, kSeconds * 1000) <= 0) fail("does not answer");
    std::array<char, 65536> bytes;
    const ssize_t n = read(answers_, bytes.data(), bytes.size());
    if (n <= 0) fail("has gone");
    buffer_.append(bytes.data(), static_cast<size_t>(n));
  }
}

void Browser::note(const Json& event) {
  const std::string method = event.at("method");
  const Json& parameters = event.at("params");
  events_.push_back(method);
  if (method == "Network.requestWillBeSent") {
    requests_.push_back(parameters.at("request").at("url"));
  } else if (method == "Runtime.exceptionThrown" || method == "Log.entryAdded") {
    complaints_.push_back(parameters.dump());
  } else if (method == "Runtime.consoleAPICalled") {
    complaints_.push_back(parameters.at("args").dump());
  }
}

Browser::Json Browser::call(const std::string& method, Json parameters) {
  const int id = ++last_id_;
  Json message = {{"id", id}, {"method", method}, {"params", std::move(parameters)}};
  if (!session_.empty()) message["sessionId"] = session_;
  send(message);
  while (true) {
    Json answer = receive();
    if (!answer.contains("id")) {
      note(answer);
    } else if (answer["id"] == id) {
      if (answer.contains("error")) fail(answer["error"].dump());
      return answer.at("result");
    }
  }
}

void Browser::wait_for(const std::string& event) {
  while (std::find(events_.begin(), events_.end(), event) == events_.end()) note(receive());
}

void Browser::open(const std::string& path) {
  events_.clear();
  call("Page.navigate", {{"url", "file://" + path}});
  wait_for("Page.loadEventFired");
}

Browser::Json Browser::evaluate(const std::string& expression) {
  const Json answer =
      call("Runtime.evaluate",
           {{"expression", expression}, {"returnByValue", true}, {"awaitPromise", true}});
  if (answer.contains("exceptionDetails")) fail(answer["exceptionDetails"].dump());
  const Json& result = answer.at("result");
  return result.contains("value") ? result["value"] : Json();
}

}  // namespace expgraph
