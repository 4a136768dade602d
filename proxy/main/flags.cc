#include "proxy/main/flags.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "api/spiffe/spiffe_id.h"

namespace countersign::main {
namespace {

constexpr uint32_t kMaxConcurrency = 64;
constexpr uint64_t kMinBufferedBytes = uint64_t{1} << 20;
constexpr uint64_t kMaxBufferedBytes = uint64_t{1} << 40;

// False where the kernel runs without IPv6: a wildcard listener must not fail there.
bool HasIpv6() {
  const int fd = open("/proc/net/if_inet6", O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return false;
  }
  char first = 0;
  const bool any = read(fd, &first, 1) == 1;
  close(fd);
  return any;
}

absl::Status SetListen(const std::string& value, std::vector<net::Address>* addresses) {
  if (value == "off") {
    addresses->clear();
    return absl::OkStatus();
  }
  std::vector<net::Address> parsed;
  for (absl::string_view item : absl::StrSplit(value, ',')) {
    uint32_t port = 0;
    if (absl::SimpleAtoi(item, &port)) {
      if (port == 0 || port > 65535) {
        return absl::InvalidArgumentError("a port is a number from 1 to 65535");
      }
      parsed.emplace_back(net::IpAddress::V4({0, 0, 0, 0}), static_cast<uint16_t>(port));
      if (HasIpv6()) {
        parsed.emplace_back(net::IpAddress::V6({}), static_cast<uint16_t>(port));
      }
      continue;
    }
    absl::StatusOr<net::Address> address = net::Address::Parse(item);
    if (!address.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(address.status().message(),
                       "; write a port (all addresses), ADDRESS:PORT, several of them with commas "
                       "between, or `off`"));
    }
    parsed.push_back(*address);
  }
  *addresses = std::move(parsed);
  return absl::OkStatus();
}

absl::Status SetDuration(const std::string& value, std::chrono::milliseconds* duration) {
  absl::Duration parsed;
  if (!absl::ParseDuration(value, &parsed) || parsed < absl::ZeroDuration() ||
      parsed > absl::Hours(24)) {
    return absl::InvalidArgumentError("write a time span of at most a day, such as 45s or 1m30s");
  }
  *duration = absl::ToChronoMilliseconds(parsed);
  return absl::OkStatus();
}

absl::Status SetHostPort(const std::string& value, const char* example, std::string* out) {
  const size_t colon = value.rfind(':');
  uint32_t port = 0;
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(value.substr(colon + 1), &port) || port == 0 || port > 65535 ||
      value.find_first_of("/@ \t") != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("write HOST:PORT, such as ", example));
  }
  *out = value;
  return absl::OkStatus();
}

// OpenTelemetry's convention (OTLP exporter, OTEL_EXPORTER_OTLP_ENDPOINT): the scheme decides.
absl::Status SetCollector(const std::string& value, server::Options* options) {
  absl::string_view host_port = value;
  options->otlp_tls = absl::ConsumePrefix(&host_port, "https://");
  if (!options->otlp_tls) absl::ConsumePrefix(&host_port, "http://");
  return SetHostPort(std::string(host_port),
                     "localhost:4317, and https:// before it for a collector with TLS",
                     &options->otlp_endpoint);
}

absl::Status SetLimit(const std::string& value, uint32_t* limit) {
  if (!absl::SimpleAtoi(value, limit) || *limit == 0) {
    return absl::InvalidArgumentError("write a number from 1 to 4294967295");
  }
  return absl::OkStatus();
}

absl::Status SetBytes(const std::string& value, size_t* bytes) {
  absl::string_view number = value;
  uint64_t unit = 1;
  if (absl::ConsumeSuffix(&number, "KiB")) {
    unit = uint64_t{1} << 10;
  } else if (absl::ConsumeSuffix(&number, "MiB")) {
    unit = uint64_t{1} << 20;
  } else if (absl::ConsumeSuffix(&number, "GiB")) {
    unit = uint64_t{1} << 30;
  }
  uint64_t parsed = 0;
  if (!absl::SimpleAtoi(number, &parsed) || parsed == 0 || parsed > kMaxBufferedBytes / unit ||
      parsed * unit < kMinBufferedBytes) {
    return absl::InvalidArgumentError("write a size from 1MiB to 1024GiB, such as 256MiB");
  }
  *bytes = parsed * unit;
  return absl::OkStatus();
}

