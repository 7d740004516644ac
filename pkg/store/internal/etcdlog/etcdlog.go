// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package etcdlog takes the log of the API server's etcd clients away from
// standard error. They share one logger, built when their package is
// initialised and reachable by nobody afterwards; what can be changed is the
// configuration that it is built from, before. Go initialises packages that
// have what they import in the order of their import paths, and this one, which
// imports no more than the configuration, comes before k8s.io.
package etcdlog

import (
	"io"
	"net/url"
	"sync/atomic"

	"go.etcd.io/etcd/client/pkg/v3/logutil"
	"go.uber.org/zap"
)

// Output is where the lines go. Until it is set they are dropped.
var Output atomic.Pointer[io.Writer]

const scheme = "arca-etcd-client"

func init() {
	err := zap.RegisterSink(scheme, func(*url.URL) (zap.Sink, error) { return sink{}, nil })
	if err != nil {
		return // then they go to standard error, as they did
	}
	logutil.DefaultZapLoggerConfig.OutputPaths = []string{scheme + ":"}
	logutil.DefaultZapLoggerConfig.ErrorOutputPaths = []string{scheme + ":"}
}

type sink struct{}

func (sink) Write(p []byte) (int, error) {
	if w := Output.Load(); w != nil {
		return (*w).Write(p)
	}
	return len(p), nil
}

func (sink) Sync() error  { return nil }
func (sink) Close() error { return nil }
