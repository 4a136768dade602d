"""cc_grpc_library: C++ message and service code of one proto_library's files."""

def cc_grpc_library(name, proto, src, deps, visibility = None):
    """Generates the gRPC service code of one .proto file.

    Args:
      name: the cc_library that carries the service stubs.
      proto: the proto_library target, whose generated messages are in deps.
      src: the .proto file, in this package.
      deps: the cc_proto_library of the messages.
      visibility: as everywhere.
    """
    base = src[:-len(".proto")]
    outs = [base + ".grpc.pb.h", base + ".grpc.pb.cc"]
    native.genrule(
        name = name + "_gen",
        srcs = [src, proto],
        outs = outs,
        cmd = "protoc -I. -I/usr/include --plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin " +
              "--grpc_out=generate_mock_code=false:$(GENDIR) $(location %s)" % src,
    )
    native.cc_library(
        name = name,
        srcs = [outs[1]],
        hdrs = [outs[0]],
        deps = deps + ["//tools/bazel:grpc"],
        visibility = visibility,
    )
