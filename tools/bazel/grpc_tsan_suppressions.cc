// Debian's gRPC is built without TSan: a completion queue hands an operation from the thread that
// begins it to the thread that waits for it by atomics that TSan does not see, while the
// operation's members are touched in gRPC's headers, which are compiled into our code and seen.
// Those reports are of gRPC's hand-over, not of ours.
#ifdef COUNTERSIGN_TSAN
extern "C" const char* __tsan_default_suppressions() {
  return "race:grpc::internal::CallOpSet\n"
         "race:grpc::CompletionQueue\n"
         // Certificate verifiers are made by us and called and destroyed by gRPC's threads.
         "race:grpc_tls_credentials_options\n"
         "race:SpiffeServerVerifier\n";
}
#endif
