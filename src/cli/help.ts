/** The help texts. docs/tool.md has more examples. */

const GRPCFD = `grpcfd: makes, watches and examines gRPC calls that carry file descriptors over unix sockets

  grpcfd call ADDRESS SERVICE/METHOD …      makes a call, sends and receives files with it
  grpcfd proxy --listen ADDRESS --to ADDRESS   passes calls on, and prints each call and each descriptor
  grpcfd doctor [ADDRESS]                   examines this machine, and who listens at an address

  grpcfd COMMAND --help                     options and examples of a command
  grpcfd --version

An ADDRESS is unix:PATH or unix-abstract:NAME.
Exit codes: 0; the number of the gRPC status; 64 where the command line is wrong.`;

const CALL = `grpcfd call ADDRESS SERVICE/METHOD [options]: makes one call, and prints the reply as JSON

Where the messages are defined, one of:
  --proto FILE              a .proto file; may be given several times
  --include DIR             where its imports are; may be given several times
  --descriptor-set FILE     what protoc --include_imports --descriptor_set_out writes
  --reflection              asks the server (grpc.reflection.v1 or v1alpha)

What is sent:
  --data JSON | @FILE | -   the message. For a stream of requests, a message in each line. Default {}
  --send FIELD=PATH[:FLAGS] opens a file and sends it; FIELD gets its name. FLAGS: r (default), r+, w, w+, a, a+,
                            or path (O_PATH), which is the default for socket files
  --send FIELD=fd:N         sends descriptor N of this process
  --send FIELD=-            sends the standard input
  --url                     names files by inode:// URL, for a server of the Go package
  --metadata KEY=VALUE      may be given several times. The value of a key that ends with -bin is in base64

What is received:
  --receive FIELD           receives the file that FIELD of the reply names, and describes it
  --receive FIELD=FILE      writes its content to FILE. Further ones go to FILE.1, FILE.2 …
  --receive FIELD=-         writes its content to stdout. The reply goes to stderr then

The connection:
  --tls                     TLS, trusting the authorities of the system, or those of --ca
  --ca FILE, --cert FILE, --key FILE    in PEM
  --server-name NAME        the name in the certificate of the server. Default localhost
  --deadline TIME           500ms, 5s or 2m; a number alone is in seconds. It ends all that is waited for. Default: none

A FIELD is a path in the message: file, inner.file, files, files.0.url. In a list, each --send fills the next element.

Exit codes: 0; the number of the gRPC status; 64 wrong usage; 66 a file cannot be opened; 69 a package is missing;
74 a file cannot be written.

Examples:
  grpcfd call unix:/run/store.sock Store/Put --proto store.proto --send file=notes.txt
  grpcfd call unix:/run/store.sock store.Store/Get --reflection --data '{"name":"notes"}' --receive file=notes.txt
  tar c . | grpcfd call unix:/run/store.sock Store/Put --proto store.proto --send file=-
  grpcfd call unix:/run/go.sock pkg.Service/Method --proto go.proto --url --send url=/etc/hostname`;

const PROXY = `grpcfd proxy --listen ADDRESS --to ADDRESS [--json]: stands between a client and a server

Bytes and descriptors pass unchanged, both ways. Each call and each descriptor is printed, with its direction, its kind, its
path or inode, and the names by which metadata or messages mean it. Under TLS, only descriptors can be seen.

  --listen ADDRESS   where clients connect
  --to ADDRESS       where the server listens
  --json             a JSON object in each line

Lines that begin with "!" are trouble: a descriptor that was lost (MSG_CTRUNC), refused, dropped or never named, or one that
a message names and that has not come.

Examples:
  grpcfd proxy --listen unix:/tmp/y.sock --to unix:/run/x.sock
  grpcfd proxy --listen unix:/tmp/y.sock --to unix:/run/x.sock --json | jq 'select(.event == "trouble")'`;

const DOCTOR = `grpcfd doctor [ADDRESS] [--json]: examines what this package needs, and who listens at an address

  ADDRESS   connects there: who listens, whether it speaks HTTP/2, whether it is this package, whether it accepts descriptors
  --json    a JSON object with all findings

Exit codes: 0; 1 where a finding is a problem; 64 wrong usage.

Examples:
  grpcfd doctor
  grpcfd doctor unix:/run/x.sock
  grpcfd doctor --json | jq '.findings[] | select(.state == "problem")'`;

export const HELP = { grpcfd: GRPCFD, call: CALL, proxy: PROXY, doctor: DOCTOR } as const;
