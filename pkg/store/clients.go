// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"net"
	"net/http"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/request/union"
	x509request "k8s.io/apiserver/pkg/authentication/request/x509"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// localConfig is the configuration of clients in this process. They share one
// transport: client-go would keep one for each client for ever.
func localConfig(listener *memoryListener) *rest.Config {
	return &rest.Config{
		Host: "http://arca-network.internal",
		Transport: &http.Transport{
			DialContext:         listener.Dial,
			MaxIdleConnsPerHost: 64,
			DisableCompression:  true,
		},
		DisableCompression: true,
		// Clients of built-in groups would send protobuf, which a custom
		// resource's decoder does not survive.
		ContentConfig: rest.ContentConfig{
			ContentType:        runtime.ContentTypeJSON,
			AcceptContentTypes: runtime.ContentTypeJSON,
		},
		QPS: -1,
	}
}

// withoutVersion is for requests to paths rather than to objects.
func withoutVersion(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.GroupVersion = &schema.GroupVersion{}
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	return config
}

type inProcessKey struct{}

// markInProcess marks the requests of a connection over memory.
func markInProcess(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, inProcessKey{}, true)
}

// newAuthenticator knows clients by where they come from or by a certificate
// of ours. Others are refused: there is no anonymous user.
func newAuthenticator(ca dynamiccertificates.CAContentProvider) authenticator.Request {
	inProcess := authenticator.RequestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
		if r.Context().Value(inProcessKey{}) == nil {
			return nil, false, nil
		}
		return &authenticator.Response{User: &user.DefaultInfo{
			Name:   "arca-network",
			Groups: []string{user.SystemPrivilegedGroup, user.AllAuthenticated},
		}}, true, nil
	})
	return union.New(inProcess, x509request.NewDynamic(ca.VerifyOptions, x509request.CommonNameUserConversion))
}
