// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// Files name a certificate, its key, and the authority of the other side's
// certificate, all PEM.
type Files struct{ Cert, Key, CA string }

// ServerTLS is TLS 1.3 that asks for a client certificate.
func ServerTLS(f Files) (*tls.Config, error) {
	pair, pool, err := f.load()
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool,
		NextProtos:   []string{"h2"},
	}, nil
}

// ClientTLS is the other side of ServerTLS.
func ClientTLS(f Files) (*tls.Config, error) {
	pair, pool, err := f.load()
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{pair},
		RootCAs:      pool,
		NextProtos:   []string{"h2"},
	}, nil
}

func (f Files) load() (tls.Certificate, *x509.CertPool, error) {
	for what, name := range map[string]string{"certificate": f.Cert, "key": f.Key, "authority": f.CA} {
		if name == "" {
			return tls.Certificate{}, nil, fmt.Errorf("no file of the %s is given; the certificate, its key and the other side's authority are all needed", what)
		}
	}
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return pair, nil, fmt.Errorf("certificate %s and key %s: %w", f.Cert, f.Key, err)
	}
	raw, err := os.ReadFile(f.CA)
	if err != nil {
		return pair, nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw) {
		return pair, nil, fmt.Errorf("%s: holds no certificate in PEM form", f.CA)
	}
	return pair, pool, nil
}
