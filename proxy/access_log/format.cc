#include "proxy/access_log/format.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proxy/stats/utf8.h"

namespace countersign::access_log {
namespace {

constexpr char kHex[] = "0123456789abcdef";

// Where a value goes: what the columns below call.
class Sink {
 public:
  Sink(LineFormat::Kind kind, TimeCache& time, std::string* out)
      : kind_(kind), time_(time), out_(out) {}

  void Text(absl::string_view value) {
    if (kind_ == LineFormat::Kind::kJson) {
      Json(value);
    } else if (value.empty()) {
      out_->push_back('-');
    } else if (std::all_of(value.begin(), value.end(), IsPlain)) {
      Cut(value, [this](absl::string_view kept) { out_->append(kept.data(), kept.size()); });
    } else {
      Quoted(value);
    }
  }

  // In quotes in either format.
  void Quoted(absl::string_view value) {
    if (kind_ == LineFormat::Kind::kJson) return Json(value);
    out_->push_back('"');
    value.empty() ? out_->push_back('-') : Escaped(value);
    out_->push_back('"');
  }

  // For within quotes that somebody else writes.
  void Escaped(absl::string_view value) {
    Cut(value, [this](absl::string_view kept) {
      for (const char c : kept) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
          out_->push_back('\\');
          out_->push_back(c);
        } else if (byte < 0x20 || byte >= 0x7F) {
          out_->append("\\x");
          out_->push_back(kHex[byte >> 4]);
          out_->push_back(kHex[byte & 0x0F]);
        } else {
          out_->push_back(c);
        }
      }
    });
  }

  void Number(uint64_t value) {
    char digits[20];  // of 2^64
    const std::to_chars_result end = std::to_chars(std::begin(digits), std::end(digits), value);
    out_->append(digits, static_cast<size_t>(end.ptr - digits));
  }

  void Time(absl::Time time) {
    const int64_t millis = absl::ToUnixMillis(time);
    const int64_t second = millis >= 0 ? millis / 1000 : -((-millis + 999) / 1000);
    if (second != time_.second) {
      const std::string text =
          absl::FormatTime("%Y-%m-%dT%H:%M:%S", absl::FromUnixSeconds(second), absl::UTCTimeZone());
      time_.second = second;
      std::memcpy(time_.text, text.data(), std::min(text.size(), sizeof time_.text - 1));
    }
    const auto part = static_cast<int>(millis - second * 1000);
    const char fraction[] = {'.', static_cast<char>('0' + part / 100),
                             static_cast<char>('0' + part / 10 % 10),
                             static_cast<char>('0' + part % 10), 'Z'};
    if (kind_ == LineFormat::Kind::kJson) out_->push_back('"');
    out_->append(time_.text, sizeof time_.text - 1);
    out_->append(fraction, sizeof fraction);
    if (kind_ == LineFormat::Kind::kJson) out_->push_back('"');
  }

 private:
  static bool IsPlain(char c) { return c > 0x20 && c < 0x7F && c != '"' && c != '\\' && c != '='; }

  template <typename Write>
  void Cut(absl::string_view value, Write write) {
    if (value.size() <= kMaxValueBytes) return write(value);
    write(value.substr(0, kMaxValueBytes));
    out_->append("...");
  }

  // RFC 8259, section 7.
  void Json(absl::string_view value) {
    out_->push_back('"');
    Cut(value, [this](absl::string_view kept) {
      while (!kept.empty()) {
        const size_t length = stats::Utf8Length(kept);
        const auto first = static_cast<unsigned char>(kept[0]);
        if (length == 0) {
          out_->append("\xEF\xBF\xBD");
          kept.remove_prefix(1);
          continue;
        }
        // C0, DEL and C1: a terminal takes them for commands.
        const bool c1 = length == 2 && first == 0xC2 && static_cast<unsigned char>(kept[1]) < 0xA0;
        if (first < 0x20 || first == 0x7F || c1) {
          const auto code = static_cast<unsigned char>(kept[length - 1]);
          out_->append("\\u00");
          out_->push_back(kHex[code >> 4]);
          out_->push_back(kHex[code & 0x0F]);
        } else {
          if (first == '"' || first == '\\') out_->push_back('\\');
          out_->append(kept.data(), length);
        }
        kept.remove_prefix(length);
      }
    });
    out_->push_back('"');
  }

  const LineFormat::Kind kind_;
  TimeCache& time_;
  std::string* const out_;
};

enum class Of : uint8_t { kBoth, kRequests };

// One field of a line, declared once: FIELDS.md and both formats are made from here.
struct Column {
  const char* name;
  const char* help;
  Of of;
  // False: there is none. Null: always.
  bool (*present)(const Record& record);
  void (*append)(const Record& record, Sink& sink);
};

void Millis(absl::Duration duration, Sink& sink) {
  sink.Number(static_cast<uint64_t>(std::max<int64_t>(absl::ToInt64Milliseconds(duration), 0)));
}

