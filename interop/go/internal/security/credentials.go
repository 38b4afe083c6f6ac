// Package security makes the credentials of each security that the interop peers speak.
package security

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// The securities. Of the two without encryption, the server wraps no credentials in Plaintext and grpc-go's insecure ones in
// Insecure, the client the other way round; on the wire they are the same.
const (
	Plaintext = "plaintext"
	Insecure  = "insecure"
	TLS       = "tls"
	MTLS      = "mtls"
)

// All of them; a server listens on <name>.sock for each.
var All = []string{Plaintext, Insecure, TLS, MTLS}

const (
	tokenKey   = "authorization"
	tokenValue = "Bearer interop"
)

// Server makes the transport credentials of a server, nil for Plaintext.
func Server(name, certs string) (credentials.TransportCredentials, error) {
	switch name {
	case Plaintext:
		return nil, nil
	case Insecure:
		return insecure.NewCredentials(), nil
	}
	config, err := tlsConfig(certs, "server")
	if err != nil {
		return nil, err
	}
	if name == MTLS {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.ClientCAs = config.RootCAs
	}
	return credentials.NewTLS(config), nil
}

// Client makes the transport credentials of a client, nil for Insecure.
func Client(name, certs string) (credentials.TransportCredentials, error) {
	switch name {
	case Plaintext:
		return insecure.NewCredentials(), nil
	case Insecure:
		return nil, nil
	}
	config, err := tlsConfig(certs, "client")
	if err != nil {
		return nil, err
	}
	if name == TLS {
		config.Certificates = nil
	}
	return credentials.NewTLS(config), nil
}

func tlsConfig(certs, identity string) (*tls.Config, error) {
	authority, err := os.ReadFile(filepath.Join(certs, AuthorityFile))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("no certificate in %s", AuthorityFile)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(certs, CertFile(identity)), filepath.Join(certs, KeyFile(identity)))
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// Token is a call credential that a server asks for wherever the connection is encrypted.
type Token struct{}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (Token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{tokenKey: tokenValue}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (Token) RequireTransportSecurity() bool {
	return true
}

// CheckToken is nil where the call needs no token or has the right one.
func CheckToken(ctx context.Context, name string) error {
	if name != TLS && name != MTLS {
		return nil
	}
	if tokens := metadata.ValueFromIncomingContext(ctx, tokenKey); len(tokens) != 1 || tokens[0] != tokenValue {
		return status.Errorf(codes.Unauthenticated, "the call came with %d tokens", len(tokens))
	}
	return nil
}
