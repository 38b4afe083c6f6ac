// Package interoppb is the Go code of interop/proto/interop.proto. The generated files are committed, so that building
// needs no protoc; after a change of the .proto, `go generate ./interoppb` (with protoc on the PATH) writes them again.
// The versions of the two plugins are those of go.mod.
package interoppb

//go:generate sh -c "protoc -I ../../proto --plugin=protoc-gen-go=$(go tool -n protoc-gen-go) --plugin=protoc-gen-go-grpc=$(go tool -n protoc-gen-go-grpc) --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative interop.proto"
