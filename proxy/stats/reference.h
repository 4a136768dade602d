// The metrics reference (METRICS.md), rendered from families.h.
#ifndef COUNTERSIGN_PROXY_STATS_REFERENCE_H_
#define COUNTERSIGN_PROXY_STATS_REFERENCE_H_

#include <string>

namespace countersign::stats {

std::string RenderReference();

}  // namespace countersign::stats

#endif  // COUNTERSIGN_PROXY_STATS_REFERENCE_H_
