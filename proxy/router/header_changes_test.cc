#include "proxy/router/header_changes.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace countersign::router {
namespace {

std::string Fields(const http::HeaderMap& headers) {
  std::string out;
  for (const http::Field& field : headers.fields()) {
    absl::StrAppend(&out, field.name, "=", field.value, " ");
  }
  return out;
}

TEST(HeaderChangesTest, FieldsAreRemovedSetAndAddedInThisOrder) {
  http::HeaderMap headers;
  headers.Add("x-a", "1");
  headers.Add("x-a", "2");
  headers.Add("x-b", "3");
  const config::HeaderChanges changes{
      .remove = {"x-b"}, .set = {{"x-a", "4"}, {"x-b", "5"}}, .add = {{"x-a", "6"}}};
  ApplyHeaderChanges(changes, headers);
  EXPECT_EQ(Fields(headers), "x-a=4 x-b=5 x-a=6 ");
}

TEST(HeaderChangesTest, TheMostGeneralLevelHasTheLastWord) {
  config::Route route;
  route.request_headers.set = {{"x", "route"}};
  config::VirtualHost host;
  host.request_headers.set = {{"x", "host"}};
  config::RouteConfiguration table;
  table.request_headers.set = {{"x", "table"}};
  config::WeightedCluster cluster;
  cluster.request_headers.set = {{"x", "cluster"}, {"y", "cluster"}};
  http::RequestHead head;
  ApplyRequestChanges({&table, &host, &route}, &cluster, head);
  EXPECT_EQ(Fields(head.headers), "y=cluster x=table ");
}

}  // namespace
}  // namespace countersign::router