constexpr Column kColumns[] = {
    {"start_time", "When the request's head began, or the connection was accepted; UTC.", Of::kBoth,
     nullptr, [](const Record& r, Sink& sink) { sink.Time(r.start); }},
    {"duration_ms", "From there to the end of both directions.", Of::kBoth, nullptr,
     [](const Record& r, Sink& sink) { Millis(r.duration, sink); }},
    {"direction", "inbound: to our application; outbound: from it.", Of::kBoth, nullptr,
     [](const Record& r, Sink& sink) { sink.Text(r.inbound ? "inbound" : "outbound"); }},
    {"protocol", "HTTP/1.1 or HTTP/2, as the client spoke it; TCP for a connection.", Of::kBoth,
     nullptr, [](const Record& r, Sink& sink) { sink.Text(r.http ? r.protocol : "TCP"); }},
    {"method", "The request's method.", Of::kRequests, nullptr,
     [](const Record& r, Sink& sink) { sink.Text(r.method); }},
    {"authority", "The request's :authority or Host.", Of::kRequests, nullptr,
     [](const Record& r, Sink& sink) { sink.Text(r.authority); }},
    {"path", "The request's path with its query.", Of::kRequests, nullptr,
     [](const Record& r, Sink& sink) { sink.Text(r.path); }},
    {"status", "The response's status; 0 if none was sent.", Of::kRequests, nullptr,
     [](const Record& r, Sink& sink) { sink.Number(r.status); }},
    {"grpc_status", "gRPC's status; left out if none came.", Of::kRequests,
     [](const Record& r) { return r.grpc_status >= 0; },
     [](const Record& r, Sink& sink) { sink.Number(static_cast<uint64_t>(r.grpc_status)); }},
    {"response_flags", "Why the response is as it is, in Envoy's letters; `-` for nothing special.",
     Of::kBoth, nullptr,
     [](const Record& r, Sink& sink) { sink.Text(r.flags.empty() ? "-" : r.flags); }},
    {"reason", "Why it was refused or broke off; empty for an orderly end.", Of::kBoth, nullptr,
     [](const Record& r, Sink& sink) { sink.Text(r.reason); }},
    {"policy", "The policy that refused it.", Of::kBoth, nullptr,
     [](const Record& r, Sink& sink) { sink.Text(r.policy); }},
    {"downstream", "Address of whoever opened the connection.", Of::kBoth, nullptr,
     [](const Record& r, Sink& sink) { sink.Text(r.downstream); }},
    {"destination", "Where the connection was going before it was captured.", Of::kBoth, nullptr,
     [](const Record& r, Sink& sink) { sink.Text(r.destination); }},
    {"upstream", "Where it was carried to; empty if nowhere.", Of::kBoth, nullptr,
     [](const Record& r, Sink& sink) { sink.Text(r.upstream); }},
    {"connection_security_policy", "mutual_tls or none, on the wire between the pods.", Of::kBoth,
     nullptr, [](const Record& r, Sink& sink) { sink.Text(r.security); }},
    {"peer_principal", "SPIFFE ID that the other side proved; empty for plaintext.", Of::kBoth,
     nullptr, [](const Record& r, Sink& sink) { sink.Text(r.peer_id); }},
    {"peer_serial", "Serial number of its certificate, hexadecimal.", Of::kBoth, nullptr,
     [](const Record& r, Sink& sink) { sink.Text(r.peer_serial); }},
    {"bytes_sent", "Bytes to downstream; of a request, its response's body.", Of::kBoth, nullptr,
     [](const Record& r, Sink& sink) { sink.Number(r.bytes_sent); }},
    {"bytes_received", "Bytes from downstream; of a request, its body.", Of::kBoth, nullptr,
     [](const Record& r, Sink& sink) { sink.Number(r.bytes_received); }},
    {"upstream_duration_ms",
     "From the beginning of the request to the head of the endpoint's response; left out if none "
     "came.",
     Of::kRequests, [](const Record& r) { return r.upstream_duration > absl::ZeroDuration(); },
     [](const Record& r, Sink& sink) { Millis(r.upstream_duration, sink); }},
    {"attempts", "How often it was sent to an endpoint.", Of::kRequests, nullptr,
     [](const Record& r, Sink& sink) { sink.Number(r.attempts); }},
    {"route", "The route that matched.", Of::kRequests, nullptr,
     [](const Record& r, Sink& sink) { sink.Text(r.route); }},
    {"cluster", "The cluster that the route chose.", Of::kRequests, nullptr,
     [](const Record& r, Sink& sink) { sink.Text(r.cluster); }},
    {"request_id", "x-request-id.", Of::kRequests, nullptr,
     [](const Record& r, Sink& sink) { sink.Text(r.request_id); }},
    {"trace_id", "Of the trace that the request belongs to, hexadecimal.", Of::kRequests, nullptr,
     [](const Record& r, Sink& sink) { sink.Text(r.trace_id); }},
    {"user_agent", "The request's user-agent.", Of::kRequests, nullptr,
     [](const Record& r, Sink& sink) { sink.Text(r.user_agent); }},
};
constexpr size_t kColumnCount = std::size(kColumns);

