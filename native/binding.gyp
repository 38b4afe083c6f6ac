{
  "targets": [
    {
      "target_name": "grpcfd",
      "sources": [
        "addon.cc",
        "arguments.cc",
        "bridge-methods.cc",
        "bridge.cc",
        "descriptors.cc",
        "environment.cc",
        "file-kind.cc",
        "file-status.cc",
        "inherited.cc",
        "mapping.cc",
        "memory.cc",
        "message.cc",
        "opener.cc",
        "pipe-name.cc",
        "ready-set.cc",
        "socket-calls.cc",
        "socket-file.cc",
        "socket-handle.cc",
        "socket-info.cc",
        "specimens.cc",
        "system-error.cc",
        "testing.cc",
        "unix-address.cc",
        "unix-sockets.cc",
        "without-waiting.cc"
      ],
      "cflags_cc": ["-std=c++17", "-Wall", "-Wextra", "-fvisibility=hidden"],
      "defines": ["NAPI_VERSION=8"]
    }
  ]
}
