// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
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

	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// certificates are what TLS on the loopback needs.
type certificates struct {
	caPEM, clientCert, clientKey []byte
	ca                           dynamiccertificates.CAContentProvider
	server                       dynamiccertificates.CertKeyContentProvider
}

// certificateLife is how long a certificate is valid; renewBefore is how long
// before its end a start makes all of them anew.
const (
	certificateLife = 10 * 365 * 24 * time.Hour
	renewBefore     = 365 * 24 * time.Hour
)

// ensureCertificates reads the authority and the two pairs from the folder pki,
// or makes them.
func ensureCertificates(dir string) (*certificates, error) {
	pki := filepath.Join(dir, "pki")
	if err := os.MkdirAll(pki, 0o700); err != nil {
		return nil, err
	}
	path := func(name string) string { return filepath.Join(pki, name) }
	if stale(path("ca.crt")) || stale(path("server.crt")) || stale(path("client.crt")) {
		if err := makeCertificates(path); err != nil {
			return nil, err
		}
	}
	c := &certificates{}
	var err error
	for name, into := range map[string]*[]byte{"ca.crt": &c.caPEM, "client.crt": &c.clientCert, "client.key": &c.clientKey} {
		if *into, err = os.ReadFile(path(name)); err != nil {
			return nil, err
		}
	}
	if c.ca, err = dynamiccertificates.NewStaticCAContent("arca-network", c.caPEM); err != nil {
		return nil, err
	}
	serverCert, err := os.ReadFile(path("server.crt"))
	if err != nil {
		return nil, err
	}
	serverKey, err := os.ReadFile(path("server.key"))
	if err != nil {
		return nil, err
	}
	c.server, err = dynamiccertificates.NewStaticCertKeyContent("arca-network", serverCert, serverKey)
	return c, err
}

// stale tells whether a certificate is missing, unreadable or about to end.
func stale(path string) bool {
	raw, err := os.ReadFile(path)
	if err != nil {
		return true
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return true
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	return err != nil || time.Until(cert.NotAfter) < renewBefore
}

func makeCertificates(path func(string) string) error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := template("arca-network-ca")
	ca.IsCA, ca.BasicConstraintsValid = true, true
	ca.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	if err := issue(path("ca.crt"), "", ca, ca, caKey, caKey); err != nil {
		return err
	}
	server := template("arca-network")
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	server.DNSNames = []string{"localhost"}
	server.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	client := template("arca-admin")
	client.Subject.Organization = []string{"system:masters"}
	client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	for name, cert := range map[string]*x509.Certificate{"server": server, "client": client} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		if err := issue(path(name+".crt"), path(name+".key"), cert, ca, key, caKey); err != nil {
			return err
		}
	}
	return nil
}

func template(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-24 * time.Hour), // clocks differ
		NotAfter:     now.Add(certificateLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
}

// issue signs a certificate and writes it, and its key where keyPath is given.
// The authority's own key is not kept: nothing else is ever signed with it.
func issue(certPath, keyPath string, cert, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) error {
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, parentKey)
	if err != nil {
		return err
	}
	if keyPath != "" {
		raw, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			return err
		}
		if err := os.WriteFile(keyPath, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw}), 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(certPath, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
}

// writeKubeconfig writes the file that other processes find the API by.
func writeKubeconfig(path, address string, c *certificates) error {
	const name = "arca-network"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: "https://" + address, CertificateAuthorityData: c.caPEM}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: c.clientCert, ClientKeyData: c.clientKey}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	raw, err := clientcmd.Write(*config)
	if err != nil {
		return err
	}
	part := path + ".part"
	if err := os.WriteFile(part, raw, 0o600); err != nil {
		return err
	}
	if err := os.Rename(part, path); err != nil {
		return errors.Join(fmt.Errorf("renaming %s: %w", part, err), os.Remove(part))
	}
	return nil
}
