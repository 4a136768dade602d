#include "proxy/config/http_translation.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "api/net/http_limits.h"
#include "api/xds/fault.pb.h"
#include "api/xds/http_connection_manager.pb.h"
#include "api/xds/http_router.pb.h"
#include "proxy/config/field_check.h"
#include "proxy/config/route_translation.h"
#include "proxy/config/strict_fields.h"

namespace countersign::config {
namespace {

namespace hcm = ::envoy::extensions::filters::network::http_connection_manager::v3;
using envoy::extensions::filters::http::fault::v3::HTTPFault;
using envoy::extensions::filters::http::router::v3::Router;
using std::chrono::milliseconds;

constexpr milliseconds kMaxDuration{int64_t{366} * 24 * 3600 * 1000};

// The router last, and before it nothing but the fault filter, which does nothing by itself.
void CheckFilters(const hcm::HttpConnectionManager& in, const std::string& path,
                  FieldCheck* check) {
  bool routed = false;
  for (int i = 0; i < in.http_filters_size(); ++i) {
    const google::protobuf::Any& any = in.http_filters(i).typed_config();
    const std::string where = absl::StrCat(path, ".http_filters[", i, "].typed_config");
    if (routed) {
      check->Refuse(where, "the router must be the last");
    }
    if (any.Is<HTTPFault>()) {
      HTTPFault fault;
      check->Take(UnpackStrict(any, where, &fault));
      if (fault.has_abort() || fault.has_delay()) {
        check->Refuse(where, "must be empty: faults stand in routes' typed_per_filter_config");
      }
      continue;
    }
    Router router;
    check->Take(UnpackStrict(any, where, &router));
    routed = true;
  }
  if (!routed) {
    check->Refuse(absl::StrCat(path, ".http_filters"), "must end with the router");
  }
}

void FillTimeouts(const hcm::HttpConnectionManager& in, const std::string& path, FieldCheck* check,
                  HttpOptions* out) {
  const auto read = [&](bool has, const google::protobuf::Duration& value, const char* field,
                        milliseconds min, milliseconds* to) {
    if (has) {
      *to = check->Duration(value, absl::StrCat(path, ".", field), min, kMaxDuration);
    }
  };
  // 0 would mean `never`: slow peers would hold memory for good.
  const milliseconds some(1);
  read(in.has_request_headers_timeout(), in.request_headers_timeout(), "request_headers_timeout",
       some, &out->request_headers_timeout);
  read(in.has_stream_idle_timeout(), in.stream_idle_timeout(), "stream_idle_timeout", some,
       &out->stream_idle_timeout);
  read(in.has_delayed_close_timeout(), in.delayed_close_timeout(), "delayed_close_timeout",
       milliseconds(0), &out->delayed_close_timeout);
  const auto& common = in.common_http_protocol_options();
  read(common.has_idle_timeout(), common.idle_timeout(),
       "common_http_protocol_options.idle_timeout", some, &out->idle_timeout);
  read(common.has_max_connection_duration(), common.max_connection_duration(),
       "common_http_protocol_options.max_connection_duration", milliseconds(0),
       &out->max_connection_age);
}

void FillLimits(const hcm::HttpConnectionManager& in, const std::string& path, FieldCheck* check,
                HttpOptions* out) {
  const auto& common = in.common_http_protocol_options();
  if (in.has_max_request_headers_kb()) {
    out->max_header_bytes =
        1024 * check->Number(in.max_request_headers_kb().value(),
                             absl::StrCat(path, ".max_request_headers_kb"), 1, net::kMaxHeadKib);
  }
  if (common.has_max_headers_count()) {
    out->max_headers = check->Number(
        common.max_headers_count().value(),
        absl::StrCat(path, ".common_http_protocol_options.max_headers_count"), 1, 10'000);
  }
  if (common.has_max_requests_per_connection()) {
    check->Refuse(absl::StrCat(path, ".common_http_protocol_options.max_requests_per_connection"),
                  "is not honoured for connections that come in");
  }
  if (in.http2_protocol_options().has_max_concurrent_streams()) {
    out->max_concurrent_streams = check->Number(
        in.http2_protocol_options().max_concurrent_streams().value(),
        absl::StrCat(path, ".http2_protocol_options.max_concurrent_streams"), 1, 100'000);
  }
}

void FillPath(const hcm::HttpConnectionManager& in, const std::string& path, FieldCheck* check,
              HttpOptions* out) {
  if (in.has_normalize_path() && !in.normalize_path().value()) {
    check->Refuse(absl::StrCat(path, ".normalize_path"),
                  "must not be false: a path is judged and forwarded in one form");
  }
  out->merge_slashes = in.merge_slashes();
  switch (in.path_with_escaped_slashes_action()) {
    case hcm::HttpConnectionManager::IMPLEMENTATION_SPECIFIC_DEFAULT:
      break;
    case hcm::HttpConnectionManager::KEEP_UNCHANGED:
      out->escaped_slashes = HttpOptions::EscapedSlashes::kKeep;
      break;
    case hcm::HttpConnectionManager::REJECT_REQUEST:
      out->escaped_slashes = HttpOptions::EscapedSlashes::kReject;
      break;
    case hcm::HttpConnectionManager::UNESCAPE_AND_FORWARD:
      out->escaped_slashes = HttpOptions::EscapedSlashes::kUnescape;
      break;
    default:
      check->Refuse(absl::StrCat(path, ".path_with_escaped_slashes_action"),
                    "must be KEEP_UNCHANGED, REJECT_REQUEST or UNESCAPE_AND_FORWARD");
  }
}

void FillClientCertificate(const hcm::HttpConnectionManager& in, const std::string& path,
                           FieldCheck* check, HttpOptions* out) {
  switch (in.forward_client_cert_details()) {
    case hcm::HttpConnectionManager::SANITIZE:
      out->forward_client_cert = HttpOptions::ForwardClientCert::kNone;
      break;
    case hcm::HttpConnectionManager::SANITIZE_SET:
      out->forward_client_cert = HttpOptions::ForwardClientCert::kXfcc;
      break;
    default:
      check->Refuse(absl::StrCat(path, ".forward_client_cert_details"),
                    "must be SANITIZE or SANITIZE_SET: what a client says of its own identity is "
                    "never forwarded");
  }
}

}  // namespace

bool IsHttpManager(const google::protobuf::Any& in) { return in.Is<hcm::HttpConnectionManager>(); }

absl::StatusOr<HttpManager> TranslateHttpManager(const google::protobuf::Any& any,
                                                 const std::string& path) {
  hcm::HttpConnectionManager in;
  if (absl::Status status = UnpackStrict(any, path, &in); !status.ok()) {
    return status;
  }
  HttpManager out;
  FieldCheck check;
  switch (in.codec_type()) {
    case hcm::HttpConnectionManager::AUTO:
      break;
    case hcm::HttpConnectionManager::HTTP2:
      out.http2_only = true;
      break;
    default:
      check.Refuse(absl::StrCat(path, ".codec_type"), "must be AUTO or HTTP2");
  }
  switch (in.route_specifier_case()) {
    case hcm::HttpConnectionManager::kRds:
      if (!in.rds().config_source().has_ads()) {
        check.Refuse(absl::StrCat(path, ".rds.config_source"), "must be ads");
      }
      out.routes_name =
          check.Text(in.rds().route_config_name(), absl::StrCat(path, ".rds.route_config_name"));
      break;
    case hcm::HttpConnectionManager::kRouteConfig: {
      absl::StatusOr<std::shared_ptr<const RouteConfiguration>> routes =
          TranslateRoutes(in.route_config(), absl::StrCat(path, ".route_config"));
      if (!routes.ok()) {
        return routes.status();
      }
      out.routes = *std::move(routes);
      break;
    }
    case hcm::HttpConnectionManager::ROUTE_SPECIFIER_NOT_SET:
      check.Refuse(path, "needs rds or route_config");
      break;
  }
  CheckFilters(in, path, &check);
  FillTimeouts(in, path, &check, &out.options);
  FillLimits(in, path, &check, &out.options);
  FillPath(in, path, &check, &out.options);
  FillClientCertificate(in, path, &check, &out.options);
  if (in.has_tracing()) {
    // Envoy's own default is 100.
    out.options.trace_per_million =
        in.tracing().has_random_sampling()
            ? check.PerMillion(in.tracing().random_sampling(),
                               absl::StrCat(path, ".tracing.random_sampling"))
            : 1'000'000;
  }
  out.options.generate_request_id =
      !in.has_generate_request_id() || in.generate_request_id().value();
  if (!check.ok()) {
    return check.status();
  }
  return out;
}

}  // namespace countersign::config