absl::Status AddForward(const std::string& value, std::vector<server::Forward>* forwards) {
  const std::vector<std::string> sides = absl::StrSplit(value, '=');
  if (sides.size() == 2) {
    absl::StatusOr<net::Address> listen = net::Address::Parse(sides[0]);
    absl::StatusOr<net::Address> destination = net::Address::Parse(sides[1]);
    if (listen.ok() && destination.ok()) {
      forwards->push_back({.listen = *listen, .destination = *destination});
      return absl::OkStatus();
    }
  }
  return absl::InvalidArgumentError(
      "write LISTEN=DESTINATION, such as 127.0.0.1:9000=10.96.0.10:80");
}

// Names end in metric labels and in the name under which the control plane knows us.
absl::Status SetName(const std::string& value, std::string* name) {
  if (value.size() > 253 ||
      value.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-.") != std::string::npos) {
    return absl::InvalidArgumentError(
        "write a Kubernetes name: lower-case letters, digits, `-` and `.`, at most 253");
  }
  *name = value;
  return absl::OkStatus();
}

absl::Status SetOneOf(const std::string& value, const std::vector<std::string>& allowed,
                      std::string* out) {
  std::string all;
  for (const std::string& one : allowed) {
    if (value == one) {
      *out = value;
      return absl::OkStatus();
    }
    absl::StrAppend(&all, all.empty() ? "" : ", ", one);
  }
  return absl::InvalidArgumentError(absl::StrCat("write one of ", all));
}

absl::Status Check(const Settings& settings) {
  const server::Options& options = settings.server;
  if (options.workload.empty() != options.workload_namespace.empty()) {
    return absl::InvalidArgumentError("--workload and --namespace belong together: give both");
  }
  if (!options.otlp_ca_file.empty() && !options.otlp_tls) {
    return absl::InvalidArgumentError(
        "--otlp-ca-file is for a collector that is spoken to by TLS: write --otlp-endpoint "
        "https://HOST:PORT, or leave --otlp-ca-file out");
  }
  return absl::OkStatus();
}

std::string Usage() {
  std::string text =
      "countersign-proxy: the sidecar that turns a pod's traffic into mutual TLS.\n\nFlags (each "
      "also as an environment variable):\n";
  for (const Flag& flag : Flags()) {
    absl::StrAppend(&text, "  --", flag.name, " ", flag.value, flag.required ? " (required)" : "",
                    *flag.fallback != '\0' ? absl::StrCat(" [", flag.fallback, "]") : "",
                    "\n      ", flag.help, "\n      ", EnvironmentName(flag), "\n");
  }
  return text;
}

}  // namespace

