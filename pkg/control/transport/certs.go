// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/vas-solutus/arca-network/internal/certs"
)

// CertificateOptions says what certificates to make.
type CertificateOptions struct {
	// Dir is the folder for the files.
	Dir string
	// Hosts are the names and addresses of the server, beside localhost.
	Hosts []string
	// Force replaces files that are there.
	Force bool
}

// How long certificates are good for. They are for one pair of machines, and
// are made anew by one command.
const (
	authorityLifetime   = 10 * 365 * 24 * time.Hour
	certificateLifetime = 2 * 365 * 24 * time.Hour
)

// MakeCertificates makes an authority and the certificates of a server and a
// client. Either all files are written or, where one is there, none.
func MakeCertificates(o CertificateOptions) error {
	names := []string{"ca", "server", "client"}
	if !o.Force {
		for _, n := range names {
			for _, suffix := range []string{".crt", ".key"} {
				name := filepath.Join(o.Dir, n+suffix)
				if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
					return fmt.Errorf("%s is there already (or cannot be seen: %v); choose another folder, or force it", name, err)
				}
			}
		}
	}
	now := time.Now()
	ca, err := certs.Issue(nil, &x509.Certificate{
		Subject:               pkix.Name{CommonName: "arca-network control authority"},
		NotAfter:              now.Add(authorityLifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	})
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "arca-network"},
		NotAfter:    now.Add(certificateLifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	certs.AddHosts(template, o.Hosts)
	server, err := certs.Issue(ca, template)
	if err != nil {
		return err
	}
	client, err := certs.Issue(ca, &x509.Certificate{
		Subject:     pkix.Name{CommonName: "arca-network client"},
		NotAfter:    now.Add(certificateLifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return err
	}
	for i, p := range []*certs.Pair{ca, server, client} {
		if err := write(p, filepath.Join(o.Dir, names[i]), o.Force); err != nil {
			return err
		}
	}
	return nil
}

// write writes the key first: what has a certificate has its key.
func write(p *certs.Pair, base string, force bool) error {
	if err := writeNew(base+".key", p.KeyPEM, 0o600, force); err != nil {
		return err
	}
	return writeNew(base+".crt", p.CertPEM, 0o644, force)
}

// writeNew never follows a link, nor lets a key be read for a moment. What it
// replaces is there, old or new, at every moment: somebody may be serving with it.
func writeNew(name string, content []byte, mode os.FileMode, force bool) (err error) {
	create := func() (*os.File, error) { return os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode) }
	if force {
		create = func() (*os.File, error) { return os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*") } // of mode 0600
	}
	f, err := create()
	if err != nil {
		return err
	}
	if force {
		defer func() {
			if err != nil {
				err = errors.Join(err, os.Remove(f.Name()))
			}
		}()
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil || !force {
		return err
	}
	return os.Rename(f.Name(), name)
}
