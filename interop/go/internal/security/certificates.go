package security

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// AuthorityFile holds the certificate that signs those of the peers.
const AuthorityFile = "ca.pem"

// A certificate outlives the longest run by far, and is of no use to anybody who finds it later.
const lifetime = 24 * time.Hour

// CertFile names the certificate of "server" or "client".
func CertFile(identity string) string { return identity + ".pem" }

// KeyFile names the private key of "server" or "client".
func KeyFile(identity string) string { return identity + ".key" }

// WriteCertificates makes an authority and, signed by it, a certificate each for the server and the client.
func WriteCertificates(directory string) error {
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	authority := template("grpcfd interop authority", 1)
	authority.IsCA = true
	authority.BasicConstraintsValid = true
	authority.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(directory, AuthorityFile), "CERTIFICATE", der); err != nil {
		return err
	}
	for serial, identity := range []string{"server", "client"} {
		certificate := template(identity, int64(serial)+2)
		// The authority of a unix target, in grpc-go and in grpc-js.
		certificate.DNSNames = []string{"localhost"}
		certificate.KeyUsage = x509.KeyUsageDigitalSignature
		certificate.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
		if err := writeIdentity(directory, identity, certificate, authority, authorityKey); err != nil {
			return err
		}
	}
	return nil
}

func writeIdentity(directory, identity string, certificate, authority *x509.Certificate, signer *ecdsa.PrivateKey) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, certificate, authority, key.Public(), signer)
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(directory, CertFile(identity)), "CERTIFICATE", der); err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(filepath.Join(directory, KeyFile(identity)), "PRIVATE KEY", keyDER)
}

func template(name string, serial int64) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(lifetime),
	}
}

func writePEM(name, kind string, der []byte) error {
	return os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