const std::vector<Flag>& Flags() {
  static const auto* const flags = new std::vector<Flag>{
      {.name = "control",
       .value = "HOST:PORT",
       .fallback = "",
       .help = "The control plane's gRPC port (15012).",
       .required = true,
       .set =
           [](const std::string& value, Settings& settings) {
             return SetHostPort(value, "control.mesh:15012", &settings.server.control);
           }},
      {.name = "trust-bundle",
       .value = "FILE",
       .fallback = "",
       .help = "PEM roots that the control plane's certificate must chain to at first contact: "
               "bundle.pem of its state folder.",
       .required = true,
       .set =
           [](const std::string& value, Settings& settings) {
             settings.server.trust_bundle_file = value;
             return absl::OkStatus();
           }},
      {.name = "trust-domain",
       .value = "NAME",
       .fallback = "cluster.local",
       .help = "Our trust domain; the control plane must be spiffe://NAME/countersign/control.",
       .set =
           [](const std::string& value, Settings& settings) {
             settings.server.trust_domain = value;
             return spiffe::CheckTrustDomain(value);
           }},
      {.name = "join-token-file",
       .value = "FILE",
       .fallback = "",
       .help = "Holds a join token made by `countersign-control token create`. Read only when "
               "there is no valid certificate to attest with.",
       .set =
           [](const std::string& value, Settings& settings) {
             settings.server.join_token_file = value;
             return absl::OkStatus();
           }},
      {.name = "workload",
       .value = "NAME",
       .fallback = "",
       .help = "The name of our ExternalWorkload; configuration is asked for under it.",
       .set = [](const std::string& value,
                 Settings& settings) { return SetName(value, &settings.server.workload); }},
      {.name = "namespace",
       .value = "NS",
       .fallback = "",
       .help = "The namespace of our ExternalWorkload.",
       .set =
           [](const std::string& value, Settings& settings) {
             return SetName(value, &settings.server.workload_namespace);
           }},
      {.name = "admin",
       .value = "LISTEN",
       .fallback = "127.0.0.1:15000",
       .help = "Admin pages; loopback addresses only.",
       .set = [](const std::string& value,
                 Settings& settings) { return SetListen(value, &settings.server.admin_listen); }},
      {.name = "metrics-listen",
       .value = "LISTEN",
       .fallback = "15020",
       .help = "/metrics and /healthz/ready for the network.",
       .set = [](const std::string& value,
                 Settings& settings) { return SetListen(value, &settings.server.metrics_listen); }},
      {.name = "ready-listen",
       .value = "LISTEN",
       .fallback = "15021",
       .help = "/healthz/ready for probes.",
       .set = [](const std::string& value,
                 Settings& settings) { return SetListen(value, &settings.server.ready_listen); }},
      {.name = "outbound-listen",
       .value = "LISTEN",
       .fallback = "15001",
       .help = "Captures what the application opens. A LISTEN is a port (all addresses, IPv4 and "
               "IPv6), ADDRESS:PORT, several of them with commas between, or `off`.",
       .set =
           [](const std::string& value, Settings& settings) {
             return SetListen(value, &settings.server.outbound_listen);
           }},
      {.name = "inbound-listen",
       .value = "LISTEN",
       .fallback = "15006",
       .help = "Captures what others open to the application.",
       .set = [](const std::string& value,
                 Settings& settings) { return SetListen(value, &settings.server.inbound_listen); }},
      {.name = "hbone-listen",
       .value = "LISTEN",
       .fallback = "15008",
       .help = "Takes tunnels (HTTP/2 CONNECT over mutual TLS) from other proxies.",
       .set = [](const std::string& value,
                 Settings& settings) { return SetListen(value, &settings.server.hbone_listen); }},
      {.name = "forward",
       .value = "LISTEN=DESTINATION",
       .fallback = "",
       .help = "Treats what connects to LISTEN as captured on its way to DESTINATION, where there "
               "is no netfilter. May be given several times.",
       .repeated = true,
       .set = [](const std::string& value,
                 Settings& settings) { return AddForward(value, &settings.server.forwards); }},
      {.name = "inbound-forward",
       .value = "LISTEN=DESTINATION",
       .fallback = "",
       .help = "Treats what connects to LISTEN as captured on its way to the application at "
               "DESTINATION, where there is no netfilter. May be given several times.",
       .repeated = true,
       .set =
           [](const std::string& value, Settings& settings) {
             return AddForward(value, &settings.server.inbound_forwards);
           }},
      {.name = "concurrency",
       .value = "N",
       .fallback = "1",
       .help = "Worker threads.",
       .set =
           [](const std::string& value, Settings& settings) {
             if (!absl::SimpleAtoi(value, &settings.server.concurrency) ||
                 settings.server.concurrency == 0 ||
                 settings.server.concurrency > kMaxConcurrency) {
               return absl::InvalidArgumentError(
                   absl::StrCat("write a number from 1 to ", kMaxConcurrency));
             }
             return absl::OkStatus();
           }},
      {.name = "hold-time",
       .value = "DURATION",
       .fallback = "10s",
       .help = "How long a connection waits for our identity and configuration before it is "
               "refused.",
       .set = [](const std::string& value,
                 Settings& settings) { return SetDuration(value, &settings.server.hold_time); }},
      {.name = "drain-time",
       .value = "DURATION",
       .fallback = "45s",
       .help = "How long connections may go on after SIGTERM.",
       .set = [](const std::string& value,
                 Settings& settings) { return SetDuration(value, &settings.server.drain_time); }},
      {.name = "expiry-grace",
       .value = "DURATION",
       .fallback = "24h",
       .help = "How long a connection may go on after the certificate that its peer made it with "
               "has expired; then it is reset. At most a day, the longest life of a certificate; "
               "0: no longer than the certificate.",
       .set = [](const std::string& value,
                 Settings& settings) { return SetDuration(value, &settings.server.expiry_grace); }},
      {.name = "log-level",
       .value = "LEVEL",
       .fallback = "info",
       .help = "trace, debug, info, warning, error or off; /logging changes it at run time.",
       .set =
           [](const std::string& value, Settings& settings) {
             return SetOneOf(value, {"trace", "debug", "info", "warning", "error", "off"},
                             &settings.log_level);
           }},
      {.name = "log-format",
       .value = "FORMAT",
       .fallback = "text",
       .help = "text or json, one line an event, on standard error.",
       .set =
           [](const std::string& value, Settings& settings) {
             std::string format;
             absl::Status status = SetOneOf(value, {"text", "json"}, &format);
             settings.log_json = format == "json";
             return status;
           }},
      {.name = "access-log",
       .value = "FILE",
       .fallback = "off",
       .help = "One line a request or connection, when it has ended: a file, `-` for standard "
               "output, or off. SIGUSR1 opens the file anew. proxy/access_log/FIELDS.md has the "
               "fields.",
       .set =
           [](const std::string& value, Settings& settings) {
             settings.server.access_log.path = value == "off" ? "" : value;
             return absl::OkStatus();
           }},
      {.name = "access-log-format",
       .value = "FORMAT",
       .fallback = "json",
       .help = "json, or text: a line like Envoy's, or name=value where fields are chosen.",
       .set =
           [](const std::string& value, Settings& settings) {
             std::string format;
             absl::Status status = SetOneOf(value, {"json", "text"}, &format);
             settings.access_log_kind = format == "text" ? access_log::LineFormat::Kind::kText
                                                         : access_log::LineFormat::Kind::kJson;
             return status;
           }},
      {.name = "access-log-fields",
       .value = "NAME,NAME,...",
       .fallback = "",
       .help = "The fields that are wanted, in their order; all of them otherwise.",
       .set =
           [](const std::string& value, Settings& settings) {
             settings.access_log_fields = absl::StrSplit(value, ',', absl::SkipWhitespace());
             return access_log::LineFormat::Make(settings.access_log_kind,
                                                 settings.access_log_fields)
                 .status();
           }},
      {.name = "access-log-sample",
       .value = "SHARE",
       .fallback = "1",
       .help = "From 0 to 1: the share of lines about what went well. What was refused, broke off, "
               "carries a response flag, or ended with a 5xx or a gRPC status other than 0 is "
               "always written.",
       .set =
           [](const std::string& value, Settings& settings) {
             double* sample = &settings.server.access_log.sample;
             if (!absl::SimpleAtod(value, sample) || !(*sample >= 0 && *sample <= 1)) {
               return absl::InvalidArgumentError("write a share from 0 to 1, such as 0.05");
             }
             return absl::OkStatus();
           }},
      {.name = "otlp-endpoint",
       .value = "[SCHEME://]HOST:PORT",
       .fallback = "off",
       .help =
           "Where spans go: a collector that takes OTLP over gRPC (4317); or off. With https:// by "
           "TLS, and its certificate must be for HOST; with http:// or without a scheme in "
           "plaintext, for one beside the pod or on its node. Which requests are traced is decided "
           "by whoever calls, or by the Mesh's configuration.",
       .set =
           [](const std::string& value, Settings& settings) {
             if (value == "off") {
               settings.server.otlp_endpoint.clear();
               return absl::OkStatus();
             }
             return SetCollector(value, &settings.server);
           }},
      {.name = "otlp-ca-file",
       .value = "FILE",
       .fallback = "",
       .help = "PEM certificates of the authorities that the certificate of an https:// collector "
               "must chain to, read at start; the system's otherwise.",
       .set =
           [](const std::string& value, Settings& settings) {
             settings.server.otlp_ca_file = value;
             return absl::OkStatus();
           }},
      {.name = "otlp-service-name",
       .value = "NAME",
       .fallback = "",
       .help = "service.name of the spans; WORKLOAD.NAMESPACE otherwise.",
       .set =
           [](const std::string& value, Settings& settings) {
             settings.server.otlp_service_name = value;
             return absl::OkStatus();
           }},
      {.name = "max-connections",
       .value = "N",
       .fallback = "65536",
       .help = "Of one worker, both directions together; beyond it the newest is refused.",
       .set = [](const std::string& value,
                 Settings& settings) { return SetLimit(value, &settings.server.max_connections); }},
      {.name = "max-requests",
       .value = "N",
       .fallback = "65536",
       .help = "HTTP requests that one worker has under way at a time; beyond it the newest is "
               "answered 503 with the flag OM.",
       .set = [](const std::string& value,
                 Settings& settings) { return SetLimit(value, &settings.server.max_requests); }},
      {.name = "max-buffered-bytes",
       .value = "BYTES",
       .fallback = "256MiB",
       .help =
           "Bytes on their way through one worker; beyond it the newest connections and requests "
           "are refused, then idle ones closed.",
       .set =
           [](const std::string& value, Settings& settings) {
             return SetBytes(value, &settings.server.max_buffered_bytes);
           }},
      {.name = "allow-core-dumps",
       .value = "BOOL",
       .fallback = "false",
       .help = "For debugging alone: core dumps and debuggers see the private key.",
       .set =
           [](const std::string& value, Settings& settings) {
             std::string answer;
             absl::Status status = SetOneOf(value, {"true", "false"}, &answer);
             settings.allow_core_dumps = answer == "true";
             return status;
           }},
  };
  return *flags;
}

