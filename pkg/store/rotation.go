// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"path/filepath"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
)

// certificates are those in the files of a state folder as they are now. Who
// replaces a file need not start anything anew; one that is no good is not taken.
type certificates struct {
	ca             *dynamiccertificates.DynamicFileCAContent
	server, client *dynamiccertificates.DynamicCertKeyPairContent
}

// followPKI reads the files that ensurePKI has made sure of. The API server follows
// those that it serves with, apiServer.run the client's.
func followPKI(dir string) (*certificates, error) {
	folder := filepath.Join(dir, pkiFolder)
	pair := func(name string) (*dynamiccertificates.DynamicCertKeyPairContent, error) {
		base := filepath.Join(folder, name)
		return dynamiccertificates.NewDynamicServingContentFromFiles(name, base+".crt", base+".key")
	}
	c := &certificates{}
	var err error
	if c.ca, err = dynamiccertificates.NewDynamicCAContentFromFile("client-ca", filepath.Join(folder, "ca.crt")); err != nil {
		return nil, err
	}
	if c.server, err = pair("server"); err != nil {
		return nil, err
	}
	c.client, err = pair("client")
	return c, err
}

// kubeconfig writes the file anew when a certificate in it has changed.
type kubeconfig struct {
	dir, address string
	certificates *certificates
	log          logr.Logger
	mu           sync.Mutex
}

func (c *certificates) followedBy(k *kubeconfig) {
	c.ca.AddListener(k)
	c.client.AddListener(k)
}

// Enqueue is told of a change.
func (k *kubeconfig) Enqueue() {
	if err := k.write(); err != nil {
		k.log.Error(err, "Writing the kubeconfig after its certificates have changed")
	}
}

func (k *kubeconfig) write() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	cert, key := k.certificates.client.CurrentCertKeyContent()
	return writeKubeconfig(k.dir, k.address, k.certificates.ca.CurrentCABundleContent(), cert, key)
}
