// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/go-logr/logr"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Options says where the state is kept and what is served.
type Options struct {
	// Dir is the state folder. It is created, and made readable by its owner
	// only.
	Dir string

	// Endpoint is a datastore in the form kine uses (http://, https:// for
	// etcd, postgres://, mysql://, sqlite://). Empty means SQLite in Dir.
	Endpoint string

	// Listen is the loopback address for clients outside this process. Empty
	// means 127.0.0.1:0. A port chosen for ":0" is remembered in Dir and taken
	// again after a restart, so that a kubeconfig stays valid.
	Listen string

	// Listeners are further ways for clients to reach the API, beside Listen: with
	// TLS and a client certificate, as there. The store closes them.
	Listeners []net.Listener

	// Hosts are names and addresses, beside the loopback's, that the server's
	// certificate is to be good for.
	Hosts []string

	// CRDs are installed, or upgraded to what is given here, before Start
	// returns.
	CRDs []*apiextensionsv1.CustomResourceDefinition

	// Finalizers are put on new objects of these resources when they are
	// created, which saves their controllers a write.
	Finalizers map[schema.GroupResource][]string

	// Locked is called when the folder is this process's own, before anything in it
	// is read. May be nil.
	Locked func()

	// Log receives what the store and the libraries in it have to say. Those
	// libraries have one logger per process, so the latest Start wins.
	Log logr.Logger
}

// Names in the state folder.
const (
	databaseFile   = "state.db"
	kubeconfigFile = "kubeconfig"
	lockFile       = "lock"
	recordFile     = "store.json"
	pkiFolder      = "pki"
)

const defaultListen = "127.0.0.1:0"

// complete checks the options and fills in what was left out.
func (o *Options) complete() error {
	if o.Log.GetSink() == nil {
		o.Log = logr.Discard()
	}
	var err error
	if o.Dir, err = absDir(o.Dir); err != nil {
		return err
	}
	if o.Listen == "" {
		o.Listen = defaultListen
	}
	host, _, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return fmt.Errorf("listen address %q: %w", o.Listen, err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("listen address %q: the host must be a loopback IP address such as 127.0.0.1", o.Listen)
	}
	for i, crd := range o.CRDs {
		if crd == nil || crd.Name == "" {
			return fmt.Errorf("CRDs[%d]: a definition without a name", i)
		}
	}
	return nil
}

// absDir makes the state folder's name absolute. The database is opened by a
// URI whose two drivers disagree on escaping, so the characters that would need
// it are refused rather than misread as another file.
func absDir(dir string) (string, error) {
	if dir == "" {
		return "", errors.New("state folder: no name given")
	}
	if strings.ContainsAny(dir, "?#%") {
		return "", fmt.Errorf("state folder %q: the name must not contain any of ? # %%", dir)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("state folder %q: %w", dir, err)
	}
	return abs, nil
}