bool IsPresent(const Column& column, const Record& record) {
  return (column.of == Of::kBoth || record.http) &&
         (column.present == nullptr || column.present(record));
}

// The text line when no fields are chosen. Where a connection has no request, dashes stand.
void AppendDefaultText(const Record& record, Sink& sink, std::string* out) {
  const auto number_or_dash = [&](bool present, uint64_t value) {
    present ? sink.Number(value) : out->push_back('-');
  };
  out->push_back('[');
  sink.Time(record.start);
  out->append("] \"");
  if (record.http) {
    sink.Escaped(record.method.empty() ? "-" : record.method);
    out->push_back(' ');
    sink.Escaped(record.path.empty() ? "-" : record.path);
    out->push_back(' ');
    sink.Escaped(record.protocol.empty() ? "-" : record.protocol);
  } else {
    out->append("- - TCP");
  }
  out->append("\" ");
  number_or_dash(record.http, record.status);
  out->push_back(' ');
  sink.Text(record.flags);
  out->push_back(' ');
  sink.Text(record.reason);
  out->push_back(' ');
  sink.Number(record.bytes_received);
  out->push_back(' ');
  sink.Number(record.bytes_sent);
  out->push_back(' ');
  Millis(record.duration, sink);
  out->push_back(' ');
  number_or_dash(record.upstream_duration > absl::ZeroDuration(),
                 static_cast<uint64_t>(absl::ToInt64Milliseconds(record.upstream_duration)));
  for (const absl::string_view quoted :
       {record.user_agent, record.request_id, record.authority, record.upstream}) {
    out->push_back(' ');
    sink.Quoted(quoted);
  }
  out->append(record.inbound ? " inbound " : " outbound ");
  sink.Text(record.downstream);
  out->push_back(' ');
  sink.Quoted(record.peer_id);
  out->push_back(' ');
  sink.Text(record.security);
  out->push_back('\n');
}

}  // namespace

LineFormat::LineFormat() {
  for (size_t i = 0; i < kColumnCount; ++i) columns_.push_back(static_cast<uint8_t>(i));
}

absl::StatusOr<LineFormat> LineFormat::Make(Kind kind, const std::vector<std::string>& fields) {
  LineFormat format;
  format.kind_ = kind;
  format.chosen_ = !fields.empty();
  if (fields.empty()) return format;
  format.columns_.clear();
  for (const std::string& name : fields) {
    const Column* found = std::find_if(std::begin(kColumns), std::end(kColumns),
                                       [&](const Column& column) { return name == column.name; });
    if (found == std::end(kColumns)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "there is no field ", name, "; there are ",
          absl::StrJoin(kColumns, ", ",
                        [](std::string* out, const Column& column) { out->append(column.name); })));
    }
    const auto index = static_cast<uint8_t>(found - std::begin(kColumns));
    if (std::count(format.columns_.begin(), format.columns_.end(), index) != 0) {
      return absl::InvalidArgumentError(absl::StrCat("the field ", name, " stands twice"));
    }
    format.columns_.push_back(index);
  }
  return format;
}

void LineFormat::Append(const Record& record, TimeCache& time, std::string* out) const {
  Sink sink(kind_, time, out);
  if (kind_ == Kind::kText && !chosen_) {
    AppendDefaultText(record, sink, out);
    return;
  }
  char separator = kind_ == Kind::kJson ? '{' : '\0';
  for (const uint8_t index : columns_) {
    const Column& column = kColumns[index];
    const bool present = IsPresent(column, record);
    if (kind_ == Kind::kJson && !present) continue;
    if (separator != '\0') out->push_back(separator);
    if (kind_ == Kind::kJson) {
      out->push_back('"');
      out->append(column.name);
      out->append("\":");
      separator = ',';
    } else {
      out->append(column.name);
      out->push_back('=');
      separator = ' ';
    }
    present ? column.append(record, sink) : out->push_back('-');
  }
  if (kind_ == Kind::kJson) out->append(separator == '{' ? "{}" : "}");
  out->push_back('\n');
}

std::string RenderReference() {
  std::string out =
      "# Fields of the access log\n\nGenerated by `bazel run //proxy/access_log:fields_reference` "
      "from `format.cc`. One line a request, and one a\nconnection that carried no requests, "
      "written when it has ended: a JSON object with these fields in this order, or\ntext. Fields "
      "of requests are left out of a connection's JSON, and `-` in text. `--access-log-fields` "
      "chooses fields\nand order.\n\n| field | of | meaning |\n|---|---|---|\n";
  for (const Column& column : kColumns) {
    absl::StrAppend(&out, "| `", column.name, "` | ", column.of == Of::kBoth ? "both" : "requests",
                    " | ", column.help, " |\n");
  }
  return out;
}

}  // namespace countersign::access_log
