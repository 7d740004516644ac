// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Everything signed here is good for this state folder only, so lifetimes are
// long; a certificate that is past half of its life is replaced at a start.
const (
	caLifetime   = 30 * 365 * 24 * time.Hour
	leafLifetime = 10 * 365 * 24 * time.Hour
)

// keyPair is a certificate with its key.
type keyPair struct {
	certPEM, keyPEM []byte
	cert            *x509.Certificate
	key             *ecdsa.PrivateKey
}

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
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			serving.IPAddresses = append(serving.IPAddresses, ip)
		} else {
			serving.DNSNames = append(serving.DNSNames, h)
		}
	}
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
func loadOrMake(base string, signer *keyPair, template *x509.Certificate) (*keyPair, error) {
	if pair, err := loadPair(base); err == nil && pair.usable(signer, template) {
		return pair, nil
	}
	pair, err := makePair(signer, template)
	if err != nil {
		return nil, fmt.Errorf("making certificate %s.crt: %w", base, err)
	}
	// The key first: a crash in between leaves a pair that does not match,
	// which the next start replaces.
	if err := writeFile(base+".key", pair.keyPEM); err != nil {
		return nil, err
	}
	return pair, writeFile(base+".crt", pair.certPEM)
}

func loadPair(base string) (*keyPair, error) {
	certPEM, err := os.ReadFile(base + ".crt")
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(base + ".key")
	if err != nil {
		return nil, err
	}
	return parsePair(certPEM, keyPEM)
}

func parsePair(certPEM, keyPEM []byte) (*keyPair, error) {
	both, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	key, ok := both.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("not an ECDSA key")
	}
	return &keyPair{certPEM: certPEM, keyPEM: keyPEM, cert: both.Leaf, key: key}, nil
}

// usable tells whether a pair is good for what the template asks, for long enough.
func (p *keyPair) usable(signer *keyPair, template *x509.Certificate) bool {
	if signer == nil {
		signer = p
	}
	for _, ip := range template.IPAddresses {
		if p.cert.VerifyHostname(ip.String()) != nil {
			return false
		}
	}
	for _, name := range template.DNSNames {
		if p.cert.VerifyHostname(name) != nil {
			return false
		}
	}
	half := p.cert.NotBefore.Add(p.cert.NotAfter.Sub(p.cert.NotBefore) / 2)
	return time.Now().Before(half) && p.cert.CheckSignatureFrom(signer.cert) == nil
}

func makePair(signer *keyPair, template *x509.Certificate) (*keyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	// An hour back: the clock of a machine that just booted may still jump.
	template.NotBefore = time.Now().Add(-time.Hour)
	parent, parentKey := template, key
	if signer != nil {
		parent, parentKey = signer.cert, signer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return parsePair(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}