std::string EnvironmentName(const Flag& flag) {
  std::string name = absl::StrCat("COUNTERSIGN_", absl::AsciiStrToUpper(flag.name));
  for (char& c : name) {
    c = c == '-' ? '_' : c;
  }
  return name;
}

std::string RenderFlagsReference() {
  std::string out =
      "# Flags of countersign-proxy\n\nGenerated by `bazel run //proxy/main:flags_reference` from "
      "`flags.cc`. A flag wins over its environment variable.\nSeveral values of a repeated flag "
      "stand in the variable with semicolons between.\n\n"
      "| flag | value | default | environment | meaning |\n|---|---|---|---|---|\n";
  for (const Flag& flag : Flags()) {
    absl::StrAppend(&out, "| `--", flag.name, "` | ", flag.value, " | ",
                    flag.required ? "(required)" : flag.fallback, " | `", EnvironmentName(flag),
                    "` | ", flag.help, " |\n");
  }
  return out;
}

absl::StatusOr<Settings> ParseFlags(const std::vector<std::string>& arguments,
                                    const std::function<const char*(const char*)>& environment) {
  std::map<std::string, std::vector<std::string>> given;
  for (size_t i = 0; i < arguments.size(); ++i) {
    absl::string_view argument = arguments[i];
    if (argument == "--help" || argument == "-h") {
      return absl::CancelledError(Usage());
    }
    if (!absl::ConsumePrefix(&argument, "--")) {
      return absl::InvalidArgumentError(
          absl::StrCat("`", arguments[i], "` is no flag; --help lists them"));
    }
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(argument, absl::MaxSplits('=', 1));
    const bool joined = argument.find('=') != absl::string_view::npos;
    const Flag* known = nullptr;
    for (const Flag& flag : Flags()) {
      known = parts.first == flag.name ? &flag : known;
    }
    if (known == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("there is no flag --", parts.first, "; --help lists them"));
    }
    if (!joined && i + 1 == arguments.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", parts.first, " needs a value (", known->value, ")"));
    }
    std::vector<std::string>& values = given[parts.first];
    if (!known->repeated && !values.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("--", parts.first, " is given twice"));
    }
    values.push_back(joined ? parts.second : arguments[++i]);
  }

  Settings settings;
  for (const Flag& flag : Flags()) {
    std::string source = absl::StrCat("--", flag.name);
    std::vector<std::string> values;
    if (auto it = given.find(flag.name); it != given.end()) {
      values = it->second;
    } else if (const char* variable = environment(EnvironmentName(flag).c_str());
               variable != nullptr && *variable != '\0') {
      source = EnvironmentName(flag);
      if (flag.repeated) {
        values = absl::StrSplit(variable, ';', absl::SkipWhitespace());
      } else {
        values = {variable};
      }
    } else if (flag.required) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", flag.name, " ", flag.value, " is required: ", flag.help));
    } else if (*flag.fallback != '\0') {
      values = {flag.fallback};
    }
    for (const std::string& value : values) {
      absl::Status status = flag.set(value, settings);
      if (!status.ok()) {
        return absl::InvalidArgumentError(absl::StrCat(source, " ", value, ": ", status.message()));
      }
      settings.server.flags.emplace_back(flag.name, value);
    }
  }
  absl::Status status = Check(settings);
  if (!status.ok()) {
    return status;
  }
  // The fields were checked one by one.
  settings.server.access_log.format =
      *access_log::LineFormat::Make(settings.access_log_kind, settings.access_log_fields);
  return settings;
}

}  // namespace countersign::main
