// How HTTP requests come to the places that the application calls.
#ifndef COUNTERSIGN_PROXY_PIPELINE_DESTINATION_ROUTES_H_
#define COUNTERSIGN_PROXY_PIPELINE_DESTINATION_ROUTES_H_

#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "api/net/address.h"
#include "proxy/filter/http_routes.h"
#include "proxy/upstream/destination_table.h"

namespace countersign::pipeline {

// One a worker: the route table of each destination that HTTP is spoken to, made once for each
// answer of the control plane.
class DestinationRoutes {
 public:
  DestinationRoutes() = default;
  DestinationRoutes(const DestinationRoutes&) = delete;
  DestinationRoutes& operator=(const DestinationRoutes&) = delete;
  ~DestinationRoutes();

  // Of an entry that is answered; null where HTTP is not spoken. Borrowed until the destination
  // changes: whoever keeps it takes a reference.
  filter::HttpRoutes* To(const net::Address& destination,
                         const upstream::DestinationTable::Entry& entry);
  // There is another answer, or none.
  void OnChange(const net::Address& destination);
  // Grows with each change: what was borrowed under an older one must be asked for again.
  uint64_t generation() const { return generation_; }

 private:
  absl::flat_hash_map<net::Address, filter::HttpRoutes*> routes_;
  uint64_t generation_ = 1;
};

}  // namespace countersign::pipeline

#endif  // COUNTERSIGN_PROXY_PIPELINE_DESTINATION_ROUTES_H_
