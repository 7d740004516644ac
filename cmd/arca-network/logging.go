// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/vas-solutus/arca-network/internal/logging"
)

// newLogger makes the logger, and the libraries' too.
func newLogger(format string, verbosity int) (logr.Logger, func(), error) {
	log, flush, err := logging.New(format, verbosity)
	if err != nil {
		return log, flush, err
	}
	ctrl.SetLogger(log)
	// What libraries say of themselves is a detail.
	klog.SetLogger(log.WithName("klog").V(1))
	return log, flush, nil
}
