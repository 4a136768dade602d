// The route table's rules once more, as plainly as they can be said and as slowly as that makes
// them: what the real one is held to.
#ifndef COUNTERSIGN_TESTS_FUZZ_ROUTE_TABLE_REFERENCE_MATCHER_H_
#define COUNTERSIGN_TESTS_FUZZ_ROUTE_TABLE_REFERENCE_MATCHER_H_

#include "proxy/config/route.h"
#include "proxy/http/message.h"
#include "proxy/router/route_table.h"

namespace countersign::router {

RouteChoice ReferenceFind(const config::RouteConfiguration& table, const http::RequestHead& head);

}  // namespace countersign::router

#endif  // COUNTERSIGN_TESTS_FUZZ_ROUTE_TABLE_REFERENCE_MATCHER_H_
