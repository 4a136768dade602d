#include "deploy/redirect/options.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace countersign::redirect {
namespace {

bool ParseId(absl::string_view text, uint32_t* id) {
  if (text.empty() || text.size() > 10 ||
      !std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return false;
  }
  // 2^32-1 is "no id" to the kernel.
  return absl::SimpleAtoi(text, id) && *id != UINT32_MAX;
}

absl::Status InFlag(absl::string_view flag, const absl::Status& status) {
  return absl::InvalidArgumentError(absl::StrCat(flag, ": ", status.message()));
}

template <typename T>
absl::Status ParseList(absl::string_view flag, const std::vector<std::string>& texts,
                       std::vector<T>* out) {
  out->clear();
  for (const std::string& text : texts) {
    absl::StatusOr<T> parsed = T::Parse(text);
    if (!parsed.ok()) return InFlag(flag, parsed.status());
    out->push_back(*parsed);
  }
  if constexpr (!std::is_same_v<T, IdRange>) *out = Reduce(std::move(*out));
  return absl::OkStatus();
}

absl::Status ParsePortFlag(absl::string_view flag, const std::string& text, uint16_t* port) {
  const absl::StatusOr<PortRange> range = PortRange::Parse(text);
  if (!range.ok()) return InFlag(flag, range.status());
  if (range->first != range->last) {
    return absl::InvalidArgumentError(
        absl::StrCat(flag, ": '", text, "' is a range; the proxy listens on one port, write that"));
  }
  *port = range->first;
  return absl::OkStatus();
}

bool Holds(const std::vector<PortRange>& ranges, uint16_t port) {
  return std::any_of(ranges.begin(), ranges.end(), [port](const PortRange& range) {
    return range.first <= port && port <= range.last;
  });
}

}  // namespace

absl::StatusOr<IdRange> IdRange::Parse(absl::string_view text) {
  const size_t dash = text.find('-');
  IdRange range;
  if (!ParseId(text.substr(0, dash), &range.first) ||
      !ParseId(dash == absl::string_view::npos ? text : text.substr(dash + 1), &range.last) ||
      range.last < range.first) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", text,
        "' is not a user id; write a number as 1000 or a range as 1000-1999 (`id -u NAME` "
        "tells a name's number)"));
  }
  return range;
}

absl::StatusOr<Options> ParseOptions(const RawOptions& raw) {
  Options options;
  options.capture_outbound = raw.capture_outbound;
  options.capture_inbound = raw.capture_inbound;
  if (!ParseId(raw.proxy_uid, &options.proxy_uid)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--proxy-uid: '", raw.proxy_uid,
                     "' is not a user id; write the number that the proxy runs as, "
                     "1337 by default"));
  }
  if (options.proxy_uid == 0) {
    return absl::InvalidArgumentError(
        "--proxy-uid: 0 would let every process of root in the pod bypass the mesh; run the proxy "
        "as a user of its own, for example 1337, and name that");
  }
  if (!raw.proxy_gid.empty()) {
    uint32_t gid = 0;
    if (!ParseId(raw.proxy_gid, &gid) || gid == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("--proxy-gid: '", raw.proxy_gid,
                       "' is not a group of the proxy's own; write the number of "
                       "a group that no application is in, or leave the flag out"));
    }
    options.proxy_gid = gid;
  }
  if (absl::Status s = ParsePortFlag("--outbound-port", raw.outbound_port, &options.outbound_port);
      !s.ok()) {
    return s;
  }
  if (absl::Status s = ParsePortFlag("--inbound-port", raw.inbound_port, &options.inbound_port);
      !s.ok()) {
    return s;
  }
  if (options.outbound_port == options.inbound_port) {
    return absl::InvalidArgumentError(
        absl::StrCat("--outbound-port and --inbound-port are both ", options.inbound_port,
                     "; the proxy tells the directions apart by the port, so give them two"));
  }
  const absl::Status statuses[] = {
      ParseList("--include-outbound-cidr", raw.include_outbound_cidrs,
                &options.include_outbound_cidrs),
      ParseList("--include-outbound-port", raw.include_outbound_ports,
                &options.include_outbound_ports),
      ParseList("--exclude-outbound-cidr", raw.exclude_outbound_cidrs,
                &options.exclude_outbound_cidrs),
      ParseList("--exclude-outbound-port", raw.exclude_outbound_ports,
                &options.exclude_outbound_ports),
      ParseList("--exclude-outbound-uid", raw.exclude_outbound_uids,
                &options.exclude_outbound_uids),
      ParseList("--include-inbound-port", raw.include_inbound_ports,
                &options.include_inbound_ports),
      ParseList("--exclude-inbound-port", raw.exclude_inbound_ports,
                &options.exclude_inbound_ports),
      ParseList("--exclude-inbound-cidr", raw.exclude_inbound_cidrs,
                &options.exclude_inbound_cidrs),
      ParseList("--proxy-port", raw.proxy_ports, &options.proxy_ports),
  };
  for (const absl::Status& status : statuses) {
    if (!status.ok()) return status;
  }
  for (const uint16_t capture : {options.outbound_port, options.inbound_port}) {
    if (Holds(options.proxy_ports, capture) || Holds(options.exclude_inbound_ports, capture)) {
      return absl::InvalidArgumentError(
          absl::StrCat("port ", capture,
                       " is a capture port and is also left uncaptured; strangers could then "
                       "reach the proxy's capture port directly. Take it out of --proxy-port and "
                       "--exclude-inbound-port"));
    }
  }
  return options;
}

std::vector<std::string> Warnings(const Options& options) {
  std::vector<std::string> warnings;
  if (options.capture_outbound && !options.include_outbound_cidrs.empty()) {
    const auto v4 = [](const Cidr& cidr) { return cidr.is_v4(); };
    const auto& cidrs = options.include_outbound_cidrs;
    const char* missing = std::all_of(cidrs.begin(), cidrs.end(), v4)    ? "IPv6"
                          : std::none_of(cidrs.begin(), cidrs.end(), v4) ? "IPv4"
                                                                         : nullptr;
    if (missing != nullptr) {
      warnings.push_back(absl::StrCat(
          "--include-outbound-cidr has no ", missing, " block, so ", missing,
          " leaves the pod uncaptured",
          options.include_outbound_ports.empty() ? "" : " but for --include-outbound-port"));
    }
  }
  if (!options.capture_outbound && !options.capture_inbound) {
    warnings.push_back("neither direction is captured, so the rules do nothing");
  }
  return warnings;
}

}  // namespace countersign::redirect
