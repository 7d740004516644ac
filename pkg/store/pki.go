// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/vas-solutus/arca-network/internal/certs"
)

// Everything signed here is good for this state folder only, so lifetimes are
// long; a certificate that is past half of its life is replaced at a start.
const (
	caLifetime   = 30 * 365 * 24 * time.Hour
	leafLifetime = 10 * 365 * 24 * time.Hour
)

// ensurePKI looks at the certificates of a state folder, and makes those that are
// missing, unreadable, signed by another authority, old, or not good for hosts.
// Whoever holds a client certificate of the authority may do everything.
func ensurePKI(dir string, hosts []string) error {
	folder := filepath.Join(dir, pkiFolder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	ca, err := loadOrMake(filepath.Join(folder, "ca"), nil, &x509.Certificate{
		Subject:               pkix.Name{CommonName: "arca-network"},
		NotAfter:              time.Now().Add(caLifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	})
	if err != nil {
		return err
	}
	serving := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "arca-network-api"},
		NotAfter:    time.Now().Add(leafLifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	certs.AddHosts(serving, hosts)
	if _, err := loadOrMake(filepath.Join(folder, "server"), ca, serving); err != nil {
		return err
	}
	_, err = loadOrMake(filepath.Join(folder, "client"), ca, &x509.Certificate{
		Subject:     pkix.Name{CommonName: "arca-network-admin", Organization: []string{"system:masters"}},
		NotAfter:    time.Now().Add(leafLifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err
}

// loadOrMake returns the pair in base.crt and base.key. signer is nil for the
// authority itself.
func loadOrMake(base string, signer *certs.Pair, template *x509.Certificate) (*certs.Pair, error) {
	if pair, err := loadPair(base); err == nil && usable(pair, signer, template) {
		return pair, nil
	}
	pair, err := certs.Issue(signer, template)
	if err != nil {
		return nil, fmt.Errorf("making certificate %s.crt: %w", base, err)
	}
	// The key first: a crash in between leaves a pair that does not match,
	// which the next start replaces.
	if err := writeFile(base+".key", pair.KeyPEM); err != nil {
		return nil, err
	}
	return pair, writeFile(base+".crt", pair.CertPEM)
}

func loadPair(base string) (*certs.Pair, error) {
	certPEM, err := os.ReadFile(base + ".crt")
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(base + ".key")
	if err != nil {
		return nil, err
	}
	return certs.Parse(certPEM, keyPEM)
}

// usable tells whether a pair is good for what the template asks, for long enough.
func usable(p, signer *certs.Pair, template *x509.Certificate) bool {
	if signer == nil {
		signer = p
	}
	for _, ip := range template.IPAddresses {
		if p.Cert.VerifyHostname(ip.String()) != nil {
			return false
		}
	}
	for _, name := range template.DNSNames {
		if p.Cert.VerifyHostname(name) != nil {
			return false
		}
	}
	half := p.Cert.NotBefore.Add(p.Cert.NotAfter.Sub(p.Cert.NotBefore) / 2)
	return time.Now().Before(half) && p.Cert.CheckSignatureFrom(signer.Cert) == nil
}
