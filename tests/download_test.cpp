// Download against a server on the loopback: whole, cut off and resumed, refused, wrong.
#include "core/data/download.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <thread>

#include "core/support/diagnostics.h"
#include "core/support/fs.h"
#include "core/support/hash.h"
#include "tests/support/temporary_folder.h"

using namespace expgraph;
namespace fs = std::filesystem;

namespace {

/// Serves one body over HTTP, a connection at a time, on a port of its own.
class Server {
 public:
  struct Behaviour {
    std::string body;
    bool ranges = true;              ///< honours Range
    std::optional<size_t> cut = {};  ///< closes the first connection after so many bytes
    int status = 200;
  };

  explicit Server(Behaviour behaviour) : behaviour_(std::move(behaviour)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::bind(listener_, generic, size) == 0);
    REQUIRE(::listen(listener_, 4) == 0);
    REQUIRE(::getsockname(listener_, generic, &size) == 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() { stop(); }

  std::string url() const { return fmt::format("http://127.0.0.1:{}/data.bin", port_); }

  /// First byte asked for, of each request; ends the server.
  std::vector<size_t> starts() {
    stop();
    return starts_;
  }

 private:
  void stop() {
    if (!thread_.joinable()) return;
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }

  void serve() {
    for (int connection; (connection = ::accept(listener_, nullptr, nullptr)) >= 0;) {
      answer(connection);
      ::shutdown(connection, SHUT_WR);
      ::close(connection);
    }
  }

  static std::string request_of(int connection) {
    std::string request;
    char block[1024];
    while (request.find("\r\n\r\n") == std::string::npos) {
      const ssize_t got = ::recv(connection, block, sizeof(block), 0);
      if (got <= 0) break;
      request.append(block, static_cast<size_t>(got));
    }
    return request;
  }

  void answer(int connection) {
    const std::string request = request_of(connection);
    const size_t range = request.find("Range: bytes=");
    size_t start = range == std::string::npos ? 0 : std::stoul(request.substr(range + 13));
    starts_.push_back(start);
    const std::string& body = behaviour_.body;
    if (behaviour_.status != 200) {
      return send(connection,
                  fmt::format("HTTP/1.1 {} No\r\nContent-Length: 0\r\n\r\n", behaviour_.status));
    }
    if (range != std::string::npos && behaviour_.ranges && start >= body.size()) {
      return send(connection, "HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n");
    }
    const bool part = range != std::string::npos && behaviour_.ranges;
    if (!part) start = 0;
    std::string head = part ? fmt::format(
                                  "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes "
                                  "{}-{}/{}\r\n",
                                  start, body.size() - 1, body.size())
                            : "HTTP/1.1 200 OK\r\n";
    head += fmt::format("Content-Length: {}\r\nConnection: close\r\n\r\n", body.size() - start);
    std::string rest = body.substr(start);
    if (behaviour_.cut && starts_.size() == 1) rest.resize(*behaviour_.cut);
    send(connection, head + rest);
  }

  static void send(int connection, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(connection, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }

  Behaviour behaviour_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::vector<size_t> starts_;
  std::thread thread_;
};

std::string some_bytes(size_t count) {
  std::string bytes(count, '\0');
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<char>(i * 7 + i / 251);
  return bytes;
}

std::string md5_of(std::string_view bytes) {
  Digest digest(Digest::Kind::md5);
  digest.add(bytes);
  return digest.hex();
}

/// The rendered error, "" when there is none.
std::string error_of(const Download& what, const fs::path& to) {
  try {
    download(what, to, {});
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::environment);
    return error.render();
  }
  return "";
}

struct Case {
  TemporaryFolder folder;
  fs::path to = folder.path / "new" / "data.bin";
  fs::path part = folder.path / "new" / "data.bin.part";
  std::string body = some_bytes(300'000);
  Case() { ::setenv("no_proxy", "127.0.0.1", 1); }
  Download from(const Server& server) const { return {server.url(), md5_of(body), 400'000}; }
  std::string fetched() const { return system_fs().read(to, 1 << 20); }
  void have(std::string_view so_far) const {
    system_fs().make_folder(part.parent_path());
    std::ofstream(part) << so_far;
  }
};

}  // namespace

TEST_CASE("a file is fetched, checked and put in its place, with progress to the end") {
  const Case test;
  Server server({test.body});
  double last = 0;
  download(test.from(server), test.to, [&](double fraction) {
    CHECK(fraction >= last);
    last = fraction;
  });
  CHECK(last == 1);
  CHECK(test.fetched() == test.body);
  CHECK_FALSE(fs::exists(test.part));
}

TEST_CASE("a download that was cut off goes on where it stopped") {
  const Case test;
  Server server({.body = test.body, .cut = 100'000});
  const std::string error = error_of(test.from(server), test.to);
  CHECK(error.find(fmt::format("error: cannot fetch '{}': ", server.url())) == 0);
  CHECK(error.find("note: 100000 bytes have come and are kept: run again to go on\n") !=
        std::string::npos);
  CHECK_FALSE(fs::exists(test.to));
  CHECK(error_of(test.from(server), test.to).empty());
  CHECK(test.fetched() == test.body);
  CHECK(server.starts() == std::vector<size_t>{0, 100'000});
}

TEST_CASE("a server without ranges is asked for the whole again") {
  const Case test;
  test.have(test.body.substr(0, 1000));
  Server server({.body = test.body, .ranges = false});
  CHECK(error_of(test.from(server), test.to).empty());
  CHECK(test.fetched() == test.body);
  CHECK(server.starts() == std::vector<size_t>{1000, 0});
}

TEST_CASE("a part that is already whole is taken as it is") {
  const Case test;
  test.have(test.body);
  Server server({test.body});
  CHECK(error_of(test.from(server), test.to).empty());
  CHECK(test.fetched() == test.body);
  CHECK(server.starts() == std::vector<size_t>{test.body.size()});
}

TEST_CASE("a file with another checksum is refused and removed") {
  const Case test;
  const std::string other = some_bytes(299'999);
  Server server({other});
  CHECK(error_of(test.from(server), test.to) ==
        fmt::format("error: '{}' has MD5 {}, expected {}: it was removed\n", server.url(),
                    md5_of(other), md5_of(test.body)));
  CHECK_FALSE(fs::exists(test.to));
  CHECK_FALSE(fs::exists(test.part));
}

TEST_CASE("an answer that is too large is cut off") {
  const Case test;
  Server server({some_bytes(500'000)});
  CHECK(error_of(test.from(server), test.to) ==
        fmt::format("error: '{}' has more than the 400000 bytes expected\n", server.url()));
  CHECK_FALSE(fs::exists(test.part));
}

TEST_CASE("an error of the server and no server are told apart") {
  const Case test;
  Server server({.body = test.body, .status = 404});
  CHECK(error_of(test.from(server), test.to) ==
        fmt::format("error: cannot fetch '{}': The requested URL returned error: 404\n",
                    server.url()));
  CHECK(server.starts() == std::vector<size_t>{0});
  const std::string error = error_of(test.from(server), test.to);
  CHECK(error.find("Failed to connect to 127.0.0.1") != std::string::npos);
}

TEST_CASE("a place that cannot be written is told") {
  const Case test;
  Server server({test.body});
  fs::create_directories(test.part);
  CHECK(error_of(test.from(server), test.to) ==
        fmt::format("error: cannot write '{}': Is a directory\n", test.part.string()));
}

TEST_CASE("two processes do not fetch the same file at once") {
  const Case test;
  Server server({test.body});
  system_fs().make_folder(test.to.parent_path());
  const auto held = system_fs().lock(test.part.string() + ".lock");
  REQUIRE(held);
  CHECK(error_of(test.from(server), test.to) ==
        fmt::format("error: another process is fetching '{}'\n", test.to.string()));
}
