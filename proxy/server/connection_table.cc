#include "proxy/server/connection_table.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace countersign::server {
namespace {

constexpr size_t kColumns = 13;
using Row = std::array<std::string, kColumns>;

std::string OrDash(const std::string& text) { return text.empty() ? "-" : text; }

std::string Remaining(const ConnectionInfo& connection, absl::Time now) {
  if (connection.peer_expires_unix == 0) {
    return "-";
  }
  return absl::StrCat(connection.peer_expires_unix - absl::ToUnixSeconds(now), "s");
}

}  // namespace

std::string RenderConnectionsJson(const std::vector<ConnectionInfo>& connections, absl::Time now) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const ConnectionInfo& c : connections) {
    nlohmann::ordered_json one = {{"id", c.id},
                                  {"direction", c.inbound ? "inbound" : "outbound"},
                                  {"downstream", c.downstream},
                                  {"destination", c.destination},
                                  {"upstream", c.upstream},
                                  {"security", c.security},
                                  {"protocol", c.protocol},
                                  {"requests", c.requests},
                                  {"peer_id", c.peer_id},
                                  {"peer_serial", c.peer_serial}};
    if (c.peer_expires_unix != 0) {
      one["peer_expires_in_seconds"] = c.peer_expires_unix - absl::ToUnixSeconds(now);
    }
    one["state"] = c.state;
    one["bytes_in"] = c.bytes_in;
    one["bytes_out"] = c.bytes_out;
    one["age_seconds"] = c.age_seconds;
    list.push_back(std::move(one));
  }
  const nlohmann::ordered_json page = {{"connections", std::move(list)}};
  return page.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string RenderConnectionsText(const std::vector<ConnectionInfo>& connections, absl::Time now) {
  std::vector<Row> rows = {{"DIRECTION", "DOWNSTREAM", "DESTINATION", "UPSTREAM", "SECURITY",
                            "PROTOCOL", "REQUESTS", "PEER", "SERIAL", "EXPIRES", "STATE", "IN/OUT",
                            "AGE"}};
  for (const ConnectionInfo& c : connections) {
    rows.push_back({c.inbound ? "inbound" : "outbound", OrDash(c.downstream), OrDash(c.destination),
                    OrDash(c.upstream), OrDash(c.security), OrDash(c.protocol),
                    absl::StrCat(c.requests), OrDash(c.peer_id), OrDash(c.peer_serial),
                    Remaining(c, now), OrDash(c.state), absl::StrCat(c.bytes_in, "/", c.bytes_out),
                    absl::StrFormat("%.1fs", c.age_seconds)});
  }
  std::array<size_t, kColumns> widths{};
  for (const Row& row : rows) {
    for (size_t i = 0; i < kColumns; ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string text;
  for (const Row& row : rows) {
    for (size_t i = 0; i < kColumns; ++i) {
      text.append(row[i]);
      if (i + 1 < kColumns) {
        text.append(widths[i] - row[i].size() + 2, ' ');
      }
    }
    text.push_back('\n');
  }
  return text;
}

}  // namespace countersign::server
