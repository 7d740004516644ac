// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/go-logr/logr"
)

// Files name a certificate, its key, and the authority of the other side's
// certificate, all PEM.
type Files struct{ Cert, Key, CA string }

// FileError says which of the Files is at fault, by the name of its field.
type FileError struct {
	Field, Name string
	Err         error
}

func (e *FileError) Error() string { return fmt.Sprintf("%s: %s", e.Name, e.Reason()) }

func (e *FileError) Unwrap() error { return e.Err }

// Reason is the error without the file's name.
func (e *FileError) Reason() string {
	var p *os.PathError
	if errors.As(e.Err, &p) {
		return p.Err.Error()
	}
	return e.Err.Error()
}

var errNotGiven = errors.New("must be given: a certificate, its key and the other side's authority are all needed")

// ServerTLS is TLS 1.3 that asks for a client certificate. The files are looked
// at for each connection, so that replaced ones are in use at once; as long as
// new ones are no good, or only a part of them is there, those from before stay.
func ServerTLS(f Files, log logr.Logger) (*tls.Config, error) {
	now, err := f.read()
	if err != nil {
		return nil, err
	}
	r := &rotation{files: f, log: log, good: now}
	if r.config, err = now.serverConfig(); err != nil {
		return nil, err
	}
	config := r.config.Clone()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return r.current(), nil }
	return config, nil
}

// ClientTLS is the other side of ServerTLS.
func ClientTLS(f Files) (*tls.Config, error) {
	now, err := f.read()
	if err != nil {
		return nil, err
	}
	pair, pool, err := now.parse()
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

// contents are Files with what is in them, in comparable form.
type contents struct {
	files         Files
	cert, key, ca string
}

func (f Files) read() (c contents, err error) {
	c.files = f
	for _, file := range []struct {
		field, name string
		into        *string
	}{{"Cert", f.Cert, &c.cert}, {"Key", f.Key, &c.key}, {"CA", f.CA, &c.ca}} {
		if file.name == "" {
			return c, &FileError{file.field, file.name, errNotGiven}
		}
		raw, err := os.ReadFile(file.name)
		if err != nil {
			return c, &FileError{file.field, file.name, err}
		}
		*file.into = string(raw)
	}
	return c, nil
}

func (c contents) parse() (tls.Certificate, *x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !holdsCertificate(c.cert) {
		return tls.Certificate{}, nil, &FileError{"Cert", c.files.Cert, errors.New("holds no certificate in PEM form")}
	}
	pair, err := tls.X509KeyPair([]byte(c.cert), []byte(c.key))
	if err != nil {
		return pair, nil, &FileError{"Key", c.files.Key, fmt.Errorf("is not the key of %s: %w", c.files.Cert, err)}
	}
	if !pool.AppendCertsFromPEM([]byte(c.ca)) {
		return pair, nil, &FileError{"CA", c.files.CA, errors.New("holds no certificate in PEM form")}
	}
	return pair, pool, nil
}

func holdsCertificate(text string) bool {
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return false
		}
		if block.Type == "CERTIFICATE" {
			_, err := x509.ParseCertificate(block.Bytes)
			return err == nil
		}
	}
}

func (c contents) serverConfig() (*tls.Config, error) {
	pair, pool, err := c.parse()
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool,
		NextProtos:   []string{"h2"},
		// A ticket would let somebody in whose authority was replaced since.
		SessionTicketsDisabled: true,
	}, nil
}

// rotation keeps a server's configuration as its files are.
type rotation struct {
	files Files
	log   logr.Logger

	mu     sync.Mutex
	good   contents
	config *tls.Config // of good
	told   string      // the last complaint, if it still stands: one for each is enough
}

func (r *rotation) current() *tls.Config {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, err := r.files.read()
	if err == nil && now == r.good {
		r.told = ""
		return r.config
	}
	var config *tls.Config
	if err == nil {
		config, err = now.serverConfig()
	}
	if err != nil {
		if r.told != err.Error() {
			r.log.Error(err, "Taking over changed certificates; those from before stay in use")
			r.told = err.Error()
		}
		return r.config
	}
	r.good, r.config, r.told = now, config, ""
	leaf := config.Certificates[0].Leaf
	r.log.Info("Certificates have changed", "subject", leaf.Subject.String(), "notAfter", leaf.NotAfter)
	return r.config
}
